"""Every message kind as the writers for agencies make it, judged by those who did not write it: a second implementation of ours,
tshark, and a decoder that asn1c makes of the standard's module, where a folder with the module is there ($HEADGATE_SHARED, or
../shared beside the checkout)."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as xml

import call_data_ref as ref
from hglib import TOP

SHARED = pathlib.Path(os.environ.get("HEADGATE_SHARED", TOP.parent / "shared"))
MODULE = SHARED / "reference/asn1/PCESP_asn1c.asn1"
SAMPLES = SHARED / "reference/samples/cdc"
BIN = pathlib.Path(os.environ.get("HEADGATE_BIN", TOP / "build/release-gcc/bin"))
ENUMERATED = ("protocolVersion", "flowDirection", "resourceState", "alertingSignal", "subjectAudibleSignal")
WRITER = BIN.parent / "tests/samples/call_data"


def run(*words, **more):
    return subprocess.run(list(map(str, words)), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120, **more).stdout


def capture(path, packets, how):
    """The octets as packets of a capture file, by text2pcap."""
    dump = "".join("".join(f"{i:06x}  {p[i:i + 16].hex(' ')}\n" for i in range(0, len(p), 16)) + "\n" for p in packets)
    path.with_suffix(".hex").write_text(dump, "ascii")
    run("text2pcap", "-q", *how, path.with_suffix(".hex"), path)


class Samples(unittest.TestCase):
    """A folder with what the writers made."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="headgate-judges-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        run(WRITER, cls.folder)
        cls.want = ref.call_data()

    def octets(self, name):
        return (self.folder / name).read_bytes()


class Octets(Samples):
    def test_every_file_is_what_the_second_implementation_says(self):
        x2 = ref.x2()
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), sorted([*self.want, *x2]))
        self.assertEqual(len(self.want), 3 * (12 + 14))
        for name, (_, _, _, nodes) in self.want.items():
            with self.subTest(name):
                self.assertEqual(self.octets(name).hex(), nodes.octets.hex())
        for name, octets in x2.items():
            with self.subTest(name):
                self.assertEqual(self.octets(name).hex(), octets.hex())

    def test_openssl_takes_all_of_it_apart(self):
        path = self.folder.parent / f"{self.folder.name}.der"
        self.addCleanup(path.unlink)
        path.write_bytes(b"".join(map(self.octets, self.want)))
        tops = [line for line in run("openssl", "asn1parse", "-inform", "DER", "-in", path).decode().splitlines() if ":d=0 " in line]
        self.assertEqual(len(tops), len(self.want))

    @unittest.skipUnless(SAMPLES.is_dir(), f"no folder {SAMPLES}")
    def test_samples_of_others_are_read_and_written_as_they_were(self):
        files = sorted(SAMPLES.glob("*.ber"))
        self.assertTrue(files)
        for path in files:
            with self.subTest(path.name):
                self.assertEqual(run(WRITER, "--again", path).hex(), path.read_bytes().hex())


