"""headgatectl as a client of the API: its words, its patience and its secrets, before a server made for the purpose; then before
the real one."""
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
import unittest

from hglib import TOP, wait_for
from stacked import SDP, StackTest, telephone

BIN = pathlib.Path(os.environ.get("HEADGATE_BIN", TOP / "build/release-gcc/bin")) / "headgatectl"
CHECKPOINTS = {"audit.checkpoint_rows": "1"}
TOKEN = "hga_this-is-secret_0123456789"


class Api(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A server on a Unix socket that answers what it was given, in order, and keeps what it was asked."""
    daemon_threads = True

    def __init__(self, path):
        super().__init__(path, Handler)
        self.asked, self.answers = [], []
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    def handle_error(self, request, client_address):
        """A client that has enough goes."""

    def close(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers.items()), body.decode()))
        status, headers, body = self.server.answers.pop(0)
        body = json.dumps(body) if isinstance(body, (dict, list)) else body
        kind = "application/problem+json" if status >= 400 else "application/json"
        self.send_response(status)
        for name, value in {"Content-Type": kind, "X-Request-Id": "r-1", "Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_POST = do_PATCH = do_DELETE = answer

    def log_message(self, *words):
        pass

    def address_string(self):
        return "unix"


def problem(status, name, title, detail="", headers=None, errors=()):
    body = {"type": "https://headgate.invalid/problems/" + name, "title": title, "status": status, "detail": detail}
    return status, headers or {}, {**body, "errors": list(errors)} if errors else body


class Client(unittest.TestCase):
    """Whatever the server: what is sent, what is shown, when it is asked again."""
    longMessage = True

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="headgate.ctl.", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.api = Api(self.path("admin.sock"))
        self.addCleanup(self.api.close)
        self.write("ctl.yaml", f'admin:\n  socket: "{self.path("admin.sock")}"\n')

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode=0o600):
        pathlib.Path(self.path(name)).write_text(text, encoding="utf-8")
        os.chmod(self.path(name), mode)
        return self.path(name)

    def ctl(self, *words, answers=(), data=None):
        self.api.asked, self.api.answers = [], list(answers)
        done = subprocess.run([BIN, "--config", self.path("ctl.yaml"), *words], input=data, capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual(self.api.answers, [], f"not all was asked for: {done}")
        return done

    def refused(self, code, says, *words, answers=(), data=None):
        done = self.ctl(*words, answers=answers, data=data)
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        for text in [says] if isinstance(says, str) else says:
            self.assertIn(text, done.stderr)
        return done

    def test_what_is_sent_and_shown(self):
        done = self.ctl("api", "GET", "/version?x=1", answers=[(200, {"ETag": '"7"'}, {"version": "1", "n": 7})])
        self.assertEqual((done.returncode, json.loads(done.stdout)), (0, {"version": "1", "n": 7}), done.stderr)
        self.assertIn('ETag: "7"', done.stderr)
        method, path, headers, body = self.api.asked[0]
        self.assertEqual((method, path, body), ("GET", "/api/v1/version?x=1", ""))
        for name in ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Expect"):
            self.assertNotIn(name, headers)
        done = self.ctl("api", "POST", "/api/v1/accounts", "--data", "-", data='{"name": "x"}',
                        answers=[(201, {"Location": "/api/v1/accounts/7"}, {"id": 7})])
        self.assertIn("Location: /api/v1/accounts/7", done.stderr)
        method, path, headers, body = self.api.asked[0]
        self.assertEqual((method, path, json.loads(body), headers["Content-Type"]), ("POST", "/api/v1/accounts", {"name": "x"},
                                                                                    "application/json"))
        self.assertRegex(headers["Idempotency-Key"], "^[0-9a-f]{32}$")
        self.ctl("api", "PATCH", "/accounts/7", "--if-match", '"7"', "--data", self.write("d.json", "{}"), answers=[(200, {}, {})])
        self.assertEqual([self.api.asked[0][2][h] for h in ("Content-Type", "If-Match")], ["application/merge-patch+json", '"7"'])
        self.assertEqual(self.ctl("api", "DELETE", "/accounts/7", answers=[(204, {}, "")]).returncode, 0)

    def test_problems_in_words(self):
        errors = [{"pointer": "/number", "detail": "not E.164"}, {"pointer": "/name\x1b[2J", "detail": "too long"}]
        done = self.refused(64, "headgatectl: Invalid: two fields are wrong\n  /number: not E.164\n  /name?[2J: too long\n  request r-1\n",
                            "api", "POST", "/lines", answers=[problem(422, "invalid", "Invalid", "two fields are wrong", errors=errors)])
        self.assertNotIn("\x1b", done.stderr)
        for status, code in ((400, 64), (403, 1), (404, 1), (409, 1), (412, 1), (415, 1), (428, 1), (500, 70), (501, 70)):
            with self.subTest(status=status):
                self.refused(code, ["Title: detail", "request r-1"], "api", "GET", "/x", answers=[problem(status, "x", "Title", "detail")])
        self.refused(1, "who may ask: the token", "api", "GET", "/x", answers=[problem(401, "unauthorized", "Unauthorized")])
        self.refused(70, "HTTP status 502", "api", "GET", "/x", answers=[(502, {}, "<html>bad gateway</html>")])
        self.refused(70, "HTTP status 302", "api", "GET", "/x", answers=[(302, {"Location": "https://example.net/"}, "")])

    def test_asked_again_and_not_for_ever(self):
        busy = problem(429, "too-many", "Too many requests", headers={"Retry-After": "1"})
        done = self.ctl("api", "POST", "/x", answers=[busy, problem(503, "unavailable", "Unavailable", headers={"Retry-After": "1"}),
                                                      (200, {}, {})])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len({headers["Idempotency-Key"] for _, _, headers, _ in self.api.asked}), 1, "the same key each time")
        self.refused(69, "Unavailable", "api", "GET", "/x",
                     answers=[problem(503, "unavailable", "Unavailable", headers={"Retry-After": "3600"})])
        self.write("ctl.yaml", f'admin:\n  socket: "{self.path("admin.sock")}"\n  retry: "1s"\n')
        self.refused(69, "Too many requests", "api", "GET", "/x", answers=[busy, busy])

    def test_what_another_changed_meanwhile_is_read_again(self):
        busy = problem(412, "precondition-failed", "It has changed since you read it")
        account = {"account_id": 7, "name": "x", "barred": False, "line_count": 0, "created_at": "2026-11-24T08:30:00Z"}
        done = self.ctl("account", "bar", "7", answers=[(200, {"ETag": '"1"'}, account), busy, (200, {"ETag": '"2"'}, account),
                                                        (200, {}, account)])
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        self.assertEqual([(m, h.get("If-Match"), b) for m, _, h, b in self.api.asked],
                         [("GET", None, ""), ("PATCH", '"1"', '{"barred":true}'), ("GET", None, ""), ("PATCH", '"2"', '{"barred":true}')])
        self.refused(1, "It has changed since you read it", "account", "bar", "7",
                     answers=[(200, {"ETag": '"1"'}, account), busy] * 5)
        self.refused(1, "no account 7", "account", "unbar", "7", answers=[problem(404, "not-found", "There is no such thing")])

    def test_lists_follow_their_cursors(self):
        pages = [(200, {}, {"items": [{"account_id": n, "name": f"a{n}", "barred": n == 2, "line_count": n}], "next": then})
                 for n, then in ((1, "aa"), (2, "bb"), (3, None))]
        done = self.ctl("account", "list", answers=pages)
        self.assertEqual([line.split() for line in done.stdout.splitlines()],
                         [["account", "name", "barred", "lines"], ["1", "a1", "f", "1"], ["2", "a2", "t", "2"], ["3", "a3", "f", "3"]])
        self.assertEqual([path for _, path, _, _ in self.api.asked],
                         ["/api/v1/accounts?limit=500", "/api/v1/accounts?limit=500&cursor=aa", "/api/v1/accounts?limit=500&cursor=bb"])
        done = self.ctl("-o", "json", "account", "list", answers=pages)
        self.assertEqual(json.loads(done.stdout)[1], {"account": "2", "name": "a2", "barred": "t", "lines": "2"})
        self.ctl("cdr", "list", "--limit", "2", answers=[(200, {}, {"items": [{}, {}], "next": "aa"})])
        self.refused(70, "no JSON", "account", "list", answers=[(200, {}, "<html>")])

    def test_a_proposal_is_told(self):
        proposed = (202, {"Location": "/api/v1/changes/7"}, {"state": "proposed", "changes": [7, 8]})
        done = self.ctl("number", "add", "1", "+12125550101", answers=[proposed])
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"^proposed as change 7: .* change approve 7\nproposed as change 8: .* change approve 8\n$")
        self.assertEqual(json.loads(self.ctl("-o", "json", "number", "add", "1", "+12125550101", answers=[
            (202, proposed[1], {"state": "proposed", "changes": [7]})]).stdout), {"proposed": "7"})

    def test_nobody_there_and_nothing_said(self):
        self.refused(69, [self.path("none.sock"), "is headgate-admin running?"], "--socket", self.path("none.sock"), "api", "GET", "/x")
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(self.path("silent.sock"))
            silent.listen()
            self.write("ctl.yaml", f'admin:\n  socket: "{self.path("silent.sock")}"\n  timeout: "300ms"\n')
            self.refused(69, "no answer within", "api", "GET", "/x")
        self.write("ctl.yaml", f'admin:\n  socket: "{self.path("admin.sock")}"\n')

    def test_the_token_is_read_from_a_file_and_shown_nowhere(self):
        path = self.write("token", TOKEN + "\n")
        done = self.ctl("--token-file", path, "api", "GET", "/x", answers=[(200, {}, {"a": 1})])
        self.assertEqual(self.api.asked[0][2]["Authorization"], "Bearer " + TOKEN)
        self.assertNotIn(TOKEN, done.stdout + done.stderr)
        self.write("ctl.yaml", f'admin:\n  socket: "{self.path("admin.sock")}"\n  token_file: "token"\n')
        self.ctl("api", "GET", "/x", answers=[(200, {}, {})])
        self.assertEqual(self.api.asked[0][2]["Authorization"], "Bearer " + TOKEN, "and by the configuration file")
        for name, text, mode, says in (("open", TOKEN, 0o640, "only its owner may read it"), ("two", f"{TOKEN}\n{TOKEN}\n", 0o600,
                                       "one line with a token"), ("odd", "a b", 0o600, "one line with a token"), ("void", "", 0o600,
                                       "one line with a token"), ("long", "a" * 600, 0o600, "out of range")):
            with self.subTest(name=name):
                done = self.refused(64, says, "--token-file", self.write(name, text, mode), "api", "GET", "/x")
                self.assertNotIn(TOKEN, done.stderr)
        self.refused(64, "no such object", "--token-file", self.path("none"), "api", "GET", "/x")
        self.refused(64, "https://", "--url", "http://192.0.2.1:1", "api", "GET", "/x")

    def test_the_token_is_in_no_argument_and_no_environment(self):
        path = self.write("token", TOKEN)
        with socket.socket(socket.AF_UNIX) as slow:
            slow.bind(self.path("slow.sock"))
            slow.listen()
            child = subprocess.Popen([BIN, "--config", self.path("ctl.yaml"), "--socket", self.path("slow.sock"), "--token-file", path,
                                      "api", "GET", "/x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            with slow.accept()[0] as asked:
                self.assertIn(TOKEN.encode(), asked.recv(65536), "it was sent by now")
                for name in ("cmdline", "environ"):
                    try:
                        self.assertNotIn(TOKEN.encode(), pathlib.Path(f"/proc/{child.pid}/{name}").read_bytes())
                    except PermissionError:
                        pass  # not dumpable: nobody but root may look at all
            out, err = child.communicate(timeout=30)
            self.assertNotIn(TOKEN.encode(), out + err)

    # ---- help and completion
    def commands(self):
        """{words: usage} of every command."""
        listed = subprocess.run([BIN, "--help"], capture_output=True, text=True, check=True).stdout
        return re.findall(r"^  ([a-z]+(?: [a-z-]+)?)  +\S", listed, re.M)

    def test_every_command_has_an_example(self):
        self.assertGreater(len(self.commands()), 60)
        for words in self.commands():
            with self.subTest(words=words):
                said = subprocess.run([BIN, *words.split(), "--help"], capture_output=True, text=True, check=True).stdout
                self.assertRegex(said, rf"^usage: headgatectl {words}\b")
                self.assertRegex(said, r"examples?:\n  headgatectl \S")
                self.assertEqual(subprocess.run([BIN, "help", *words.split()], capture_output=True, text=True, check=True).stdout, said)
        done = subprocess.run([BIN, "help", "trunk"], capture_output=True, text=True, check=True).stdout
        self.assertGreater(done.count("usage: "), 5)
        self.assertEqual(subprocess.run([BIN, "help", "nothing"], capture_output=True, check=False).returncode, 64)

    def test_every_command_is_in_the_manual(self):
        page = (TOP / "docs/man/headgatectl.8").read_text(encoding="utf-8")
        told = {re.sub(r" (Ar|Oo|Op|Fl|Po|Cm|Pq).*", "", m) for m in re.findall(r"^\.It Ic (.*)$", page, re.M)}
        self.assertEqual(set(self.commands()) - told, set())
        self.assertEqual(told - set(self.commands()), set())

    def completed(self, *words):
        """What bash offers for the last of the words."""
        script = ('source <("$0" completion bash); COMP_WORDS=(headgatectl "$@"); COMP_CWORD=$#; COMPREPLY=(); _headgatectl; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-euc", script, str(BIN), *words], capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.split()

    def test_bash_completes(self):
        self.assertEqual(self.completed("tru"), ["trunk"])
        self.assertEqual(self.completed("trunk", "s"), ["show", "set", "status"])
        self.assertEqual(self.completed("-o", "json", "rou"), ["route"])
        self.assertEqual(self.completed("trunk", "set", "gw", "--stir-v"), ["--stir-verify"])
        self.assertEqual(self.completed("trunk", "set", "gw", "--stir-verify", ""), ["off", "mark", "reject"])
        self.assertEqual(self.completed("calls", "--rec"), ["--recent"])
        self.assertEqual(self.completed("li", "agency-r"), ["agency-retire", "agency-refuse"])
        self.assertEqual(self.completed("li", "orders", "--state", "a"), ["active"])
        self.assertEqual(self.completed("-o", "t"), ["table"])
        self.assertEqual(self.completed("--token-file", self.path("ctl.y")), [self.path("ctl.yaml")])
        self.assertIn("--help", self.completed("line", "list", "--"))
        self.assertEqual(self.completed("nothing", "x"), [])


class Commands(StackTest):
    """Every command once before the real daemons."""

    @classmethod
    def prepare(cls, stack):
        cls.phones = [telephone(stack, f"+1212555010{n}", f"{stack.net}{20 + n}") for n in (1, 2)]
        for phone in cls.phones:
            phone.register()

    @classmethod
    def tearDownClass(cls):
        for phone in cls.phones:
            phone.close()
        super().tearDownClass()

    def ctl(self, *words):
        return self.stack.ctl(*words)

    def json(self, *words):
        return self.stack.ctl_json(*words)

    def refused(self, code, says, *words):
        done = self.stack.ctl(*words, check=False)
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        self.assertIn(says, done.stderr)

    def both(self, *words):
        """A list as a table and as JSON tell the same."""
        table = self.ctl(*words)
        rows = self.json(*words)
        self.assertEqual(len(table.splitlines()), len(rows) + 1, table)
        return rows

    def call(self):
        """A live call between the two: its id."""
        caller, callee = self.phones
        call = caller.invite(callee.number, SDP)
        callee.answer(callee.expect_request("INVITE"), SDP, timeout=0)
        self.assertEqual(caller.final(call).status, 200)
        self.assertIsNotNone(callee.expect_request("ACK"))
        return wait_for("the call", lambda: [c["id"] for c in self.json("calls") if c["call_id"] == call.request.call_id])[0]

    def ended(self):
        """Both got a BYE: their Reason headers."""
        reasons = []
        for phone in self.phones:
            bye = phone.expect_request("BYE")
            self.assertIsNotNone(bye)
            phone.send(phone.response_message(bye, 200, "OK"))
            reasons.append(bye.get("reason"))
        return reasons

    def test_subscribers(self):
        account = self.json("account", "add", "Andr\u00e9")["account"]
        self.ctl("account", "bar", account)
        self.assertEqual([(r["name"], r["barred"]) for r in self.both("account", "list") if r["account"] == account], [("Andr\u00e9", "t")])
        self.ctl("account", "unbar", account)
        line = self.json("line", "add", account, "+12125550160", "--name", "Desk", "--level", "administrator", "--priority", "ets.2")["line"]
        self.ctl("line", "set", line, "--name", "Other desk")
        self.ctl("number", "add", line, "+12125550161")
        self.ctl("line", "bar", line)
        row = [r for r in self.both("line", "list") if r["line"] == line][0]
        self.assertEqual(row, {"line": line, "account": account, "numbers": "+12125550160 +12125550161", "name": "Other desk",
                               "level": "administrator", "barred": "t"})
        self.ctl("line", "unbar", line)
        self.ctl("number", "remove", "+12125550161")
        self.refused(1, "no number +12125550161", "number", "remove", "+12125550161")
        self.refused(1, "It exists already", "number", "add", line, "+12125550160")
        self.refused(64, "/numbers/0", "line", "add", account, "12")
        self.ctl("service", "set", "+12125550160", "--private", "yes", "--forward-busy", "+12125550199")
        shown = self.json("service", "show", line)
        self.assertEqual((shown["private"], shown["forward_busy"], shown["forward_always"]), ("yes", "+12125550199", "off"))
        order = self.json("workorder", "new", line, "--hours", "1")
        self.assertRegex(order["work_order"], r"^\d{12}$")
        self.ctl("workorder", "cancel", order["id"])
        self.assertEqual([r["state"] for r in self.both("workorder", "list") if r["id"] == order["id"]], ["cancelled"])
        made = self.json("credential", "add", "desk", line, "--algorithm", "both")
        self.assertEqual((made["algorithm"], len(made["password"])), ("SHA-256, MD5", 20))
        self.ctl("credential", "disable", "desk")
        self.assertEqual([(r["algorithm"], r["disabled"]) for r in self.both("credential", "list") if r["username"] == "desk"],
                         [("SHA-256", "t"), ("MD5", "t")])
        self.ctl("credential", "enable", "desk")
        self.ctl("credential", "remove", "desk")
        self.refused(1, "no credential desk", "credential", "enable", "desk")
        self.assertEqual({r["bti"] for r in self.both("bti", "list")}, {p.bti_id.hex() for p in self.phones})
        self.refused(1, "no BTI", "bti", "revoke", "0" * 32)

    def test_a_call_as_it_happens(self):
        follower = subprocess.Popen([BIN, "--config", self.stack.path("ctl.yaml"), "calls", "--follow"], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True)
        self.addCleanup(follower.stdout.close)
        self.addCleanup(follower.stderr.close)
        self.addCleanup(follower.wait)
        self.addCleanup(follower.kill)
        lines = []
        threading.Thread(target=lambda: lines.extend(iter(follower.stdout.readline, "")), daemon=True).start()

        def seen(word, call):
            return [line for line in list(lines) if f" {word} " in line and call in line]
        wait_for("the stream to run", lambda: self.follows(lines))
        call = self.call()
        wait_for("its beginning", lambda: seen("started", call) and seen("answered", call))
        self.assertIn(f"{self.phones[0].number} -> {self.phones[1].number}", seen("started", call)[0])
        self.assertEqual([c["id"] for c in self.json("calls", "--number", self.phones[1].number)], [call])
        self.assertIn(call, self.ctl("calls"))
        ladder = self.ctl("call", "show", call, "--ladder")
        self.assertRegex(ladder, r"\|-- INVITE sip:\S+ -*>\|.*mac ok")
        self.assertRegex(ladder, r"\|<- 200 OK -*\|" if "|<- 200" in ladder else r"\|<.* 200 OK? -*\|")
        told = self.json("call", "show", call)
        self.assertTrue(told["ladder"][0]["octets"].startswith("INVITE "))
        self.ctl("call", "end", call, "--reason", "asked for by the caller")
        self.assertTrue(all("asked for by the caller" in r for r in self.ended()))
        wait_for("its end", lambda: seen("ended", call))
        self.assertIn(call, [c["id"] for c in self.json("calls", "--recent")])
        self.refused(1, "no live call nothing", "call", "end", "nothing")
        self.assertEqual(self.json("audit", "list", "--limit", "1")[0]["action"], "effect")

    def follows(self, lines):
        """A call is seen: the stream has begun."""
        caller = self.phones[0]
        caller.final(caller.invite("+12125550198", SDP))  # nobody's number
        return list(lines)

    def test_what_goes_on(self):
        self.assertEqual([n["node"] for n in self.both("nodes")], ["gc1"])
        self.assertEqual(self.json("status")["node"], "gc1")
        self.assertIn("node: gc1", self.ctl("status", "--node", "gc1"))
        self.refused(69, "gc9: no gate controller answers", "status", "--node", "gc9")
        self.assertEqual({r["number"] for r in self.both("registrations")}, {p.number for p in self.phones})
        self.assertLessEqual({p.kid.hex() for p in self.phones}, {r["kid"] for r in self.both("sessions")})
        self.assertEqual([r["healthy"] for r in self.both("ps")], [True])
        self.assertIsInstance(self.both("alarms"), list)
        self.assertEqual(self.json("whoami")["how"], "peer")
        call = self.call()
        self.ctl("call", "end", call)
        self.ended()
        newest = ("cdr", "list", "--number", self.phones[0].number, "--limit", "1")  # late records of other calls are older
        wait_for("its record", lambda: [(r["status"], r["ended_by"]) for r in self.json(*newest)] == [("200", "gate")])
        self.assertEqual([r["status"] for r in self.both(*newest)], ["200"])
        self.assertIn(self.phones[1].number, self.ctl("cdr", "export", "--format", "jsonl"))
        self.assertGreater(len(self.ctl("cdr", "export").splitlines()), 1)
        self.refused(64, "--line is a positive number", "cdr", "list", "--line", "x")
        self.assertEqual(self.both("trace", "list"), [])

    def test_preemption_and_emergency_mode(self):
        self.refused(64, "--reason", "preempt", "call", "7f3a")
        call = self.call()
        told = self.json("preempt", "number", self.phones[0].number, "--reason", "trial", "--dry-run")
        self.assertEqual([(c["call"], c["outcome"]) for c in told["results"][0]["calls"]], [(call, "would end")])
        said = self.ctl("preempt", "call", call, "--reason", "way for the fire brigade")
        self.assertRegex(said, r"(?m)^state: done$")
        self.assertRegex(said, rf"(?m)^{call} +ended ")
        self.assertTrue(all("preemption" in r for r in self.ended()))
        self.refused(64, "/trunk: there is no such trunk", "preempt", "trunk", "none", "--reason", "trial", "--dry-run")
        self.ctl("admin", "add", "dora", "--roles", "security,emergency")  # somebody who could approve
        self.ctl("policy", "set", "two_person.preemption", "on")
        try:
            asked = self.json("preempt", "region", "+1999,+1998", "--reason", "flood")
            self.assertEqual((asked["state"], asked["prefixes"]), ("proposed", ["+1999", "+1998"]))
            self.assertIn("scope: region\nof: +1999 +1998\n", self.ctl("preempt", "show", str(asked["id"])))
            self.assertEqual([r["state"] for r in self.both("preempt", "list")][0], "proposed")
            self.assertEqual(self.json("preempt", "reject", str(asked["id"]))["state"], "rejected")
        finally:
            self.stack.sql("SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE core.policy DISABLE TRIGGER a_two_person; UPDATE core.policy SET "
                           "enabled = false; ALTER TABLE core.policy ENABLE ALWAYS TRIGGER a_two_person")
        self.refused(64, "when does it end", "emergency", "declare", "--share", "20", "--reason", "flood")
        mode = self.json("emergency", "declare", "--share", "20", "--hours", "1", "--reason", "flood", "--region", "+1999",
                         "--exempt-lines", self.phones[0].line)["emergency"]
        self.assertEqual([r["scope"] for r in self.both("emergency", "list", "--in-force")], ["region"])
        self.ctl("emergency", "end", mode)
        self.assertEqual(self.both("emergency", "list", "--in-force"), [])
        self.refused(1, "no emergency 99", "emergency", "end", "99")

    def test_people_and_the_log(self):
        self.ctl("admin", "add", "carla", "--roles", "viewer", "--certificate-name", "carla.example")
        self.ctl("admin", "set", "carla", "--roles", "viewer,auditor", "--certificate-name", "off")
        self.assertEqual([(r["roles"], r["certificate"]) for r in self.both("admin", "list") if r["name"] == "carla"],
                         [("viewer auditor", "")])
        self.ctl("role", "add", "night-shift", "--permissions", "calls.read,calls.end", "--meaning", "at night")
        self.ctl("role", "set", "night-shift", "--permissions", "calls.read")
        self.assertEqual([r["permissions"] for r in self.both("role", "list") if r["role"] == "night-shift"], ["calls.read"])
        self.ctl("role", "remove", "night-shift")
        self.refused(64, "/permissions/0", "role", "add", "x", "--permissions", "everything")
        path = self.stack.path("carla.token")
        made = self.json("token", "new", "carla", "--name", "laptop", "--scopes", "calls.read", "--days", "2", "--file", path)
        self.assertEqual((os.stat(path).st_mode & 0o777, "token" in made), (0o600, False))
        self.refused(1, "never overwritten", "token", "new", "carla", "--file", path)
        self.assertEqual(self.json("--token-file", path, "whoami")["permissions"].split(), ["self", "calls.read"])
        self.assertEqual(self.json("--token-file", path, "calls"), [])
        self.refused(1, "this takes the permission", "--token-file", path, "account", "list")
        self.assertEqual([(r["admin"], r["scopes"]) for r in self.both("token", "list", "--admin", "carla")], [("carla", "calls.read")])
        self.ctl("token", "revoke", made["id"])
        self.refused(1, "who may ask", "--token-file", path, "whoami")
        shown = self.json("token", "new", "carla")
        self.assertGreater(len(shown["token"]), 30)
        self.ctl("admin", "disable", "carla")
        self.ctl("admin", "enable", "carla")
        self.ctl("admin", "remove", "carla")
        self.refused(1, "no admin 'carla'", "admin", "disable", "carla")
        rows = self.both("audit", "list", "--person", "os:root", "--limit", "3") or self.both("audit", "list", "--limit", "3")
        self.assertEqual(len(rows), 3)
        self.assertEqual(self.json("audit", "verify")["signatures"], "not looked at (--public-key)")
        self.assertIn("two_person.route", [r["policy"] for r in self.both("policy", "list")])
        self.refused(1, "no policy 'x'", "policy", "set", "x", "on")
        self.assertEqual(self.both("change", "list"), [])
        self.refused(1, "no change 99", "change", "show", "99")
        self.refused(1, "no change 99", "change", "withdraw", "99")

    def test_signed_checkpoints_are_verified(self):
        """By a second headgate-admin that has a key; another key is found out, and a log that was written anew."""
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.stack.path("audit.key")], check=True)
        os.chmod(self.stack.path("audit.key"), 0o600)
        ip = self.stack.net + "8"
        admin = self.stack.start_admin("signing", ip, self.stack.admin_config("signing", ip, settings={
            "keys.audit": f'"{self.stack.path("audit.key")}"', **CHECKPOINTS}))
        way = ("--socket", self.stack.path("signing.sock"))
        key = self.stack.path("audit.pem")
        try:
            self.ctl(*way, "audit", "key", "--file", key)
            self.assertIn("BEGIN PUBLIC KEY", self.ctl(*way, "audit", "key"))
            self.ctl(*way, "account", "add", "to be signed")
            good = wait_for("a checkpoint", lambda: (v := self.json(*way, "audit", "verify"))["checkpoints"] != "0" and v)
            self.assertEqual(self.json(*way, "audit", "verify", "--public-key", key)["signatures"], "good")
            self.assertGreater(int(good["rows"]), 1)
            subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.stack.path("other.key")], check=True)
            with open(self.stack.path("other.pem"), "wb") as other:
                subprocess.run(["openssl", "ec", "-in", self.stack.path("other.key"), "-pubout"], stdout=other, check=True, capture_output=False,
                               stderr=subprocess.DEVNULL)
            self.refused(1, "is not signed by", *way, "audit", "verify", "--public-key", self.stack.path("other.pem"))
            self.refused(64, "no P-256 public key", *way, "audit", "verify", "--public-key", self.stack.path("ctl.yaml"))
        finally:
            admin.stop()
            del self.stack.daemons["signing"]

    def test_from_elsewhere_over_tls(self):
        ip, name = self.stack.net + "9", "admin." + self.stack.domain
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
                        f"/CN={name}", "-addext", f"subjectAltName=IP:{ip}", "-keyout", self.stack.path("https.key"), "-out",
                        self.stack.path("https.pem")], check=True, capture_output=True)
        os.chmod(self.stack.path("https.key"), 0o600)
        admin = self.stack.start_admin("https", ip, self.stack.admin_config("https", ip, settings={
            "tls.certificate": f'"{self.stack.path("https.pem")}"', "tls.key": f'"{self.stack.path("https.key")}"'}))
        try:
            self.ctl("admin", "add", "far", "--roles", "viewer")
            self.ctl("token", "new", "far", "--file", self.stack.path("far.token"))
            way = ("--url", f"https://{ip}:8443", "--token-file", self.stack.path("far.token"))
            wait_for("the token to be known there", lambda: self.stack.ctl(*way, "--ca", self.stack.path("https.pem"), "whoami",
                                                                           check=False).returncode == 0)
            self.assertEqual(self.json(*way, "--ca", self.stack.path("https.pem"), "whoami")["how"], "token")
            self.refused(69, "certificate", *way, "whoami")
            self.refused(69, "certificate", *way, "--ca", self.stack.path("pki/root.pem"), "whoami")
        finally:
            admin.stop()
            del self.stack.daemons["https"]

    def test_config_check(self):
        for name, program in (("gc1", "headgate"), ("ps1", "headgate-prov"), ("admin1", "headgate-admin")):
            told = self.json("config", "check", self.stack.path(name + ".yaml"))
            self.assertEqual((told["program"], told["verdict"]), (program, "good"))
        text = pathlib.Path(self.stack.path("gc1.yaml")).read_text(encoding="utf-8")
        bad = self.stack.write("bad.yaml", text + "\nlimits:\n  callz: 3\n")
        line = len(text.splitlines()) + 3
        self.refused(78, f"as a configuration of headgate: {bad}:{line}:", "config", "check", bad)
        self.refused(78, "as a configuration of headgate-admin: ", "config", "check", bad, "--program", "headgate-admin")
        self.refused(78, "", "config", "check", self.stack.path("none.yaml"))

    def test_raw_questions(self):
        self.assertEqual(json.loads(self.ctl("api", "GET", "/version"))["program"], "headgate-admin")
        self.refused(64, "/name", "api", "POST", "/accounts", "--data", self.stack.write("empty.json", "{}"))
        self.refused(64, "empty.json:1:", "api", "POST", "/accounts", "--data", self.stack.write("empty.json", "{,}"))


if __name__ == "__main__":
    unittest.main()
