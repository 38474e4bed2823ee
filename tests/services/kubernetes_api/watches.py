"""Lists of objects, and the stream of what changes after one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

from tests.services.kubernetes_api.objects import NAMESPACES, Object
from tests.services.kubernetes_api.refusals import Refusal
from tests.services.kubernetes_api.requests import Request
from tests.services.kubernetes_api.selectors import Matches, selector
from tests.services.kubernetes_api.store import Change, Store

DEFAULT_SECONDS, WAKE_SECONDS = 1800.0, 0.2


class Watches:
    """All watches of a server; a test can end them all at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._generation = 0
        self._stopped = threading.Event()

    def end_all(self) -> None:
        """End every stream that is open, as a server that restarts does."""
        self._generation += 1

    def stop(self) -> None:
        """End every stream, and let none begin."""
        self._stopped.set()

    def listed(self, request: Request) -> Object:
        """The list that a request asks for."""
        matches = matcher(request)
        with self._store.changed:
            items = self._store.items(request.resource, scope(request))
            version = self._store.version
        return {
            "kind": f"{request.resource.kind}List",
            "apiVersion": request.resource.api_version,
            "metadata": {"resourceVersion": str(version)},
            "items": [item for item in items if matches(item)],
        }

    def events(self, request: Request) -> Iterator[bytes]:
        """The events after the request's version, or from what there is now; empty pieces show that the server lives."""
        matches, generation = matcher(request), self._generation
        seconds = float(request.options.get("timeoutSeconds") or DEFAULT_SECONDS)
        deadline = time.monotonic() + seconds
        said = request.options.get("resourceVersion") or ""
        version = int(said) if said else 0
        if version == 0:
            with self._store.changed:
                version, items = self._store.version, self._store.items(request.resource, scope(request))
            for item in items:
                if matches(item):
                    yield line("ADDED", item)
        # the answer's head is sent at once, though nothing may change for long
        yield b""
        while time.monotonic() < deadline and generation == self._generation and not self._stopped.is_set():
            with self._store.changed:
                if self._store.version <= version:
                    self._store.changed.wait(WAKE_SECONDS)
                try:
                    changes = self._store.changes_after(version)
                except Refusal as refusal:
                    yield line("ERROR", refusal.status())
                    return
            for change in changes:
                version = change.version
                if change.resource == request.resource and in_scope(change.item, scope(request)):
                    yield event(change, matches)


def event(change: Change, matches: Matches) -> bytes:
    """A change as a watcher with a selector sees it: what no longer matches is deleted for it."""
    before = change.before is not None and change.kind != "ADDED" and matches(change.before)
    after = change.kind != "DELETED" and matches(change.item)
    if after:
        return line("MODIFIED" if before else "ADDED", change.item)
    return line("DELETED", change.item) if before else b""


def line(kind: str, item: Object) -> bytes:
    """One event of the stream."""
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


def matcher(request: Request) -> Matches:
    """Whether the request means an object."""
    options = request.options
    fields = options.get("fieldSelector", "")
    if request.name and request.verb == "watch":
        fields = f"metadata.name={request.name}"
    return selector(request.resource, options.get("labelSelector", ""), fields)


def scope(request: Request) -> str:
    """The namespace whose objects are meant, or nothing for all."""
    return "" if request.resource == NAMESPACES else request.namespace


def in_scope(item: Object, namespace: str) -> bool:
    """Whether an object is in the namespace."""
    return namespace in ("", item["metadata"].get("namespace", ""))
