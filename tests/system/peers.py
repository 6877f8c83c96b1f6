"""SIP programs of others that system tests set around a gate controller: Kamailio 5.6 (gateway, registrar, peer proxy), sipp and
sipsak. Each gets its configuration in the stack's folder and an address of its own; none has a fixed port but 5060 on that
address. Kamailio's routes here are as small as its role allows and know nothing of Headgate."""
import os
import pathlib
import signal
import socket
import subprocess
import textwrap

from hglib import Daemon, Failed, Wire, sip_request, tail, wait_for


def bracketed(ip):
    return f"[{ip}]" if ":" in ip else ip


def is_bound(ip, port, proto):
    """Whether somebody on this machine listens there. proto: udp or tcp."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    packed = socket.inet_pton(family, ip)
    words = [packed[i:i + 4][::-1].hex().upper() for i in range(0, len(packed), 4)]
    wanted = f" {''.join(words)}:{port:04X} "
    return wanted in pathlib.Path(f"/proc/net/{proto}{'6' if ':' in ip else ''}").read_text(encoding="ascii")


# ---- Kamailio ---------------------------------------------------------------------------------------------------------------
BASE = """
debug=2
log_stderror=yes
fork=yes
children=1
tcp_children=1
auto_aliases=no
dns=no
rev_dns=no
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
modparam("tm", "fr_timer", 4000)
modparam("tm", "fr_inv_timer", 60000)
"""

# What every proxy does; a role goes on in route[OUT] with a request that begins something.
PROXY = """
request_route {
    if (!mf_process_maxfwd_header("70")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (is_method("OPTIONS") && uri == myself && $rU == $null) { sl_send_reply("200", "OK"); exit; }
    if (is_method("CANCEL")) { if (t_check_trans()) { t_relay(); } exit; }
    if (has_totag()) {
        if (loose_route()) { t_relay(); exit; }
        if (is_method("ACK")) { if (t_check_trans()) { t_relay(); } exit; }
        sl_send_reply("404", "Not Here");
        exit;
    }
    t_check_trans();
    remove_hf("Route");
    if (is_method("INVITE|SUBSCRIBE")) { record_route(); }
    route(OUT);
}
"""


class Kamailio:
    """role: further configuration with route[OUT]. listen: like udp:IP:PORT; the first is where it is asked whether it is up (by a
    connection when it is TCP or TLS)."""

    def __init__(self, stack, name, listen, role):
        self.stack, self.name, self.listen = stack, name, listen
        self.folder = pathlib.Path(stack.path(name))
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = "\n".join(f"listen={at}" for at in listen)
        config = stack.write(name + ".cfg", lines + BASE + textwrap.dedent(role) + PROXY)
        self.daemon = Daemon(name, ["kamailio", "-f", config, "-DD", "-E", "-m", "32", "-M", "8", "-Y", self.folder, "-P",
                                    self.folder / "pid"], stack.log(name))
        self.start()

    def start(self):
        self.daemon.start()
        try:
            wait_for(f"{self.name} to listen ({self.daemon.log})", self.listens, 15)
        except BaseException:
            self.stop()
            raise

    def listens(self):
        if self.daemon.process.poll() is not None:
            raise Failed(f"{self.name} ended with {self.daemon.process.returncode}: {tail(self.daemon.log)}")
        proto, rest = self.listen[0].split(":", 1)
        ip, port = rest.rsplit(":", 1)
        ip = ip.strip("[]")
        if proto != "udp":
            return is_bound(ip, int(port), "tcp")
        host = bracketed(ip)
        probe = Wire(ip, (ip, int(port))) if ":" not in ip else None
        if probe is None:
            return is_bound(ip, int(port), "udp")
        try:
            probe.send(sip_request("OPTIONS", f"sip:{host}:{port}", probe.address, []))
            return probe.status(0.3) == 200
        finally:
            probe.close()

    def stop(self):
        """Its children are of its own process group."""
        if self.daemon.process is None or self.daemon.process.poll() is not None:
            return
        self.daemon.stop(5)
        try:
            os.killpg(self.daemon.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def gateway(stack, name, at, behind, first=""):
    """A PSTN gateway at ip:port: what is dialled goes to the equipment behind it. first: statements for what is to fare otherwise."""
    return Kamailio(stack, name, [f"udp:{at}", f"tcp:{at}"], f"""
route[OUT] {{
    {first}
    $du = "sip:{behind}";
    t_relay();
}}
""")


def registrar(stack, name, ip, user_realm, password, asks_for_invite=False, outward=""):
    """A registrar and its domain: every user with that password (Digest, MD5 as phones of old). asks_for_invite: calls need it too.
    outward: statements for who is not registered there."""
    ask = f"""
    if (is_method("INVITE|MESSAGE") && !pv_proxy_authenticate("{user_realm}", "{password}", "0")) {{
        proxy_challenge("{user_realm}", "0");
        exit;
    }}
    consume_credentials();""" if asks_for_invite else ""
    return Kamailio(stack, name, [f"udp:{ip}:5060", f"tcp:{ip}:5060"], f"""
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("registrar", "method_filtering", 0)
modparam("usrloc", "db_mode", 0)
route[OUT] {{
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("{user_realm}", "{password}", "0")) {{ www_challenge("{user_realm}", "0"); exit; }}
        save("location");
        exit;
    }}
{ask}
    if (!lookup("location")) {{ {outward} sl_send_reply("404", "Not Registered"); exit; }}
    t_relay();
}}
""")


# ---- sipp -------------------------------------------------------------------------------------------------------------------
class Sipp:
    """One run of a scenario (see sippline). remote: (ip, port) for a caller, None for a callee. done() waits for its good end."""

    def __init__(self, stack, name, ip, scenario, remote=None, service=None, calls=1, port=5060, transport="u1", keys=None,
                 rate=10):
        self.name, self.stack = name, stack
        self.log, self.errors = stack.log(name), stack.path(name + ".errors")
        path = stack.write(name + ".xml", scenario)
        argv = ["sipp", "-sf", path, "-i", bracketed(ip), "-p", str(port), "-t", transport, "-m", str(calls), "-r", str(rate), "-nostdin", "-trace_err",
                "-error_file", self.errors, "-recv_timeout", "15000", "-rtp_echo", "-trace_msg", "-message_file", stack.path(name + ".messages")]
        argv += ["-s", service] if service else []
        for key, value in (keys or {}).items():
            argv += ["-key", key, value]
        argv += [f"{bracketed(remote[0])}:{remote[1]}"] if remote else []
        self.daemon = Daemon(name, argv, self.log).start()
        if remote is None:
            try:
                wait_for(f"{name} to listen", lambda: self.listens(ip, port, "udp" if transport[0] == "u" else "tcp"), 10)
            except BaseException:
                self.stop()
                raise

    def listens(self, ip, port, proto):
        if self.daemon.process.poll() is not None:
            raise Failed(f"{self.name}: {self.why()}")
        return is_bound(ip, port, proto)

    def why(self):
        return f"exit {self.daemon.process.returncode}: {tail(self.errors, 30)} {self.messages()[-3000:]}"

    def messages(self):
        try:
            return pathlib.Path(self.stack.path(self.name + ".messages")).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def done(self, seconds=30):
        try:
            code = self.daemon.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise Failed(f"{self.name} did not end in {seconds} s: {self.why()}") from None
        if code != 0:
            raise Failed(f"{self.name}: {self.why()}")

    def stop(self):
        if self.daemon.process.poll() is None:
            self.daemon.kill()


# ---- sipsak -----------------------------------------------------------------------------------------------------------------
def sipsak(*words, octets=None, stack=None, seconds=20):
    """Runs it; (exit code, what it said). octets: the request for -f."""
    words = list(words)
    if octets is not None:
        path = pathlib.Path(stack.path("sipsak.request"))
        path.write_bytes(octets)
        words += ["-f", str(path)]
    done = subprocess.run(["sipsak", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                          timeout=seconds, check=False)
    return done.returncode, done.stdout + done.stderr
