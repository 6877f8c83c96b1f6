"""Lawful intercept beside a stack of hglib: the authorities of officers and of agencies, headgate-li with a database of its own. Used
by tools/demo and the system tests. Standard library only."""
import datetime
import os
import subprocess

from hglib import TOP, Daemon, with_settings


class Pki:
    """An authority and what it issues, by the openssl command."""

    def __init__(self, folder, name):
        self.folder, self.name, self.file = folder, name, os.path.join(folder, name)
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out",
                 f"{name}.pem", "-days", "2", "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def run(self, *words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=self.folder)

    def issue(self, name, san):
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out",
                 f"{name}.pem", "-days", "2", "-subj", f"/CN={name}", "-CA", f"{self.name}.pem", "-CAkey", f"{self.name}.key", "-addext",
                 f"subjectAltName={san}", "-addext", "basicConstraints=critical,CA:FALSE")
        os.chmod(os.path.join(self.folder, f"{name}.key"), 0o600)
        return os.path.join(self.folder, name)


def make_keys(stack):
    """Officers anna and bert, and cecil whom nobody knows; an agency's collection function, the gate's place; the keys."""
    officers, agencies = Pki(stack.path(""), "officers"), Pki(stack.path(""), "agencies")
    for name in ("anna", "bert", "cecil"):
        officers.issue(name, f"DNS:{name}.example")
    officers.issue("li", f"IP:{stack.net}7")
    agencies.issue("cf.example", "DNS:cf.example")
    agencies.issue("gate.example", "DNS:gate.example")
    subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", stack.path("record.key")],
                   check=True, capture_output=True)
    stack.ctl("key", "new", stack.path("intercept.key"))


def make_database(stack):
    stack.sql("CREATE DATABASE headgate_li")
    stack.write("li-migrate.yaml", f"""
database:
  conninfo: "host={stack.pg_host} dbname=headgate_li user=headgate"
  migrations: "{TOP}/migrations/li"
""")
    stack.ctl("migrate", config="li-migrate.yaml")


def ps_settings(stack, key="enrolment.key"):
    """A tap of 611 calls, and the key that opens what is sealed in it. Before the stack is up."""
    subprocess.run([stack.bin / "headgatectl", "key", "pair", stack.path(key)], check=True, capture_output=True)
    return {"tap.file": f'"{stack.path("prov.tap")}"', "tap.bytes": 1048576, "tap.key": f'"{stack.path(key + ".pub")}"'}


def enrolment_settings(stack):
    """The same of headgate-li."""
    return {"tap.enrolments": f'"{stack.path("prov.tap")}"', "keys.enrolment": f'["{stack.path("enrolment.key")}"]'}


def config(stack, settings=None):
    """Dora sits at the machine. settings: as of with_settings()."""
    s = stack
    return s.write("li.yaml", with_settings(f"""
node:
  element: "GC1"
api:
  listen: "{s.net}7:8444"
  socket: "{s.path('li.sock')}"
  officers: ["anna=certificate:anna", "bert=certificate:bert", "dora=uid:{os.getuid()}"]
tls:
  certificate: "{s.path('li.pem')}"
  key: "{s.path('li.key')}"
  client_ca: "{s.path('officers.pem')}"
agencies:
  certificate: "{s.path('gate.example.pem')}"
  key: "{s.path('gate.example.key')}"
  ca: "{s.path('agencies.pem')}"
health:
  listen: "{s.net}7:9073"
database:
  conninfo: "host={s.pg_host} dbname=headgate_li user=hg_li"
  directory: "{s.conninfo('hg_li')}"
tap:
  file: "{s.path('tap')}"
state:
  spool: "{s.path('spool')}"
  position: "{s.path('li.position')}"
  copy: "{s.path('li.orders')}"
keys:
  intercept: "{s.path('intercept.key')}"
  record: "{s.path('record.key')}"
""", settings))


def start(stack, settings=None):
    s = stack
    d = Daemon("li", [s.bin / "headgate-li", "--config", config(s, settings)], s.log("li"), f"http://{s.net}7:9073/readyz")
    s.daemons["li"] = d
    return d.start().ready()


def officer_config(stack, name):
    """Of `headgatectl li`, for an officer with a certificate."""
    return stack.write(f"{name}.yaml", f"""
li:
  url: "https://{stack.net}7:8444"
  ca: "{stack.path('officers.pem')}"
  certificate: "{stack.path(name + '.pem')}"
  private_key: "{stack.path(name + '.key')}"
""")


def when(seconds):
    """So many seconds from now, as orders say it."""
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
