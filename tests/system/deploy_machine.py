"""deploy/ and the page on installing, done as an operator does them: on a copy of this machine, under the Unix users of the units,
with the examples of deploy/etc and peer authentication. Who may know what is asked of the kernel and of PostgreSQL. The inner half of
this file is what runs in there (tools/machine)."""
import configparser
import glob
import json
import os
import pathlib
import pwd
import subprocess
import sys
import tempfile
import unittest
import urllib.request

HERE = pathlib.Path(__file__).resolve()
TOP = HERE.parent.parent.parent
UNITS = ("headgate-prov", "headgate", "headgate-admin", "headgate-li")
CONFIGS = {"headgate": "/etc/headgate/headgate.yaml", "headgate-prov": "/etc/headgate/prov.yaml",
           "headgate-admin": "/etc/headgate/admin.yaml", "headgate-li": "/etc/headgate-li/li.yaml"}
READY = {"headgate": 9070, "headgate-prov": 9071, "headgate-admin": 9072, "headgate-li": 9073}
MADE = "/srv/keys"  # of the operator, on the copy of the machine
KEYS = (("gate", "headgate", ("cluster",)), ("prov", "headgate-prov", ("kek", "work_order", "cluster")), ("admin", "headgate-admin", ("work_order",)))


# ---- inside ---------------------------------------------------------------------------------------
def run(*words, user=None, check=True):
    """As that user, with the groups that sysusers gave it."""
    before = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"] if user else []
    done = subprocess.run(before + [str(w) for w in words], capture_output=True, text=True, cwd="/", stdin=subprocess.DEVNULL, check=False)
    if check and done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def install():
    run("make", "-C", TOP, "install", "PREFIX=/usr")
    run("systemd-sysusers", "/usr/lib/sysusers.d/headgate.conf")
    run("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/headgate.conf")
    for name in ("headgate", "prov", "admin", "ctl"):
        run("install", "-m", "644", f"/usr/share/headgate/examples/{name}.yaml", "/etc/headgate")
    for name in ("li", "li-migrate"):
        run("install", "-m", "600", "-o", "headgate-li", f"/usr/share/headgate/examples/{name}.yaml", "/etc/headgate-li")


def start_servers():
    for folder in ("/run/postgresql", "/srv/pg"):
        run("install", "-d", "-o", "postgres", folder)
    bin_folder = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
    run(f"{bin_folder}/initdb", "-D", "/srv/pg", "-A", "peer", "--no-sync", user="postgres")
    for name in ("pg_hba.conf", "pg_ident.conf"):
        own, theirs = pathlib.Path("/usr/share/headgate/examples", name).read_text(), pathlib.Path("/srv/pg", name)
        theirs.write_text(own + theirs.read_text())
    run(f"{bin_folder}/pg_ctl", "-D", "/srv/pg", "-w", "-l", "/srv/pg/log", "-o", "-k /run/postgresql -c listen_addresses=", "start", user="postgres")
    run("redis-server", "--bind", "127.0.0.1", "--save", "", "--daemonize", "yes")


def make_databases():
    for database, config in (("headgate", "/etc/headgate/ctl.yaml"), ("headgate_li", "/etc/headgate-li/li-migrate.yaml")):
        run("createdb", database, user="postgres")
        copy = f"/run/postgresql/{database}.yaml"  # its owner may not look into the folder of headgate-li
        run("install", "-o", "postgres", config, copy)
        run("headgatectl", "--config", copy, "migrate", user="postgres")


def make_keys():
    run("install", "-d", "-m", "700", MADE)
    shared = {}
    for folder, user, names in KEYS:
        for name in names:
            if name not in shared:
                shared[name] = f"{MADE}/{name}.key"
                run("headgatectl", "key", "new", shared[name])
            run("install", "-o", user, "-m", "600", shared[name], f"/etc/headgate/{folder}/{name}.key")
    run("headgatectl", "pki", "init", f"{MADE}/pki")
    run("headgatectl", "pki", "ps", f"{MADE}/pki", "ps1.headgate.example")
    for kind in ("pem", "key"):
        run("install", "-o", "headgate-prov", "-m", "600", f"{MADE}/pki/ps1.headgate.example.{kind}", f"/etc/headgate/prov/ps1.{kind}")


def make_intercept_keys():
    """Authorities of headgate-li's own, by openssl."""
    def ssl(*words):
        run("openssl", *words)
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    for authority in ("officers", "agencies"):
        ssl("req", "-x509", *new, "-keyout", f"{MADE}/{authority}.key", "-out", f"/etc/headgate-li/{authority}.pem", "-subj", f"/CN={authority}")
    for name, authority in (("api", "officers"), ("carrier", "agencies")):
        ssl("req", "-x509", *new, "-keyout", f"/etc/headgate-li/{name}.key", "-out", f"/etc/headgate-li/{name}.pem", "-subj", f"/CN={name}", "-CA",
            f"/etc/headgate-li/{authority}.pem", "-CAkey", f"{MADE}/{authority}.key", "-addext", "subjectAltName=IP:127.0.0.1")
    ssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "/etc/headgate-li/record.key")
    run("headgatectl", "key", "new", "/etc/headgate-li/intercept.key")
    run("headgatectl", "key", "pair", "/etc/headgate-li/enrolment.key")
    run("install", "-o", "headgate-prov", "-m", "600", "/etc/headgate-li/enrolment.key.pub", "/etc/headgate/prov/enrolment.key.pub")
    for file in pathlib.Path("/etc/headgate-li").iterdir():
        run("chown", "headgate-li", file)
        file.chmod(0o600)


