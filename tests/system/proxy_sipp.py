"""sipp on both sides of a gate controller, each behind a trunk that may be transited: reliable provisional responses, UPDATE, session
timers, re-INVITE from either side."""
from hglib import wait_for
from peered import PeerTest
from peers import Sipp
from sippline import HOLD, SDP, ack, again, bye, call, callee_says, expect, give_up, inside, invited, later, scenario

FAR = "+442079460100"


class Extensions(PeerTest):
    trunks = [(name, "{net}" + ip, "--port", "5060", "--transport", "udp", "--source", "{net}" + ip + "/32", "--transit", "yes",
               "--trusts-identity", "yes", "--ping", "0") for name, ip in (("near", "9"), ("far", "20"))]
    routes = [("uk", "+44", "--trunk", "far")]
    runs = 0

    @classmethod
    def set_out(cls, stack):
        wait_for("the trunks' addresses to be known", lambda: {t["trunk"] for t in stack.ctl_json("trunk", "status")} >= {"near", "far"}, 10)

    def pair(self, caller, callee):
        """Runs both to their good ends."""
        type(self).runs += 1
        far = callee and Sipp(self.stack, f"far{self.runs}", self.stack.net + "20", scenario(*callee))
        if far:
            self.addCleanup(far.stop)
        near = Sipp(self.stack, f"near{self.runs}", self.stack.net + "9", scenario(*caller), remote=(self.stack.gc_ip, 5060), service=FAR,
                    keys={"domain": self.stack.domain, "from": "+12125550101"})
        self.addCleanup(near.stop)
        near.done()
        if far:
            far.done()

    def test_reliable_provisional_responses(self):
        """RFC 3262: 183 and 180 each with a PRACK, which goes the dialog's way; early media is offered and answered."""
        self.pair([call("Supported: 100rel"), expect(100, optional=True), expect(183, rrs=True, check=("RSeq", "1")),
                   inside("PRACK", 2, "RAck: 1 1 INVITE"), expect(200), expect(180, check=("RSeq", "2")),
                   inside("PRACK", 3, "RAck: 2 1 INVITE"), expect(200), expect(200, rrs=True), ack(), bye(4), expect(200)],
                  [invited(("Supported", "100rel")), later(183, "Session Progress", "Require: 100rel\nRSeq: 1", SDP),
                   expect("PRACK", check=("RAck", "1 1 INVITE")), again(200), later(180, "Ringing", "Require: 100rel\nRSeq: 2"),
                   expect("PRACK"), again(200), later(200, body=SDP), expect("ACK"), expect("BYE"), again(200)])

    def test_update_before_and_after_the_answer(self):
        """RFC 3311 and RFC 3312: preconditions are negotiated in the early dialog, by both."""
        segment = SDP + "a=curr:qos local none\na=curr:qos remote none\na=des:qos mandatory local sendrecv\n"
        self.pair([call("Supported: 100rel, precondition\nAllow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE", segment),
                   expect(100, optional=True), expect(183, rrs=True), inside("PRACK", 2, "RAck: 1 1 INVITE"), expect(200),
                   inside("UPDATE", 3, body=segment), expect(200), expect(180), expect(200, rrs=True), ack(),
                   expect("UPDATE"), again(200, body=SDP), bye(4), expect(200)],
                  [invited(("Supported", "precondition")), later(183, "Session Progress", "Require: 100rel\nRSeq: 1", segment),
                   expect("PRACK"), again(200), expect("UPDATE"), again(200, body=segment), later(180, "Ringing"), later(200, body=SDP),
                   expect("ACK"), callee_says("UPDATE", 1, body=HOLD), expect(200), expect("BYE"), again(200)])

    def test_offered_again_by_either_side(self):
        self.pair([call(), expect(100, optional=True), expect(180, optional=True), expect(200, rrs=True), ack(),
                   inside("INVITE", 2, body=HOLD), expect(100, optional=True), expect(200), ack(2),
                   expect("INVITE"), again(200, body=SDP), expect("ACK"), expect("BYE"), again(200)],
                  [invited(), later(180, "Ringing"), later(200, body=SDP), expect("ACK"), expect("INVITE"), again(200, body=SDP), expect("ACK"),
                   callee_says("INVITE", 1, body=SDP), expect(100, optional=True), expect(200), callee_says("ACK", 1, retrans=False),
                   callee_says("BYE", 2), expect(200)])

    def test_session_timers(self):
        """RFC 4028: an INVITE that asks for none gets our interval; the callee refreshes, by UPDATE."""
        self.pair([call("Supported: timer"), expect(100, optional=True), expect(200, rrs=True, check=("Session-Expires", "refresher")), ack(),
                   expect("UPDATE", check=("Session-Expires", "refresher")), again(200, extra="Session-Expires: 1800;refresher=uac\n"
                                                                                   "Require: timer"),
                   bye(2), expect(200)],
                  [invited(("Session-Expires", "[0-9]")), later(200, "OK", "Session-Expires: 1800;refresher=uas\nRequire: timer", SDP),
                   expect("ACK"), callee_says("UPDATE", 1, "Supported: timer\nSession-Expires: 1800;refresher=uac"), expect(200),
                   expect("BYE"), again(200)])

    def test_an_interval_that_is_too_small(self):
        self.pair([call("Supported: timer\nSession-Expires: 30\nMin-SE: 30"), expect(100, optional=True),
                   expect(422, check=("Min-SE", "[0-9]")), give_up()], [])


if __name__ == "__main__":
    import unittest
    unittest.main()
