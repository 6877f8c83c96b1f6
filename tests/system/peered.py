"""What the tests with programs of others share: a stack whose wire is captured, and tshark's verdict on it when the class ends."""
import os
import unittest

from capture import SIP_PORTS, Capture
from hglib import Stack
from stacked import StackTest, at_once

WARNING = 6291456  # tshark's severity; retransmissions and the like are below it


def phone_credential(stack, line, user, password, algorithm="sha-256"):
    """Lets a standard phone in as that line."""
    secret = stack.write(f"{user}.password", password + "\n")
    os.chmod(secret, 0o600)
    stack.ctl("--wait", "credential", "add", user, line, "--algorithm", algorithm, "--password-file", secret)


class PeerTest(StackTest):
    """also: a capture filter for what the class sends outside of its stack's network. hostile: it sends malformed SIP on purpose, so
    that only what the gate controller itself sends is judged."""
    also, hostile, decode = None, False, SIP_PORTS
    # Words of headgatectl, known before the gate controller starts; {net} as in gc_settings.
    trunks = ()  # of "trunk add"
    routes = ()  # of "route add"

    @classmethod
    def setUpClass(cls):
        cls.stack = stack = Stack()
        cls.capture = None
        try:
            stack.start_infra()
            stack.make_keys()
            cls.before_start(stack)
            stack.start_admin()
            for kind, rows in (("trunk", cls.trunks), ("route", cls.routes)):
                for words in rows:
                    stack.ctl(kind, "add", *(w.format(net=stack.net) for w in words))
            stack.start_ps(config=stack.ps_config(settings=cls.ps_settings))
            stack.start_gc(config=stack.gc_config(settings=cls.gc_settings_of(stack)))
            stack.wait_ps_healthy()
            cls.capture = Capture(stack, also=cls.also)
            cls.set_out(stack)
        except BaseException:
            cls.take_in()
            if cls.capture:
                cls.capture.stop()
            stack.down(keep=True)
            raise

    @classmethod
    def gc_settings_of(cls, stack):
        return {k: v.format(net=stack.net, folder=stack.folder) for k, v in (cls.gc_settings or {}).items()}

    @classmethod
    def before_start(cls, stack):
        """What the gate controller's configuration names."""

    @classmethod
    def set_out(cls, stack):
        """Peers, lines and BTIs that the class's tests share."""

    @classmethod
    def tearDownClass(cls):
        try:
            cls.take_in()
            cls.judge_wire()
        finally:
            cls.capture.stop()
            super().tearDownClass()

    @classmethod
    def take_in(cls):
        """Stops what set_out() started, as far as it came."""

    @classmethod
    def judge_wire(cls):
        """Every SIP message was seen, and none is malformed in the eyes of a decoder that is not ours."""
        cls.capture.end()
        rows = [line.split("\t") for line in cls.capture.tshark("sip", *cls.decode, fields=(
            "frame.number", "ip.src", "frame.protocols", "_ws.col.Info", "_ws.malformed", "_ws.expert.severity"))]
        case = unittest.TestCase()
        case.assertGreater(len(rows), 10, "there was SIP to be judged")
        bad = [row for row in rows if row[4] or any(int(severity, 0) >= WARNING for severity in row[5].split(",") if severity)]
        case.assertEqual([row for row in bad if not cls.hostile or row[1] == cls.stack.gc_ip], [], f"malformed SIP in {cls.capture.path}")


__all__ = ["PeerTest", "at_once", "phone_credential"]
