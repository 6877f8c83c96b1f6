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

BIN = pathlib.Path(os.environ.get("HEADGATE_BIN", TOP / "build/release-gcc/bin")) / "headgatectl"
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
        done = self.refused(1, "headgatectl: Invalid: two fields are wrong\n  /number: not E.164\n  /name?[2J: too long\n  request r-1\n",
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
        self.assertEqual(self.completed("-o", "t"), ["table"])
        self.assertEqual(self.completed("--token-file", self.path("ctl.y")), [self.path("ctl.yaml")])
        self.assertIn("--help", self.completed("line", "list", "--"))
        self.assertEqual(self.completed("nothing", "x"), [])


if __name__ == "__main__":
    unittest.main()
