"""sipp on both sides of a gate controller, each behind a trunk that may be transited: reliable provisional responses, UPDATE, session
timers, re-INVITE from either side, INFO, REFER, and what makes no call: MESSAGE, SUBSCRIBE and NOTIFY, PUBLISH, OPTIONS. Over UDP, over TCP,
and from one to the other; the sipp of Debian 12 is built without TLS (see proxy_tls.py and proxy_trunks.py for that)."""
from hglib import wait_for
from peered import PeerTest
from peers import Sipp
from sippline import (HOLD, SDP, ack, again, alone, bye, call, callee_says, expect, give_up, inside, invited, later, pause,
                      scenario, taken)

FAR, FAR_TCP = "+442079460100", "+33142685300"


class Extensions(PeerTest):
    trunks = [(name, "{net}" + ip, "--port", "5060", "--transport", "udp", "--source", "{net}" + ip + "/32", "--transit", "yes",
               "--trusts-identity", "yes", "--ping", "0") for name, ip in (("near", "9"), ("far", "20"))]
    trunks += [("stream", "{net}21", "--port", "5060", "--transport", "tcp", "--source", "{net}21/32", "--transit", "yes", "--ping", "0")]
    routes = [("uk", "+44", "--trunk", "far"), ("fr", "+33", "--trunk", "stream")]
    runs = 0

    @classmethod
    def set_out(cls, stack):
        wait_for("the trunks' addresses to be known", lambda: {t["trunk"] for t in stack.ctl_json("trunk", "status")} >= {"near", "far", "stream"}, 10)

    def pair(self, caller, callee, number=FAR, transport="u1"):
        """Runs both to their good ends; what the callee saw. transport: the caller's."""
        type(self).runs += 1
        where, how = (self.stack.net + "20", "u1") if number == FAR else (self.stack.net + "21", "t1")
        far = callee and Sipp(self.stack, f"far{self.runs}", where, scenario(*callee), transport=how)
        if far:
            self.addCleanup(far.stop)
        near = Sipp(self.stack, f"near{self.runs}", self.stack.net + "9", scenario(*caller), remote=(self.stack.gc_ip, 5060),
                    service=number, transport=transport, keys={"domain": self.stack.domain, "from": "+12125550101"})
        self.addCleanup(near.stop)
        near.done()
        if far:
            far.done()
        return far.messages() if far else ""

    def test_messages(self):
        """RFC 3428: no dialog, no Record-Route; the answer of whoever got it."""
        for number, transport in ((FAR, "u1"), (FAR_TCP, "u1"), (FAR_TCP, "t1"), (FAR, "t1")):
            with self.subTest(to=number, over=transport):
                said = self.pair([alone("MESSAGE", body="hello"), expect(202)],
                                 [expect("MESSAGE", check=("Content-Type", "text/plain")), taken(202, "Accepted")], number, transport)
                self.assertIn("hello", said)
                self.assertNotIn("Record-Route", said)
                self.assertIn(f"MESSAGE sip:{number}@{self.stack.net}", said)

    def test_published_and_asked(self):
        """RFC 3903 with its tag and condition, OPTIONS to somebody behind a trunk, and a method that nobody knows."""
        self.pair([alone("PUBLISH", "Event: presence\nExpires: 600", "<presence/>", "application/pidf+xml"),
                   expect(200, check=("SIP-ETag", "dx200xyz"))],
                  [expect("PUBLISH", check=("Event", "presence")), taken(extra="SIP-ETag: dx200xyz\nExpires: 600")])
        self.pair([alone("PUBLISH", "Event: presence\nSIP-If-Match: old"), expect(412)],
                  [expect("PUBLISH", check=("SIP-If-Match", "old")), taken(412, "Conditional Request Failed")])
        self.pair([alone("OPTIONS"), expect(200, check=("Accept", "application/sdp"))],
                  [expect("OPTIONS"), taken(extra="Accept: application/sdp")])

    def test_a_subscription(self):
        """RFC 6665: refreshed and ended by the subscriber, notified over the way that the SUBSCRIBE took."""
        for number, transport in ((FAR, "u1"), (FAR_TCP, "t1")):
            with self.subTest(over=transport):
                self.pair([alone("SUBSCRIBE", "Event: presence\nExpires: 600"), expect(200, rrs=True), expect("NOTIFY"), again(200),
                           inside("SUBSCRIBE", 2, "Event: presence\nExpires: 0"), expect(200),
                           expect("NOTIFY", check=("Subscription-State", "terminated")), again(200)],
                          [invited(("Event", "presence"), method="SUBSCRIBE"), later(200, extra="Expires: 600"),
                           callee_says("NOTIFY", 1, "Event: presence\nSubscription-State: active;expires=600"), expect(200),
                           expect("SUBSCRIBE", check=("Expires", "0")), again(200, extra="Expires: 0"),
                           callee_says("NOTIFY", 2, "Event: presence\nSubscription-State: terminated;reason=timeout"), expect(200)],
                          number, transport)

    def test_inside_of_a_call(self):
        """INFO (RFC 6086), and REFER (RFC 3515) with its NOTIFY; all over TCP."""
        self.pair([call(), expect(100, optional=True), expect(200, rrs=True), ack(),
                   inside("INFO", 2, "Info-Package: dtmf-relay"), expect(200),
                   inside("REFER", 3, "Refer-To: <sip:+12125550199@[domain]>"), expect(202),
                   expect("NOTIFY", check=("Subscription-State", "terminated")), again(200), bye(4), expect(200)],
                  [invited(), later(200, body=SDP), expect("ACK"), expect("INFO", check=("Info-Package", "dtmf-relay")), again(200),
                   expect("REFER"), again(202, "Accepted"),
                   callee_says("NOTIFY", 1, "Event: refer\nSubscription-State: terminated;reason=noresource"), expect(200),
                   expect("BYE"), again(200)], FAR_TCP, "t1")

    def test_a_call_from_one_transport_to_the_other(self):
        for number, transport in ((FAR, "t1"), (FAR_TCP, "u1")):
            with self.subTest(to=number, over=transport):
                self.pair([call(), expect(100, optional=True), expect(180, optional=True), expect(200, rrs=True), ack(), pause(50), bye(),
                           expect(200)], [invited(), later(180, "Ringing"), later(200, body=SDP), expect("ACK"),
                                                            expect("BYE"), again(200)], number, transport)

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
