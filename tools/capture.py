"""What goes over the loopback, kept in a file, and tshark's word on it. Needs tcpdump (with the right to capture) and tshark."""
import os
import pathlib
import shutil
import socket
import struct
import subprocess

from hglib import Daemon, Failed, tail, wait_for

SIP_PORTS = ["udp.port==5060,sip", "udp.port==5070,sip", "tcp.port==5060,sip"]


def as_root():
    """Words before a command that needs root."""
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


def allowed():
    """Whether this user may capture: root, or sudo that asks for no password now; and whether there is what captures."""
    try:
        may = subprocess.run([*as_root(), "true"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
        return may.returncode == 0 and os.path.exists(tool())
    except (OSError, subprocess.SubprocessError):
        return False


def tool():
    return shutil.which("tcpdump") or "/usr/sbin/tcpdump"


class Capture:
    """tcpdump on a stack's network. end() returns when all that was sent before is in the file. also: a further filter, for what
    has addresses outside of that network."""

    def __init__(self, stack, name="wire", also=None):
        self.stack, self.path, self.log = stack, stack.path(name + ".pcap"), stack.log(name + ".tcpdump")
        wanted = f"net {stack.net}0/24" + (f" or {also}" if also else "")
        self.as_root = as_root()
        self.daemon = Daemon("tcpdump", [*self.as_root, tool(), "-i", "lo", "-n", "-U", "--immediate-mode", "-B", "32768", "-Z", "root",
                                         "-w", self.path, wanted], self.log,
                             own_session=os.geteuid() == 0).start()  # sudo knows its user by the terminal
        try:
            wait_for("tcpdump to listen", self.listens, 10)
        except Failed:
            self.stop()
            raise

    def listens(self):
        if self.daemon.process.poll() is not None:
            raise Failed(f"tcpdump: {tail(self.log)}")
        return "listening on" in tail(self.log)

    def end(self):
        """A mark of ours goes over the wire last: packets that tcpdump had not taken up yet would be lost with it."""
        mark = os.urandom(24)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
            there.bind((self.stack.net + "250", 0))
            out.bind((self.stack.net + "251", 0))
            def marked():  # sent again and again: a burst before it may have cost the mark its place
                out.sendto(mark, there.getsockname())
                return mark in self.octets()
            try:
                wait_for("the mark in the capture", marked, 20)
            finally:
                self.stop()

    def stop(self):
        if self.daemon.process.poll() is None:
            subprocess.run([*self.as_root, "kill", "-TERM", str(self.daemon.process.pid)], check=False)
            self.daemon.process.wait(10)

    def octets(self):
        return pathlib.Path(self.path).read_bytes()

    def packets(self):
        """What is behind the link layer's header, packet by packet; whatever the byte order."""
        octets = self.octets()
        order = "<" if octets[:4] == b"\xd4\xc3\xb2\xa1" else ">"
        at, found = 24, []
        while at + 16 <= len(octets):
            n = struct.unpack(order + "I", octets[at + 8:at + 12])[0]
            found.append(octets[at + 16 + 14:at + 16 + n])
            at += 16 + n
        return found

    def tshark(self, wanted, *decode_as, fields=("frame.number", "frame.protocols", "_ws.col.Info")):
        """Lines of what the filter takes: these fields, with tabs between."""
        words = [w for rule in decode_as for w in ("-d", rule)] + [w for field in fields for w in ("-e", field)]
        done = subprocess.run(["tshark", "-n", "-r", self.path, "-Y", wanted, "-T", "fields", *words], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=90, check=False)
        if done.returncode != 0:
            raise Failed(f"tshark: {done.stderr}")
        return done.stdout.splitlines()
