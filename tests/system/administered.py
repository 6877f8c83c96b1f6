"""What the tests of privileges share: a database and headgate-admin alone, with administrators who have tokens."""
import hashlib
import json
import os
import subprocess
import unittest

from hglib import Api, Failed, Stack, tail, wait_for

ROLES = ("viewer", "support", "provisioner", "operator", "emergency", "security", "auditor")


class Person(Api):
    """An administrator with a token over the Unix socket: .id, .name, .token_id."""

    def __init__(self, stack, name, made, node="admin1"):
        path = stack.api(node=node)
        super().__init__(path.connect, made["token"])
        self.name, self.id, self.token_id = name, made["administrator_id"], made["token_id"]


class Session:
    """psql that stays, for a transaction that is open while others work."""

    def __init__(self, stack):
        self.psql = subprocess.Popen(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-h", str(stack.pg_host), "-U", "headgate", "-d", "headgate"],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, *statements):
        """Their rows, when all are done."""
        self.psql.stdin.write(";\n".join(statements) + ";\n\\echo done\n")
        self.psql.stdin.flush()
        return [line.rstrip("\n") for line in iter(self.psql.stdout.readline, "done\n") if line or self.fail()]

    def fail(self):
        raise Failed("psql ended")

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.psql.stdin.close()
        self.psql.wait(20)
        self.psql.stdout.close()


class AdminTest(unittest.TestCase):
    """headgate-admin for the class; self.root is who we are at the machine."""
    longMessage = True
    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack()
        cls.n = 0
        try:
            cls.stack.start_infra()
            cls.stack.make_keys()
            cls.before_start()
            cls.stack.start_admin(config=cls.stack.admin_config(settings=cls.settings))
            cls.root = cls.stack.api()
            cls.prepare()
        except BaseException:
            cls.stack.down(keep=True)
            raise

    @classmethod
    def before_start(cls):
        """Files that the settings name."""

    @classmethod
    def prepare(cls):
        """Administrators that the class's tests share."""

    @classmethod
    def tearDownClass(cls):
        cls.stack.down(keep=os.environ.get("HEADGATE_KEEP", "") not in ("", "0"))

    def tearDown(self):
        for d in self.stack.daemons.values():
            self.assertIsNone(d.process.poll(), f"{d.name} ended by itself: {tail(d.log)}")

    # ---- people
    @classmethod
    def administrator(cls, *roles, name=None, **fields):
        """A new administrator, as the API tells of him."""
        cls.n += 1
        return cls.root.post("/administrators", {"name": name or f"p{cls.n}", "roles": list(roles), **fields}, expect=201)

    @classmethod
    def person(cls, *roles, name=None, node="admin1", **fields):
        """A new administrator with a token."""
        made = cls.administrator(*roles, name=name, **fields)
        token = cls.root.post("/tokens", {"administrator_id": made["administrator_id"]}, expect=201)
        return Person(cls.stack, made["name"], token, node)

    @classmethod
    def role(cls, *permissions):
        """A new role; its name."""
        cls.n += 1
        return cls.root.post("/roles", {"name": f"role{cls.n}", "permissions": list(permissions)}, expect=201)["name"]

    def refused(self, answer, status, detail=""):
        self.assertEqual(answer.status, status, answer)
        problem = json.loads(answer.body)
        self.assertEqual(problem["status"], status)
        self.assertIn(detail, problem["detail"])
        return problem

    # ---- the log
    def rows(self, **filters):
        """Newest first."""
        query = "&".join(f"{k}={v}".replace(" ", "%20") for k, v in filters.items())
        return self.root.get(f"/audit?limit=500&{query}")["items"]

    def row(self, what="a row", **filters):
        return wait_for(f"{what} in the audit log: {filters}", lambda: self.rows(**filters))[0]


# ---- the audit log, verified by other means than the product's
def pages(api, path, **more):
    """All items of a list."""
    cursor, items = "", []
    while True:
        got = api.get(f"{path}{'&' if '?' in path else '?'}limit=500{cursor}", **more)
        items += got["items"]
        if got["next"] is None:
            return items
        cursor = f"&cursor={got['next']}"


def row_hash(row):
    """docs/admin-api.md: every field is its octets, counted; the request's id stands there only when there is one."""
    def field(value):
        return "-," if value is None else f"{len(str(value).encode())}:{value},"
    text = "".join(field(row[k]) for k in ("seq", "at", "actor", "person", "action", "object", "before", "after", "prev"))
    return hashlib.sha256((text + (field(row["request_id"]) if row["request_id"] is not None else "")).encode()).hexdigest()


def fault_of(rows, checkpoints, public_key, folder):
    """What is wrong with the log; None: nothing."""
    seq, last = 0, "0" * 64
    hashes = {}
    for row in rows:
        if row["seq"] != seq + 1 or row["prev"] != last:
            return f"row {row['seq']} does not follow row {seq}"
        if row_hash(row) != row["hash"]:
            return f"row {row['seq']} was altered"
        seq, last = row["seq"], row["hash"]
        hashes[seq] = last
    for c in checkpoints:
        if c in (checkpoints[0], checkpoints[-1]) and not is_signed(c, public_key, folder):
            return f"checkpoint {c['seq']} is not signed by this key"
        if c["seq"] > seq:
            return f"the log ends at row {seq}, row {c['seq']} was signed"
        if hashes[c["seq"]] != c["hash"]:
            return f"row {c['seq']} is another one than was signed"
    return None


def is_signed(c, public_key, folder):
    """By the openssl command: r and s in DER, and the text of docs/admin-api.md."""
    def integer(octets):
        octets = octets.lstrip(b"\0") or b"\0"
        octets = (b"\0" if octets[0] >= 0x80 else b"") + octets
        return b"\x02" + bytes([len(octets)]) + octets
    raw = bytes.fromhex(c["signature"])
    body = integer(raw[:32]) + integer(raw[32:])
    for name, octets in (("sig", b"\x30" + bytes([len(body)]) + body), ("key", public_key.encode()),
                         ("text", f"headgate audit checkpoint\n{c['seq']}\n{c['hash']}\n{c['at']}\n".encode())):
        with open(f"{folder}/check.{name}", "wb") as f:
            f.write(octets)
    return subprocess.run(["openssl", "dgst", "-sha256", "-verify", f"{folder}/check.key", "-signature", f"{folder}/check.sig",
                           f"{folder}/check.text"], capture_output=True, check=False).returncode == 0


__all__ = ["ROLES", "AdminTest", "Failed", "Person", "fault_of", "is_signed", "pages", "row_hash", "tail", "wait_for"]
