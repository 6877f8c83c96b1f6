"""What the tests of lawful intercept share: a stack with a tap, headgate-li with officers' and agencies' certificates, agencies."""
import http.client
import json
import os
import ssl
import subprocess
import threading

import contract
import lilib
from hglib import Failed, Stack, wait_for
from stacked import StackTest


class Agency:
    """headgate-lea with its certificate; what it said, as objects."""

    def __init__(self, stack, name, ip, tls=True, x2=False):
        self.stack, self.name, self.ip, self.tls, self.x2 = stack, name, ip, tls, x2
        self.said, self.process = [], None
        self.start()

    def start(self):
        words = ["--cdc", f"{self.ip}:9900", "--json", "--folder", self.stack.path(self.name)]
        if self.x2:
            words += ["--x2", f"{self.ip}:9901"]
        if self.tls:
            words += ["--certificate", self.stack.path("cf.example.pem"), "--key", self.stack.path("cf.example.key"), "--ca",
                      self.stack.path("agencies.pem")]
        with open(self.stack.log(self.name), "ab") as log:
            self.process = subprocess.Popen([self.stack.bin / "headgate-lea", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=log, text=True, start_new_session=True)
        threading.Thread(target=self.read, args=(self.process.stdout,), daemon=True).start()
        return self

    def read(self, out):
        for line in out:
            self.said.append(json.loads(line))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def kinds(self, case=None, channel="cdc"):
        return [m["kind"] for m in list(self.said) if m["channel"] == channel and case in (None, m["case"])]

    def wait_for(self, kind, case=None, count=1):
        wait_for(f"{count} {kind} at {self.name}: {self.kinds(case)}", lambda: self.kinds(case).count(kind) >= count)
        return [m for m in self.said if m.get("kind") == kind and case in (None, m["case"])]

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)


class LiTest(StackTest):
    """A stack whose signaling is tapped, and headgate-li beside it; officers anna and bert, dora who sits at the machine, and
    cecil whom nobody knows."""
    document = None  # of the officers' API

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack()
        cls.agencies = []
        try:
            cls.stack.up({"tap.file": f'"{cls.stack.path("tap")}"', "tap.bytes": 4194304, **(cls.gc_settings or {})},
                         {**lilib.ps_settings(cls.stack), **(cls.ps_settings or {})})
            lilib.make_keys(cls.stack)
            lilib.make_database(cls.stack)
            cls.start_li()
            cls.prepare(cls.stack)
        except BaseException:
            cls.down()
            raise

    @classmethod
    def down(cls):
        for a in cls.agencies:
            a.stop()
        cls.stack.down(keep=os.environ.get("HEADGATE_KEEP", "") not in ("", "0"))

    @classmethod
    def tearDownClass(cls):
        cls.down()

    @classmethod
    def start_li(cls):
        lilib.start(cls.stack, lilib.enrolment_settings(cls.stack))

    # ---- officers
    @classmethod
    def officer(cls, name, method, path, body=None):
        """(status, JSON) of a request with that officer's certificate; None: without one."""
        context = ssl.create_default_context(cafile=cls.stack.path("officers.pem"))
        if name:
            context.load_cert_chain(cls.stack.path(f"{name}.pem"), cls.stack.path(f"{name}.key"))
        connection = http.client.HTTPSConnection(cls.stack.net + "7", 8444, timeout=30, context=context)
        try:
            connection.request(method, "/li/v1/" + path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.body = answer.read()
            cls.judge(method, path, answer)
            return answer.status, json.loads(answer.body)
        finally:
            connection.close()

    @classmethod
    def judge(cls, method, path, answer):
        """Whatever headgate-li answers is as its document says."""
        if path == "openapi.json" and answer.status == 200:
            cls.document = contract.Document(json.loads(answer.body))
        if cls.document is None:
            cls.done("anna", "GET", "openapi.json")
        operation = cls.document.find(method, "/" + path)
        faults = operation.faults(answer) if operation is not None else []
        if faults:
            raise Failed(f"{method} {path}: {answer.status}: {faults}: {answer.body[:1000]}")

    @classmethod
    def done(cls, name, method, path, body=None):
        status, answer = cls.officer(name, method, path, body)
        if status >= 300:
            raise Failed(f"{method} {path}: {status} {answer}")
        return answer

    @classmethod
    def agency(cls, name, number, tls=True, x2=False, version=4):
        a = Agency(cls.stack, name, f"{cls.stack.net}{number}", tls, x2)
        cls.agencies.append(a)
        place = {"address": f"{a.ip}:9900", **({"tls_name": "cf.example"} if tls else {"plain": True})}
        form = {"name": name, "contact": "duty desk", "version": version, "cdc": place}
        if x2:
            form["x2"] = {**place, "address": f"{a.ip}:9901"}
        a.id = cls.done("anna", "POST", "agencies", form)["agency"]
        return a

    @staticmethod
    def when(seconds):
        return lilib.when(seconds)

    @classmethod
    def form(cls, agency, target, kind="content", case="CASE-1", **more):
        return {"agency": agency.id, "case_id": case, "type": kind, "target": target, "starts_at": cls.when(-60),
                "ends_at": cls.when(3600), "presented_by": "Officer One", "signed_by": "Judge Two", "responsible": "Clerk Three", **more}

    @classmethod
    def order(cls, *args, **more):
        """An order in force: entered by anna, approved by bert."""
        order = cls.done("anna", "POST", "orders", cls.form(*args, **more))["order"]
        cls.done("bert", "POST", f"orders/{order}/approve", {})
        def in_force():
            state = cls.done("bert", "GET", "state")
            return state["directory"] and any(d["order"] == order for d in state["deliveries"])
        wait_for("the order to be in force", in_force)
        return order

    def end(self, order):
        self.done("bert", "POST", f"orders/{order}/end", {"reason": "the test is over"})