def start_daemons():
    from hglib import wait_for
    for name in UNITS:
        unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
        unit.read(f"/usr/lib/systemd/system/{name}.service")
        user = unit["Service"]["user"]
        with open(f"/srv/{name}.log", "ab") as log:
            process = subprocess.Popen(["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--no-new-privs", "--bounding-set=-all",
                                        *unit["Service"]["execstart"].split()], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        def ready(process=process, name=name):
            if process.poll() is not None:
                raise SystemExit(f"{name} ended: " + pathlib.Path(f"/srv/{name}.log").read_text()[-2000:])
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{READY[name]}/readyz", timeout=5) as answer:
                    return json.loads(answer.read())
            except OSError:
                return None
        wait_for(f"{name} to be ready", ready)
    def attached():
        return pathlib.Path("/srv/headgate-li.log").read_text().count('"tap.attached"') == 2
    wait_for("headgate-li to read both taps", attached)
    for file in ("/var/lib/headgate-li/position", "/var/lib/headgate/snapshot"):
        wait_for(file, lambda file=file: os.path.exists(file))


def look():
    """What each user may do, as facts."""
    facts = {}
    for user in ("headgate", "headgate-prov", "headgate-admin", "headgate-li", "nobody"):
        own = {"reads": [], "enters": [], "processes": []}
        for path in ("/etc/headgate-li/li.yaml", "/etc/headgate-li/intercept.key", "/var/lib/headgate-li/position", "/etc/headgate/gate/cluster.key",
                     "/etc/headgate/prov/kek.key", "/etc/headgate/prov/cluster.key", "/etc/headgate/admin/work_order.key", "/run/headgate/tap",
                     "/run/headgate/prov.tap", "/etc/headgate-li/enrolment.key", "/var/lib/headgate/snapshot"):
            if run("dd", f"if={path}", "count=1", "of=/dev/null", user=user, check=False).returncode == 0:
                own["reads"].append(path)
        for database in ("headgate", "headgate_li"):
            for role in ("hg_gc", "hg_prov", "hg_api", "hg_trace", "hg_li", "postgres"):
                if run("psql", "-qAtX", "-U", role, "-d", database, "-c", "SELECT 1", user=user, check=False).returncode == 0:
                    own["enters"].append(f"{database} as {role}")
        for name in UNITS:
            pid = subprocess.run(["pgrep", "-xf", f"/usr/bin/{name} .*"], capture_output=True, text=True, check=False).stdout.split()[0]
            if run("dd", f"if=/proc/{pid}/mem", "count=1", "skip=4096", "of=/dev/null", user=user, check=False).returncode == 0 or \
                    run("ls", f"/proc/{pid}/fd", user=user, check=False).returncode == 0:
                own["processes"].append(name)
        facts[user] = own
    return facts


def work():
    """The first things of an operator: an administrator, a line."""
    return {"whoami": json.loads(run("headgatectl", "-o", "json", "whoami").stdout),
            "line": run("headgatectl", "account", "add", "first", check=False).returncode,
            "stranger": run("headgatectl", "nodes", user="nobody", check=False).returncode,
            "as_li": run("headgatectl", "nodes", user="headgate-li", check=False).returncode}


def inside():
    install()
    start_servers()
    make_databases()
    make_keys()
    make_intercept_keys()
    start_daemons()
    print(json.dumps({"facts": look(), "work": work()}))


# ---- the test -------------------------------------------------------------------------------------
class Machine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("only root can copy a machine")
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run([TOP / "tools/machine", sys.executable, "-B", HERE], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said,
                                  text=True, timeout=120, check=False)
            said.seek(0)
            words = said.read()
        if done.returncode == 77:
            raise unittest.SkipTest(words.strip())
        if done.returncode != 0:
            raise AssertionError(f"exit {done.returncode}: {words}")
        cls.seen = json.loads(done.stdout.splitlines()[-1])

    def test_every_daemon_runs_as_its_user_and_the_operator_can_begin(self):
        work = self.seen["work"]
        self.assertEqual(work["line"], 0)
        self.assertIn("preempt", json.dumps(work["whoami"]))
        self.assertNotEqual(work["stranger"], 0)
        self.assertNotEqual(work["as_li"], 0)

    def test_each_user_reads_its_own_files(self):
        reads = {user: set(own["reads"]) for user, own in self.seen["facts"].items()}
        self.assertEqual(reads["headgate"], {"/etc/headgate/gate/cluster.key", "/run/headgate/tap", "/var/lib/headgate/snapshot"})
        self.assertEqual(reads["headgate-prov"], {"/etc/headgate/prov/kek.key", "/etc/headgate/prov/cluster.key", "/run/headgate/prov.tap"})
        self.assertEqual(reads["headgate-admin"], {"/etc/headgate/admin/work_order.key"})
        self.assertEqual(reads["headgate-li"], {"/etc/headgate-li/li.yaml", "/etc/headgate-li/intercept.key", "/var/lib/headgate-li/position",
                                                "/run/headgate/tap", "/run/headgate/prov.tap", "/etc/headgate-li/enrolment.key"})
        self.assertEqual(reads["nobody"], set())

    def test_each_user_enters_its_own_databases(self):
        enters = {user: set(own["enters"]) for user, own in self.seen["facts"].items()}
        self.assertEqual(enters, {"headgate": {"headgate as hg_gc"}, "headgate-prov": {"headgate as hg_prov"},
                                  "headgate-admin": {"headgate as hg_api", "headgate as hg_trace"},
                                  "headgate-li": {"headgate as hg_li", "headgate_li as hg_li"}, "nobody": set()})

    def test_nobody_looks_into_the_process_of_another_or_his_own(self):
        for user, own in self.seen["facts"].items():
            self.assertEqual(own["processes"], [], user)


if __name__ == "__main__":
    assert pwd.getpwuid(os.geteuid()).pw_name == "root"
    sys.path[:0] = [str(TOP / "tools")]
    inside()
