"""The scene of tools/demo about a court's order: two officers, a call, the agency that hears it, and nobody else who knows."""
import json
import pathlib
import subprocess
import threading

import capture
import lilib
import sound
from hglib import Daemon, Failed, tail, wait_for

CASE, AGENCY = "DEMO-2026-0815", "Harbour Police"
NO_RIGHT = "not tried: to capture wants root, or sudo"
# What a viewer of all of it sees in headgate-admin: each list that it has.
PLACES = ("calls", "calls?state=ended", "cdrs", "traces", "sessions", "registrations", "provisioning-servers", "nodes", "alarms", "preemptions",
          "administrators", "roles", "policies", "changes", "audit", "audit-checkpoints", "accounts", "lines", "numbers", "btis", "work-orders",
          "routes", "trunks", "dial-rules", "in-force", "openapi.json")
WORDS = (("status",), ("calls", "--recent"), ("nodes",), ("alarms",), ("sessions",), ("registrations",), ("audit", "list"), ("line", "list"),
         ("trunk", "list"), ("ps",))


class Intercept:
    """headgate-li, its officers and an agency, started beside what else the demo does."""

    def __init__(self, stack):
        self.stack, self.failed = stack, None
        self.agency_ip, self.folder = stack.net + "21", pathlib.Path(stack.path("agency"))
        self.thread = threading.Thread(target=self.start)
        self.thread.start()

    @staticmethod
    def settings(stack):
        """What headgate has to be told: the same whether there ever is an order or not."""
        return {"tap.file": f'"{stack.path("tap")}"', "tap.bytes": 1048576}

    def start(self):
        s = self.stack
        try:
            lilib.make_keys(s)
            lilib.make_database(s)
            for name in ("anna", "bert"):
                lilib.officer_config(s, name)
            words = ["--cdc", f"{self.agency_ip}:9900", "--x2", f"{self.agency_ip}:9901", "--folder", self.folder, "--certificate",
                     s.path("cf.example.pem"), "--key", s.path("cf.example.key"), "--ca", s.path("agencies.pem")]
            s.daemons["lea"] = Daemon("lea", [s.bin / "headgate-lea", *words], s.log("lea")).start()
            lilib.start(s)
        except (Failed, OSError, subprocess.SubprocessError) as why:
            self.failed = why

    def ready(self):
        self.thread.join()
        if self.failed:
            raise Failed(f"headgate-li: {self.failed}: {tail(self.stack.log('li'))}")

    # ---- officers
    def officer(self, name, *words, form=None):
        """(exit status, output) of an officer's `headgatectl li`; what he enters comes by stdin."""
        done = subprocess.run([self.stack.bin / "headgatectl", "--config", self.stack.path(name + ".yaml"), *words],
                              input=json.dumps(form) if form else None, stdin=None if form else subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60, check=False)
        said = (done.stderr or done.stdout).removeprefix("headgatectl: ").split("\n")[0]
        if "-o" in words and done.returncode == 0:
            said = ", ".join(f"{k} {v}" for k, v in json.loads(done.stdout).items() if k in ("agency", "name", "order", "case_id", "state"))
        print(f"   {name} | {' '.join(w for w in words if w not in ('-o', 'json'))}: {said}", flush=True)
        return done.returncode, done.stdout

    def asked(self, name, *words, form=None):
        status, out = self.officer(name, "-o", "json", "li", *words, form=form)
        if status != 0:
            raise Failed(f"{name}: li {' '.join(words)}: exit {status}")
        return json.loads(out)

    def order(self, number):
        """An order in force, and what became of an officer who wanted it alone."""
        place = {"address": f"{self.agency_ip}:9900", "tls_name": "cf.example"}
        agency = self.asked("anna", "agency-add", "-", form={"name": AGENCY, "contact": "duty desk", "cdc": place,
                                                             "x2": {**place, "address": f"{self.agency_ip}:9901"}})["agency"]
        form = {"agency": agency, "case_id": CASE, "type": "content", "target": {"number": number}, "starts_at": lilib.when(-60),
                "ends_at": lilib.when(3600), "presented_by": "the agency's officer", "signed_by": "the judge",
                "responsible": "the carrier's officer"}
        order = str(self.asked("anna", "enter", "-", form=form)["order"])
        alone = self.officer("anna", "li", "approve", order)[0]
        both = self.officer("bert", "-o", "json", "li", "approve", order)[0]
        wait_for("both channels to be up", lambda: self.up(order))
        return f"{'refused' if alone == 1 else f'exit {alone}'}, then approved by another" if both == 0 else f"exit {both}"

    def up(self, order):
        done = subprocess.run([self.stack.bin / "headgatectl", "--config", self.stack.path("bert.yaml"), "-o", "json", "li", "state"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        state = json.loads(done.stdout) if done.returncode == 0 else {"deliveries": []}
        mine = [d for d in state["deliveries"] if str(d["order"]) == order]
        return len(mine) == 2 and all(d["up"] for d in mine) and state["directory"]

    # ---- the agency
    def lea(self, *words):
        return subprocess.run([self.stack.bin / "headgate-lea", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False)

    def heard(self, wire, spoken):
        """What the agency makes of the capture."""
        print(self.lea("show", self.folder).stdout.rstrip(), flush=True)
        out = pathlib.Path(self.stack.path("agency-wav"))
        done = self.lea("voice", self.folder, "--capture", wire, "--wav", out)
        print("\n   " + done.stdout.strip().replace("\n", "\n   "), flush=True)
        files = sorted(out.glob("*-subject.wav")) if done.returncode == 0 else []
        if len(files) != 1:
            return f"no voice: {done.stdout}{done.stderr}"
        return "every sample" if sound.holds(sound.samples_of(files[0]), spoken) else "something else"

    # ---- everybody else
    def secrets(self):
        """What names this order, to its agency or to the officers: nobody else may show it."""
        shown = [json.loads(line) for line in self.lea("show", self.folder, "--json").stdout.splitlines()]
        found = {m["xid"] for m in shown if m["channel"] == "x2"} | {m["content"] for m in shown if m.get("content")}
        if len(found) < 2:
            raise Failed("neither XID nor content id came")
        return [CASE, AGENCY, *found]

    def others(self):
        """What everybody but headgate-li, its officers and the agency shows: {where: text}."""
        s, api = self.stack, self.stack.api()
        texts = {f"headgate-admin /{p}": json.dumps(api.get("/" + p)) for p in PLACES}
        for call in api.get("/calls?state=ended")["items"]:
            texts[f"the ladder of {call['call_id']}"] = json.dumps(api.get(f"/calls/{call['call_id']}/ladder"))
        texts.update({f"headgatectl {' '.join(w)}": s.ctl(*w) for w in WORDS})
        own = {s.log("li"), s.log("lea")}
        texts.update({str(p): p.read_text(errors="replace") for p in s.folder.glob("*.log") if str(p) not in own})
        texts["the database"] = subprocess.run(["pg_dump", "-h", str(s.pg_host), "-U", "headgate", "headgate"], stdin=subprocess.DEVNULL,
                                               capture_output=True, text=True, timeout=60, check=True).stdout
        return texts

    def seen_elsewhere(self):
        secrets, texts = self.secrets(), self.others()
        size = sum(map(len, texts.values()))
        print(f"   {len(texts)} answers, logs and tables of everybody else, {size // 1024} KiB, searched for {len(secrets)} words", flush=True)
        found = sorted({where for where, text in texts.items() for word in secrets if word.lower() in text.lower()})
        return "nothing" if not found else "; ".join(found)

    # ---- the scene
    def rows(self, alice, bob, number, called):
        self.ready()
        rows = [("an officer approves his own order", "refused, then approved by another", self.order(number))]
        files = [self.stack.path(n) for n in ("alice-speaks.wav", "bob-speaks.wav")]
        spoken = [sound.melody(path, notes, 0.5) for path, notes in zip(files, ((440, 620, 500), (700, 350)))]
        if not capture.allowed():
            self.talk(alice, bob, called, files)
            rows.append(("the agency decrypts what was spoken", NO_RIGHT, NO_RIGHT))
        else:
            wire = capture.Capture(self.stack, "edge")
            try:
                self.talk(alice, bob, called, files)
            finally:
                wire.end()
            rows.append(("the agency decrypts what was spoken", "every sample", self.heard(wire.path, spoken[0])))
        rows.append(("who else shows the order", "nothing", self.seen_elsewhere()))
        return rows

    def records(self):
        return len(self.stack.api().get("/cdrs")["items"])

    def talk(self, alice, bob, called, files):
        """The call, until the agency has all that is told of it, and the provider its own record."""
        before = self.records()
        ear = bob.listen("--audio", "file:" + files[1])
        call = alice.call(called, "--audio", "file:" + files[0], "--duration", "1")
        try:
            if call.exit(30) != 0:
                raise Failed(f"the call failed: {call.events[-4:]}")
            ear.wait("ended")
        finally:
            call.stop()
            ear.stop()
        wait_for("the agency to have all of the call", lambda: "the call is over" in self.lea("show", self.folder).stdout)
        wait_for("the record of the call", lambda: self.records() > before)

    def env(self):
        """Lines for var/demo/env."""
        s = self.stack
        return f"""export HEADGATE_LI='https://{s.net}7:8444/li/v1' HEADGATE_LI_SOCKET='{s.path("li.sock")}' HEADGATE_LI_HEALTH='http://{s.net}7:9073'
export HEADGATE_LI_ANNA='{s.path("anna.yaml")}' HEADGATE_LI_BERT='{s.path("bert.yaml")}'    # headgatectl --config $HEADGATE_LI_ANNA li orders
export HEADGATE_LI_CA='{s.path("officers.pem")}' HEADGATE_LI_ANNA_CERTIFICATE='{s.path("anna.pem")}' HEADGATE_LI_ANNA_KEY='{s.path("anna.key")}'
export HEADGATE_LI_BERT_CERTIFICATE='{s.path("bert.pem")}' HEADGATE_LI_BERT_KEY='{s.path("bert.key")}'
export HEADGATE_LEA_CDC='{self.agency_ip}:9900' HEADGATE_LEA_X2='{self.agency_ip}:9901' HEADGATE_LEA_LOG='{s.log("lea")}'
export HEADGATE_LEA_FOLDER='{self.folder}' HEADGATE_LEA_WAV='{s.path("agency-wav")}' HEADGATE_CAPTURE='{s.path("edge.pcap")}'
"""
