"""headgate-admin against its own OpenAPI document: an Api whose every answer is judged by it."""
import datetime
import json
import re

import jsonschema

from hglib import Api

METHODS = ("get", "post", "put", "patch", "delete")
FORMATS = jsonschema.FormatChecker()
WRITTEN = datetime.datetime(2026, 11, 24, 14, tzinfo=datetime.timezone.utc)  # the now of the document's examples


def as_of_today(value):
    """An example with its times as far from now as they were when it was written."""
    if isinstance(value, dict):
        return {k: as_of_today(v) for k, v in value.items()}
    if isinstance(value, list):
        return [as_of_today(v) for v in value]
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value):
        return value
    then = datetime.datetime.fromisoformat(value) + (datetime.datetime.now(datetime.timezone.utc) - WRITTEN)
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")


class Document:
    def __init__(self, document):
        self.json = document
        self.operations = [Operation(self, path, method, item) for path, item in document["paths"].items()
                           for method in METHODS if method in item]
        self.by_id = {o.id: o for o in self.operations}

    def resolved(self, thing):
        while "$ref" in thing:
            at = self.json
            for step in thing["$ref"].split("/")[1:]:
                at = at[step]
            thing = at
        return thing

    def find(self, method, path):
        """The operation that a request means; literal segments before parameters, as the server has it."""
        path = path.split("?")[0]
        fits = [o for o in self.operations if o.method == ("GET" if method == "HEAD" else method) and o.pattern.fullmatch(path)]
        return max(fits, key=lambda o: [not s.startswith("{") for s in o.path.split("/")], default=None)

    def errors(self, schema, value):
        check = jsonschema.Draft202012Validator(schema, resolver=jsonschema.RefResolver("", self.json), format_checker=FORMATS)
        return [f"/{'/'.join(str(p) for p in e.absolute_path)}: {e.message[:300]}" for e in check.iter_errors(value)]


class Operation:
    def __init__(self, document, path, method, item):
        self.document, self.path, self.method, self.json = document, path, method.upper(), item[method]
        self.collection = path.split("/{")[0]
        self.id, self.responses = self.json["operationId"], self.json["responses"]
        self.pattern = re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))
        self.parameters = [document.resolved(p) for p in item.get("parameters", []) + self.json.get("parameters", [])]
        self.headers = {p["name"] for p in self.parameters if p["in"] == "header"}
        self.media, content = None, document.resolved(self.json.get("requestBody", {})).get("content", {})
        self.examples, self.schema = [], None
        for self.media, one in content.items():
            self.schema = document.resolved(one["schema"])
            self.examples = as_of_today([one["example"]] if "example" in one else [e["value"] for e in one.get("examples", {}).values()])

    def __repr__(self):
        return f"{self.id} ({self.method} {self.path})"

    def path_parameters(self):
        return [p for p in self.parameters if p["in"] == "path"]

    def faults(self, answer):
        """What of an answer is not as documented."""
        response = self.document.resolved(self.responses.get(str(answer.status), {}))
        if not response:
            return [f"status {answer.status} is not documented"]
        kind = (answer.headers.get("Content-Type") or "").split(";")[0]
        content = response.get("content", {})
        out = [f"no {name}" for name in response.get("headers", {}) if name in ("Location", "ETag", "Retry-After") and not answer.headers.get(name)]
        if not answer.headers.get("X-Request-Id"):
            out.append("no X-Request-Id")
        if not content:
            return out + ([f"a body of {kind}"] if answer.body else [])
        if kind not in content:
            return out + [f"content type {kind} is not documented"]
        if kind.endswith("json"):
            body = json.loads(answer.body)
            out += self.document.errors(content[kind]["schema"], body)
            if kind == "application/problem+json" and body.get("status") != answer.status:
                out.append("another status in the problem")
            if isinstance(body, dict) and "next" in body and bool(body["next"]) != bool(answer.headers.get("Link")):
                out.append("next and Link differ")
        return out


class Judged(Api):
    """Notes faults; `seen`: statuses of each operation."""

    def __init__(self, api, document):
        super().__init__(api.connect, api.token, api.base, api.keep)
        self.document, self.faults, self.seen = document, [], {}

    def ask(self, method, path, body=None, headers=None, expect=None):
        answer = super().ask(method, path, body, headers, expect)
        operation = self.document.find(method, path)
        if operation is not None:
            self.seen.setdefault(operation.id, set()).add(answer.status)
            found = operation.faults(answer) if method != "HEAD" else []
            self.faults += [f"{method} {path}: {answer.status}: {f}" for f in found]
        return answer