class Tshark(Samples):
    def wrapped(self, name):
        """The content of a CdcPdu within IRI-Parameters of HI2 (TS 101 671), at TARGETACTIVITYMONITOR-1 (TS 101 909-20-1)."""
        octets = self.octets(name)
        content = octets[2 if octets[1] < 0x80 else 2 + (octets[1] & 0x7f):]
        number, text, within = ref.number, ref.text, ref.within
        monitor = ref.many(33, number(0, "", 1), number(1, "", 1), text(2, "", "231114221320Z"), within(3, text(1, "", "headend-1")),
                           number(4, "", 1), number(5, "", 3), number(6, "", 1), within(7, within(2, ref.Node(content, []))))
        monitor.octets = b"\xbf" + monitor.octets  # a tag of two octets: [33], constructed
        domain = ref.Node(ref.tlv(0x80, bytes([4, 0, 2, 2, 1, 11])), [])
        return within(0, within(4, domain, number(23, "", 8), text(1, "", "LIID-0001"),
                                within(2, text(0, "", "00000042"), within(1, text(0, "", "GCOP1"))),
                                within(3, text(1, "", "231114221320Z")), monitor)).octets

    def judged(self, names, *fields):
        """Of each file: a list of texts for each field."""
        path = self.folder.parent / f"{self.folder.name}.pcap"
        self.addCleanup(lambda: [path.with_suffix(s).unlink(missing_ok=True) for s in (".pcap", ".hex")])
        capture(path, [self.wrapped(n) for n in names], ["-P", "HI2Operations"])
        said = run("tshark", "-n", "-r", path, "-T", "fields", "-E", "separator=|", "-E", "aggregator=^",
                   *(w for f in fields for w in ("-e", f))).decode()
        rows = [[cell.split("^") if cell else [] for cell in line.split("|")] for line in said.splitlines()]
        self.assertEqual(len(rows), len(names))
        return dict(zip(names, rows))

    def no_complaints(self, names):
        for name, (expert, malformed, protocols) in self.judged(names, "_ws.expert.message", "_ws.malformed", "frame.protocols").items():
            with self.subTest(name):
                self.assertEqual((expert, malformed, protocols), ([], [], ["exported_pdu:HI2operations"]))

    def test_version_3_without_a_word(self):
        self.no_complaints([n for n, (version, *_) in self.want.items() if version == 3])

    def test_version_4_without_a_word_where_tshark_knows_it(self):
        """tshark knows version 3: it complains of what version 4 has more."""
        self.no_complaints([n for n, (version, kind, *_) in self.want.items()
                            if version == 4 and kind not in ("NetworkSignal", "SubjectSignal")])

    def test_fields_are_those_of_the_event(self):
        plain = ["caseId", "accessingElementId", "sequencenumber", "systemidentity", "combCCC", "sepXmitCCC", "sepRecvCCC", "dn",
                 "userProvided", "ipAddress", "trunkId", "genericAddress", "genericDigits", "genericName", "port", "context",
                 "userinput", "translationinput", "transitCarrierId", "serviceName", "other", "switchhookFlash", "dialedDigits",
                 "featureKey", "otherSignalingInformation", "numRedirections"]
        names = [n for n, (version, *_) in self.want.items() if version == 3]
        rows = self.judged(names, "HI2Operations.message", "HI2Operations.eventTime", *(f"HI2Operations.{f}" for f in plain))
        for name, (message, at, *cells) in rows.items():
            _, kind, _, nodes = self.want[name]
            with self.subTest(name):
                self.assertEqual(message, [str(ref.MESSAGES[kind][0])])
                self.assertRegex(at[0], r"2023.* 22:13:20\.123")
                for field, cell in zip(plain, cells):
                    self.assertEqual((field, cell), (field, [v for n, v in nodes.leaves if n == field]))

    def test_the_judge_sees_faults(self):
        """callId under another tag."""
        name = "v3-Release-full.ber"
        good = self.octets(name)
        (self.folder / name).write_bytes(good.replace(b"\xa3\x16", b"\xa4\x16"))
        try:
            (expert, *_), = self.judged([name], "_ws.expert.message").values()
        finally:
            (self.folder / name).write_bytes(good)
        self.assertTrue(expert)

    def test_x2(self):
        path = self.folder.parent / f"{self.folder.name}.x2.pcap"
        self.addCleanup(lambda: [path.with_suffix(s).unlink(missing_ok=True) for s in (".pcap", ".hex")])
        capture(path, [self.octets(n) for n in ref.x2()], ["-T", "40000,10500"])
        fields = ["li5g.ver", "li5g.type", "li5g.pf", "li5g.pd", "li5g.xid", "li5g.cid", "li5g.sq", "sip.Method", "sip.Status-Code",
                  "_ws.malformed", "_ws.expert.message"]
        said = run("tshark", "-n", "-r", path, "-d", "tcp.port==10500,5gli", "-T", "fields", "-E", "separator=|", "-E", "occurrence=f",
                   *(w for f in fields for w in ("-e", f))).decode()
        none = "00000000-0000-0000-0000-000000000000"
        self.assertEqual([line.split("|")[:9] for line in said.splitlines()], [
            ["5", "1", "9", "3", ref.XID, "0000000000000042", "7", "INVITE", ""],
            ["5", "1", "9", "2", ref.XID, "ffffffffffffffff", str(2**32 - 1), "", "200"],
            ["5", "3", "0", "0", none, "0000000000000000", "1", "", ""],
            ["5", "4", "0", "0", none, "0000000000000000", "1", "", ""]])
        self.assertEqual([line.split("|")[9:] for line in said.splitlines()], [["", ""]] * 4)


