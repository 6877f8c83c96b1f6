"""What somebody could see of the carrier's machines who is not headgate-li: messages, answers and texts modulo the names that differ from
call to call, Redis, files, processes, and what PostgreSQL counts of its tables."""
import collections
import json
import os
import pathlib
import re

from macsip import Redis

# What is made up for each call or moment: times, words with random octets, numbers of messages.
NAMES = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,\d]*(?:Z|[+-]\d\d:?\d\d)?|z9hG4bK[\w.~%+-]+|\b[0-9a-fA-F]{8,}(?:-[0-9a-fA-F]{4,}){0,4}\b|"
                   r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{16,}\b")
COUNTERS = re.compile(r"\b(seq|nc|expires)=\d+")


class Same:
    """Texts of one play with names by their order: the first that differs from call to call is #1 wherever it stands."""

    def __init__(self):
        self.names = {}

    def text(self, text):
        def name(found):
            return f"#{self.names.setdefault(found[0], len(self.names) + 1)}"
        return COUNTERS.sub(r"\1=", NAMES.sub(name, text))

    def message(self, way, octets):
        return way, self.text(octets.decode("utf-8", "replace"))


def of_answer(value, key=""):
    """An answer of the API: its texts without names, its numbers where they are not of the moment."""
    if isinstance(value, dict):
        return {k: of_answer(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [of_answer(v, key) for v in value[:5]]
    if isinstance(value, str):
        return COUNTERS.sub("", NAMES.sub("#", value))
    return value if isinstance(value, bool) or key in ("status", "version", "q") else type(value).__name__


def of_redis(stack):
    """{(key without names, type, length of what it holds): how many}."""
    redis, found = Redis(stack.redis.split(":", 1)[1]), collections.Counter()
    sizes = {b"string": "STRLEN", b"hash": "HLEN", b"set": "SCARD", b"list": "LLEN", b"zset": "ZCARD", b"stream": "XLEN"}
    try:
        for key in redis.command("KEYS", "*"):
            kind = redis.command("TYPE", key)
            lasts = redis.command("TTL", key) >= 0
            length = redis.command(sizes[kind], key) if kind != b"stream" else 0  # a stream grows by heartbeats
            found[NAMES.sub("#", key.decode("utf-8", "replace")), kind.decode(), length, lasts] += 1
    finally:
        redis.close()
    return found


def of_files(folder, is_own):
    """{path: (kind and mode, links, owner)} of all files below, but those that is_own says."""
    found = {}
    for path in pathlib.Path(folder).rglob("*"):
        inside = path.relative_to(folder).parts
        if not is_own(inside):
            try:
                s = path.lstat()
            except FileNotFoundError:
                continue
            found[NAMES.sub("#", "/".join(inside))] = (s.st_mode, s.st_nlink, s.st_uid, s.st_gid)
    return found


def of_process(pid):
    """What /proc has of a process that is not of the moment: kinds of descriptors, files in memory, threads, rights, limits."""
    proc = pathlib.Path(f"/proc/{pid}")
    kinds = collections.Counter()
    for fd in (proc / "fd").iterdir():
        try:
            kinds[re.sub(r"\d+", "", os.readlink(fd))] += 1
        except FileNotFoundError:
            continue
    maps = {line.split(maxsplit=5)[-1].strip() for line in (proc / "maps").read_text(encoding="utf-8").splitlines() if "/" in line}
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text(encoding="utf-8").splitlines() if ":\t" in line)
    kept = ("Name", "Uid", "Gid", "Groups", "Threads", "CapEff", "Seccomp", "NoNewPrivs", "SigCgt", "SigIgn", "FDSize")
    names = sorted((t / "comm").read_text(encoding="utf-8").strip() for t in (proc / "task").iterdir())
    return {"fds": dict(kinds), "maps": maps, "status": {k: status.get(k) for k in kept}, "threads": names,
            "limits": (proc / "limits").read_text(encoding="utf-8"), "environ": (proc / "environ").read_bytes(),
            "cmdline": (proc / "cmdline").read_bytes()}


# One row for each count of each table that the role may see; of the database's own tables none.
COUNTS = """
SELECT 'stat ' || schemaname || '.' || relname || ' ' || kind || '|' || n FROM pg_stat_user_tables,
  LATERAL (VALUES ('ins', n_tup_ins), ('upd', n_tup_upd), ('del', n_tup_del)) AS v(kind, n)
UNION ALL SELECT 'role ' || rolname || '|' || rolconnlimit FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'
UNION ALL SELECT 'setting ' || name || '=' || coalesce(setting, '') || '|0' FROM pg_settings WHERE name NOT LIKE 'transaction%'
UNION ALL SELECT 'may ' || c.relnamespace::regnamespace || '.' || c.relname || ' ' || coalesce(c.relacl::text, '') || '|0'
  FROM pg_class c WHERE c.relkind IN ('r', 'v', 'S', 'p') AND c.relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
UNION ALL SELECT 'prepared ' || count(*) || '|0' FROM pg_prepared_xacts
UNION ALL SELECT 'listens ' || count(*) || '|0' FROM pg_listening_channels()"""


def as_text(value):
    return json.dumps(value, indent=1, sort_keys=True, default=str)
