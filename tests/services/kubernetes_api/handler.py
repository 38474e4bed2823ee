"""Answers HTTP requests: who asks, may they, what goes wrong, and then the answer."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.services.kubernetes_api.access import ADMINISTRATOR, Access, User
from tests.services.kubernetes_api.discovery import discovery
from tests.services.kubernetes_api.faults import Faults, RequestFault
from tests.services.kubernetes_api.kubelet import Kubelet
from tests.services.kubernetes_api.logs import log_lines
from tests.services.kubernetes_api.objects import NAMESPACES, Object, Resource
from tests.services.kubernetes_api.refusals import Refusal, details_of
from tests.services.kubernetes_api.registry import Outcome, Registry
from tests.services.kubernetes_api.requests import Request, parse
from tests.services.kubernetes_api.watches import Watches

JSON, TEXT = "application/json", "text/plain"
APPLY = "application/apply-patch+yaml"
MERGES = ("application/merge-patch+json", "application/strategic-merge-patch+json")
TROUBLES = {
    401: ("Unauthorized", "Unauthorized"),
    403: ("Forbidden", "forbidden: the test has ordered so"),
    409: ("Conflict", "the test has ordered a conflict"),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    500: ("InternalError", "Internal error occurred: etcdserver: request timed out"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "Timeout: request did not complete within the allotted timeout"),
}


class Handler(BaseHTTPRequestHandler):
    """One connection; the server's parts are attributes of a subclass, which the server makes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    access: Access
    registry: Registry
    faults: Faults
    kubelet: Kubelet
    watches: Watches
    # as behind `kubectl proxy`, whoever connects is the administrator
    trusts_everybody = False

    def do_GET(self) -> None:
        """Answer a read, a list or a watch."""
        self._serve()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Print nothing: what a test wants to know, it asks."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        try:
            user = ADMINISTRATOR if self.trusts_everybody else self.access.user(self.headers["Authorization"])
            found = discovery(urlsplit(self.path).path)
            if found is not None:
                self._answer(200, found)
                return
            request = parse(self.command, self.path)
            fault = self.faults.of_request(request.verb, request.resource.plural)
            if fault is None or not self._suffer(fault, user, request, body):
                self._do(user, request, body)
        except Refusal as refusal:
            self._answer(refusal.code, refusal.status())
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _suffer(self, fault: RequestFault, user: User, request: Request, body: bytes) -> bool:
        """Let something go wrong with the request; whether it was answered so."""
        time.sleep(fault.seconds)
        if fault.status == 200:
            return False
        if fault.after_doing:
            self.access.require(user, request.attempt)
            self._change(user, request, body)
        if fault.status is None:
            self.close_connection = True
            return True
        reason, message = TROUBLES[fault.status]
        details = {"retryAfterSeconds": 1} if fault.status == 429 else {}
        refusal = Refusal(reason, message, details, code=fault.status)
        headers = {"Retry-After": "1"} if fault.status == 429 else {}
        self._answer(fault.status, refusal.status(), headers)
        return True

    def _do(self, user: User, request: Request, body: bytes) -> None:
        self.access.require(user, request.attempt)
        store = self.registry.store
        if request.verb == "watch":
            self._watch(request)
        elif request.subresource == "log":
            pod = store.get(request.resource, request.namespace, request.name)
            self._stream(TEXT, log_lines(self.kubelet, store, pod, request))
        elif request.verb == "get":
            self._answer(200, store.get(request.resource, self._where(request), request.name))
        elif request.verb == "list":
            self._answer(200, self.watches.listed(request))
        else:
            code, answer, outcome = self._change(user, request, body)
            self._answer(code, answer, warnings=outcome.warnings)

    def _change(self, user: User, request: Request, body: bytes) -> tuple[int, Object, Outcome]:
        """Do what changes objects; the code and the body of the answer."""
        resource, namespace, name = request.resource, self._where(request), request.name
        content = self._content(body)
        if request.verb == "create":
            how = request.options.get("fieldValidation") or "Warn"
            outcome = self.registry.create(user, resource, namespace, content, how)
            return 201, outcome.item, outcome
        if request.verb == "update":
            outcome = self.registry.update(resource, namespace, name, content, request.subresource)
            return 200, outcome.item, outcome
        if request.verb == "patch" and self.headers["Content-Type"] == APPLY:
            outcome = self.registry.apply(user, resource, namespace, name, content)
            return 200, outcome.item, outcome
        if request.verb == "patch":
            if self.headers["Content-Type"] not in MERGES:
                message = "the body of the request was in an unknown format - accepted media types include: "
                raise Refusal("UnsupportedMediaType", message + ", ".join(MERGES))
            outcome = self.registry.patch(resource, namespace, name, content, request.subresource)
            return 200, outcome.item, outcome
        options = {**request.options, **(content or {})}
        if "gracePeriodSeconds" in options:
            options["gracePeriodSeconds"] = int(options["gracePeriodSeconds"])
        if request.verb == "deletecollection":
            found = self.watches.listed(request)
            for item in found["items"]:
                self.registry.delete(resource, namespace, item["metadata"]["name"], options)
            return 200, found, Outcome(found)
        outcome, gone = self.registry.delete(resource, namespace, name, options)
        return 200, deleted(resource, outcome.item) if gone else outcome.item, outcome

    def _content(self, body: bytes) -> Any:
        try:
            return json.loads(body) if body else None
        except ValueError as error:
            raise Refusal("BadRequest", f"error decoding the body of the request: {error}") from None

    def _where(self, request: Request) -> str:
        """The namespace that holds the object: a Namespace is in none."""
        return "" if request.resource == NAMESPACES else request.namespace

    def _watch(self, request: Request) -> None:
        self._stream(JSON, self.watches.events(request))

    def _answer(
        self,
        code: int,
        body: Object | str,
        headers: dict[str, str] | None = None,
        warnings: tuple[str, ...] = (),
    ) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", TEXT if isinstance(body, str) else JSON)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        for warning in warnings:
            quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
            self.send_header("Warning", f'299 - "{quoted}"')
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, content_type: str, parts: Any) -> None:
        """Answer in pieces, as they come; what is refused before the first piece is refused as ever."""
        iterator = iter(parts)
        first = next(iterator, b"")
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._piece(first)
        for part in iterator:
            self._piece(part)
        self.wfile.write(b"0\r\n\r\n")

    def _piece(self, part: bytes) -> None:
        if part:
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        self.wfile.flush()


def deleted(resource: Resource, item: Object) -> Object:
    """The answer to a deletion that is complete."""
    details = details_of(resource, item["metadata"]["name"]) | {"uid": item["metadata"]["uid"]}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }
