"""sipsak at the gate controller: is it alive, and what does it say to requests that are wrong. sipsak sends from where it likes, so it
is a stranger here."""
import re

from peered import PeerTest
from peers import sipsak

LINES = ["Via: SIP/2.0/UDP $srcaddr$;branch=z9hG4bKsak1;rport", "Max-Forwards: 70", "From: <sip:sak@example.com>;tag=1",
         "To: <sip:+12125550101@$dsthost$>", "Call-ID: sak$replace$@example.com", "CSeq: 1 OPTIONS", "Contact: <sip:sak@$srcaddr$>",
         "Content-Length: 0"]


class Nuisance(PeerTest):
    hostile = True
    number = 0

    def ask(self, first, *changes):
        """The status of the answer, or None for silence. changes: (header, its line, or None to leave it out)."""
        type(self).number += 1
        lines = list(LINES)
        for name, line in changes:
            at = next((i for i, have in enumerate(lines) if have.startswith(name + ":")), len(lines))
            lines[at:at + 1] = [] if line is None else [line]
        text = "\r\n".join([first] + lines).replace("$replace$", str(self.number)).replace("sak1", f"sak{self.number}") + "\r\n\r\n"
        text = text.replace("$srcaddr$", "127.0.0.1:9").replace("$dsthost$", self.stack.domain)
        code, said = sipsak("-s", f"sip:{self.stack.gc_ip}", "-vvv", "-f", self.stack.write("request", text), "-L", "-D", "2", seconds=30)
        found = re.search(r"(?m)^SIP/2\.0 (\d{3}) (.*?)\r?$", said)
        return (int(found[1]), found[2]) if found else (code, said)

    def test_what_it_says(self):
        ping = "OPTIONS sip:headgate.test SIP/2.0"
        for first, change, status, reason in (
                (ping, None, 200, "OK"),
                ("OPTIONS sip:headgate.test SIP/3.0", None, 505, "Version Not Supported"),
                ("OPTIONS nobody:headgate.test SIP/2.0", None, 416, "Unsupported URI Scheme"),
                (ping, ("Call-ID", None), 400, "Missing Call-ID"),
                (ping, ("CSeq", "CSeq: 1 INVITE"), 400, "CSeq"),
                (ping, ("Content-Length", "Content-Length: 5000"), 400, "Content-Length"),
                (ping, ("Proxy-Require", "Proxy-Require: mindreading"), 420, "Bad Extension"),
                ("FROB sip:+12125550101@headgate.test SIP/2.0", ("CSeq", "CSeq: 1 FROB"), 407, ""),
                ("INVITE sip:+12125550101@headgate.test SIP/2.0", ("CSeq", "CSeq: 1 INVITE"), 407, ""),
                ("REGISTER sip:headgate.test SIP/2.0", ("CSeq", "CSeq: 1 REGISTER"), 401, "")):
            with self.subTest(request=first, change=change):
                got = self.ask(first, *([change] if change else []))
                self.assertEqual(got[0], status, got)
                self.assertIn(reason, got[1])


if __name__ == "__main__":
    import unittest
    unittest.main()
