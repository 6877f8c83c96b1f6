"""Standard phones for system tests: baresip 1.0.0, driven over its ctrl_tcp module, and linphone-daemon of Debian 12, driven over its
standard input. Each has an address of its own with port 5060, plays a tone from a file and needs no sound card. Both come with the
same words: register(), dial(), accept(), busy(), hangup(), hold(), resume(), transfer(), expect().

An event is (name, fields). expect() waits for the next one of that name since fresh() that no earlier expect() has taken, so that a
test reads like a conversation and the order of events that do not depend on each other does not matter; seen() gives all."""
import json
import math
import os
import pathlib
import re
import socket
import struct
import subprocess
import threading
import time
import wave

from hglib import Failed, tail, wait_for


def tone_file(path, seconds=20, hertz=440):
    """A WAV file, 8 kHz, one channel."""
    with wave.open(path, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(b"".join(struct.pack("<h", int(8000 * math.sin(2 * math.pi * hertz * i / 8000)))
                                 for i in range(8000)) * seconds)
    return path


def bracketed(ip):
    return f"[{ip}]" if ":" in ip else ip


class Softphone:
    """What both have in common: a process with a folder, and its events in order."""

    def __init__(self, stack, name, ip, user, port=5060):
        self.stack, self.name, self.ip, self.port, self.user = stack, name, ip, port, user
        self.folder = pathlib.Path(stack.path(name))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = stack.log(name)
        self.aor = f"sip:{user}@{stack.domain}"
        self.events, self.taken, self.changed = [], set(), threading.Condition()
        self.since = 0
        self.process = None

    def file(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")
        return str(self.folder / name)

    def launch(self, argv, **kw):
        self.err = open(self.log, "ab")
        self.process = subprocess.Popen(argv, stderr=self.err, start_new_session=True, cwd=self.folder,
                                        env={**os.environ, "HOME": str(self.folder)}, **kw)

    def tell(self, name, **fields):
        with self.changed:
            self.events.append((name, fields))
            self.changed.notify_all()

    def seen(self, name):
        return [fields for n, fields in list(self.events) if n == name]

    def fresh(self):
        """What has happened so far is of no interest any more."""
        with self.changed:
            self.since = len(self.events)

    def expect(self, name, seconds=20, **fields):
        """Fields of the next event of that name, and with these fields."""
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                for i in range(self.since, len(self.events)):
                    found = self.events[i]
                    if i not in self.taken and found[0] == name and all(found[1].get(k) == v for k, v in fields.items()):
                        self.taken.add(i)
                        return found[1]
                if time.monotonic() > end:
                    raise Failed(f"{self.name}: no event {name} {fields} in {seconds} s; saw {self.events[self.since:]}; {tail(self.log)}")
                self.changed.wait(0.2)

    def stop(self):
        """Takes it away as an operator does; it may say goodbye to its registrar."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.err.close()


class Baresip(Softphone):
    """transport: udp, tcp or tls. proxy: sip:IP:PORT of the gate controller. ca: PEM file that its certificate is checked with.
    Events: those of baresip's ctrl_tcp (REGISTER_OK, CALL_INCOMING, CALL_RINGING, CALL_ESTABLISHED, CALL_CLOSED, ...)."""

    def __init__(self, stack, name, ip, user, password, proxy, transport="udp", port=5060, ca=None, domain=None, auth_user=None):
        super().__init__(stack, name, ip, user, port)
        at, here = domain or stack.domain, f"{bracketed(ip)}:{port}"
        self.aor = f"sip:{user}@{at}"
        self.control_port = self.free_port()
        self.file("config", f"""
poll_method epoll
sip_listen {here}
{f"sip_cafile {ca}" if ca else ""}
net_interface {ip}
call_local_timeout 120
call_max_calls 8
audio_source aufile,{tone_file(str(self.folder / "tone.wav"))}
audio_player aubridge,nil
audio_alert aubridge,nil
rtp_stats yes
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module aubridge.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
module_app rtcpsummary.so
ctrl_tcp_listen {bracketed(ip)}:{self.control_port}
""")
        self.file("accounts", f'<{self.aor};transport={transport}>;auth_user={auth_user or user};auth_pass={password};'
                  f'outbound="{proxy};transport={transport}";regint=0;answermode=manual;audio_codecs=PCMU/8000/1\n')
        self.file("contacts", "")
        self.control, self.answers, self.number = None, {}, 0
        self.start()

    def free_port(self):
        with socket.socket(socket.AF_INET6 if ":" in self.ip else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((self.ip, 0))
            return probe.getsockname()[1]

    def start(self):
        self.launch(["baresip", "-f", str(self.folder)], stdin=subprocess.DEVNULL, stdout=open(self.log, "ab"))

        def connected():
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with {self.process.returncode}: {tail(self.log)}")
            try:
                self.control = socket.create_connection((self.ip, self.control_port), 2)
                return True
            except OSError:
                return False
        try:
            wait_for(f"{self.name} to take commands ({self.log})", connected, 15)
        except BaseException:
            self.stop()
            raise
        self.control.settimeout(None)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        octets, control = b"", self.control
        while True:
            try:
                got = control.recv(65536)
            except OSError:
                got = b""
            if not got:
                self.tell("EOF")
                return
            octets += got
            while (head := re.match(rb"(\d+):", octets)) and len(octets) > head.end() + int(head[1]):
                end = head.end() + int(head[1])
                message = json.loads(octets[head.end():end])
                octets = octets[end + 1:]
                if message.get("event"):
                    self.tell(message.get("type"), **{k: v for k, v in message.items() if k not in ("event", "type", "class")})
                else:
                    with self.changed:
                        self.answers[message.get("token")] = message
                        self.changed.notify_all()

    def do(self, command, params="", seconds=20):
        self.number += 1
        token = str(self.number)
        octets = json.dumps({"command": command, "params": params, "token": token}).encode()
        self.control.sendall(b"%d:%s," % (len(octets), octets))
        end = time.monotonic() + seconds
        with self.changed:
            while token not in self.answers:
                if time.monotonic() > end:
                    raise Failed(f"{self.name}: no answer to {command}; {tail(self.log)}")
                self.changed.wait(0.2)
            done = self.answers.pop(token)
        if not done.get("ok"):
            raise Failed(f"{self.name}: {command} {params}: {done.get('data')}")
        return done.get("data", "")

    def stop(self):
        if self.control is not None:
            self.control.close()
            self.control = None
        super().stop()

    # ---- the common words
    def register(self, expires=600):
        """Registers (again, with this lifetime) and waits for the registrar's word."""
        text = (self.folder / "accounts").read_text(encoding="utf-8").strip()
        self.do("uadel", self.aor)
        self.do("uanew", text.replace("regint=0", f"regint={expires}"))
        self.do("uafind", self.aor)  # who dials from now on
        return self.expect("REGISTER_OK")

    def dial(self, uri):
        self.do("dial", uri)

    def accept(self):
        self.do("accept")

    def busy(self):
        """Refuses what rings, with 486."""
        self.do("hangup")

    def hangup(self):
        self.do("hangup")

    def hold(self):
        self.do("hold")

    def resume(self):
        self.do("resume")

    def transfer(self, uri):
        self.do("transfer", uri)


class Linphone(Softphone):
    """linphone-daemon. Events: the states of its calls (LinphoneCallIncomingReceived, LinphoneCallStreamsRunning, LinphoneCallEnd,
    ...), each with From and Id."""

    def __init__(self, stack, name, ip, user, password, proxy, transport="udp", port=5060, ca=None, domain=None, auth_user=None):
        super().__init__(stack, name, ip, user, port)
        at = domain or stack.domain
        self.aor = f"sip:{user}@{at}"
        self.password, self.proxy, self.transport, self.auth_user = password, proxy, transport, auth_user or user
        ports = {t: (port if t == transport else 0) for t in ("udp", "tcp", "tls")}
        (self.folder / ".local/share/linphone").mkdir(parents=True)
        config = self.file("linphonerc", f"""[sip]
sip_port={ports['udp']}
sip_tcp_port={ports['tcp']}
sip_tls_port={ports['tls']}
bind_address={ip}
use_ipv6={int(':' in ip)}
root_ca={ca or ''}
verify_server_certs={int(bool(ca))}
verify_server_cn=0
default_proxy=0
guess_hostname=0
register_only_when_network_is_up=0
[rtp]
bind_address={ip}
audio_rtp_port={self.even_port()}
[net]
firewall_policy=0
[sound]
remote_ring=
local_ring=
[auth_info_0]
username={self.auth_user}
userid={self.auth_user}
passwd={password}
domain={at}
[proxy_0]
reg_proxy={proxy};transport={transport}
reg_route=<{proxy};transport={transport};lr>
reg_identity=<{self.aor}>
reg_expires=600
reg_sendregister=0
publish=0
""")
        self.text, self.tone = "", tone_file(str(self.folder / "tone.wav"))
        self.launch(["linphone-daemon", "--config", config, "--log", str(self.folder / "log"), "--disable-stats-events"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        threading.Thread(target=self.read, daemon=True).start()
        try:
            self.do("version", 20)
        except BaseException:
            self.stop()
            raise

    def even_port(self):
        with socket.socket(socket.AF_INET6 if ":" in self.ip else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((self.ip, 0))
            return probe.getsockname()[1] & ~1

    def read(self):
        event = re.compile(r"Event: (\S+)\n((?:[A-Za-z-]+: .*\n)*)")
        at = 0
        while True:
            got = os.read(self.process.stdout.fileno(), 65536)
            with self.changed:
                self.text += got.decode(errors="replace")
                for found in event.finditer(self.text, at):
                    if found.end() == len(self.text):
                        break  # perhaps there is more of it to come
                    at = found.end()
                    fields = dict(line.split(": ", 1) for line in found[2].splitlines())
                    self.events.append((found[1], fields))
                self.changed.notify_all()
            if not got:
                self.tell("EOF")
                return

    def do(self, command, seconds=20):
        with self.changed:
            before = len(re.findall(r"(?m)^Status: ", self.text))
            start = len(self.text)
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        end = time.monotonic() + seconds
        with self.changed:
            while len(re.findall(r"(?m)^Status: ", self.text)) == before:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise Failed(f"{self.name}: no answer to {command}; {self.text[start:]} {tail(str(self.folder / 'log'))}")
                self.changed.wait(0.2)
            said = self.text[start:]
        if not re.search(r"(?m)^Status: Ok", said):
            raise Failed(f"{self.name}: {command}: {said}")
        return said

    # ---- the common words
    def register(self):
        self.do(f"register {self.aor} {self.proxy};transport={self.transport} {self.password} {self.auth_user} NULL")
        wait_for(f"{self.name} to be registered", lambda: "LinphoneRegistrationOk" in self.do("register-status ALL"), 10)

    def dial(self, uri):
        self.do(f"call {uri}")

    def current(self):
        """Id of the live call that something happened to last."""
        over = {fields["Id"] for name, fields in self.events if name in ("LinphoneCallEnd", "LinphoneCallError", "LinphoneCallReleased")}
        return next(fields["Id"] for name, fields in reversed(self.events) if name.startswith("LinphoneCall") and fields["Id"] not in over)

    def accept(self):
        self.do(f"answer {self.current()}")

    def play(self):
        """A tone to the far end; without a sound card it would send nothing."""
        self.do(f"incall-player-start {self.tone} {self.current()}")

    def busy(self):
        self.do(f"terminate {self.current()}")

    def hangup(self, call=None):
        self.do(f"terminate {call or self.current()}")

    def hold(self, call=None):
        self.do(f"call-pause {call or self.current()}")

    def resume(self, call=None):
        self.do(f"call-resume {call or self.current()}")

    def transfer(self, to, call=None):
        """to: a URI, or the id of another call of this phone (attended transfer)."""
        self.do(f"call-transfer {call or self.current()} {to}")