@unittest.skipUnless(MODULE.is_file(), f"no module {MODULE}")
@unittest.skipUnless(shutil.which("asn1c"), "asn1c is not installed")
class Asn1c(Samples):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        made = cls.folder.parent / f"{cls.folder.name}.asn1c"
        made.mkdir()
        cls.addClassCleanup(shutil.rmtree, made)
        run("asn1c", "-pdu=CdcPdu", MODULE, cwd=made)
        run(os.environ.get("CC", "cc"), "-O0", "-w", "-DPDU=CdcPdu", "-I.", "-o", "decode", *sorted(p.name for p in made.glob("*.c")),
            cwd=made)
        cls.decoder = made / "decode"

    def leaves(self, path):
        """What the decoder shows of one PDU: name and text of each leaf; a value of an enumeration is a name within a name."""
        found = []

        def walk(element):
            children = list(element)
            if element.tag in ENUMERATED:
                found.append((element.tag, children[0].tag))
            elif children:
                for child in children:
                    walk(child)
            elif element.tag != "PartyId":  # one without anything
                found.append((element.tag, element.text))

        walk(xml.fromstring(run(self.decoder, "-c", "-oxer", path).replace(b"\r", b"&#13;")))
        return found

    def refused(self, path):
        return subprocess.run([self.decoder, "-c", "-onull", path], stdin=subprocess.DEVNULL, capture_output=True, check=False,
                              timeout=60).returncode != 0

    def test_all_that_it_knows_is_as_it_was_meant(self):
        """The module is that of version 4: the two signals of version 3 lack what is mandatory there."""
        for name, (version, kind, form, nodes) in self.want.items():
            with self.subTest(name):
                if version == 3 and kind in ("NetworkSignal", "SubjectSignal"):
                    self.assertTrue(self.refused(self.folder / name))
                else:
                    self.assertEqual(self.leaves(self.folder / name), nodes.leaves)

    def test_a_stream_comes_apart(self):
        names = [n for n, (version, *_) in self.want.items() if version == 4]
        path = self.folder.parent / f"{self.folder.name}.stream"
        self.addCleanup(path.unlink)
        path.write_bytes(b"".join(map(self.octets, names)))
        self.assertEqual(run(self.decoder, "-c", "-oxer", path).count(b"<CdcPdu>"), len(names))

    def test_the_judge_sees_faults(self):
        good = self.octets("v4-CCClose-full.ber")
        faults = {"a content id without its wrapping": good.replace(b"\xa3\x0a\x80\x08", b"\x83\x08").replace(b"\x30\x47", b"\x30\x45"),
                  "another tag": good.replace(b"\xa3\x0a", b"\xa5\x0a"), "a message that is primitive": good.replace(b"\xa2", b"\x82")}
        for what, octets in faults.items():
            with self.subTest(what):
                path = self.folder / "fault"
                self.addCleanup(path.unlink, missing_ok=True)
                self.assertNotEqual(octets, good)
                path.write_bytes(octets)
                self.assertTrue(self.refused(path))
