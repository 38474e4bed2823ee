"""All objects and the history of their changes: what etcd and the watch cache are to the real server."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.services.kubernetes_api.objects import EVENTS, Object, Resource, new_uid, now, random_suffix
from tests.services.kubernetes_api.refusals import Refusal, already_exists, conflict, not_found

ChangeKind = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True)
class Change:
    """One change: what the object was before, and what it is now."""

    version: int
    kind: ChangeKind
    resource: Resource
    before: Object | None
    item: Object


class Store:
    """Objects by resource, namespace and name; `changed` is notified of every change."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.version = 1
        self._objects: dict[Resource, dict[tuple[str, str], Object]] = {}
        self._changes: deque[Change] = deque()
        self._oldest = 1

    def create(self, resource: Resource, item: Object) -> Object:
        """Keep a new object under its name, or under one drawn from its `generateName`."""
        with self.changed:
            item = copy.deepcopy(item)
            metadata = item["metadata"]
            if not metadata.get("name"):
                metadata["name"] = metadata["generateName"] + random_suffix()
            key = (metadata.get("namespace", ""), metadata["name"])
            if key in self._of(resource):
                raise already_exists(resource, metadata["name"])
            metadata |= {"uid": new_uid(), "creationTimestamp": now()}
            return self._keep(resource, key, "ADDED", item)

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """The object; a Refusal where there is none."""
        with self.changed:
            item = self._of(resource).get((namespace, name))
            if item is None:
                raise not_found(resource, name)
            return copy.deepcopy(item)

    def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        with self.changed:
            return copy.deepcopy(self._of(resource).get((namespace, name)))

    def items(self, resource: Resource, namespace: str = "") -> list[Object]:
        """All objects of a resource, of one namespace if it is named, in the order of their names."""
        with self.changed:
            found = sorted(self._of(resource).items())
            return [copy.deepcopy(item) for (where, _), item in found if namespace in ("", where)]

    def modify(
        self, resource: Resource, namespace: str, name: str, change: Callable[[Object], None]
    ) -> Object:
        """Change an object in place of whoever holds it; one that is the same afterwards gets no new version."""
        with self.changed:
            item = self.get(resource, namespace, name)
            before = copy.deepcopy(item)
            change(item)
            if item == before:
                return item
            wanted = item["metadata"].get("resourceVersion")
            if wanted not in (None, "", before["metadata"]["resourceVersion"]):
                raise conflict(resource, name)
            return self._keep(resource, (namespace, name), "MODIFIED", item)

    def remove(self, resource: Resource, namespace: str, name: str) -> Object:
        """Forget an object."""
        with self.changed:
            item = self.get(resource, namespace, name)
            del self._of(resource)[namespace, name]
            return self._note(resource, "DELETED", item, item)

    def changes_after(self, version: int) -> list[Change]:
        """What has changed since; a version from before the history begins is a Refusal."""
        with self.changed:
            if version < self._oldest - 1:
                raise Refusal("Expired", f"too old resource version: {version} ({self._oldest})")
            return [change for change in self._changes if change.version > version]

    def forget_changes(self) -> None:
        """Compact the history: a watch from an older version is told to start again."""
        with self.changed:
            self._changes.clear()
            self._oldest = self.version + 1

    def record(self, resource: Resource, about: Object, *, kind: str, reason: str, message: str) -> None:
        """An Event about an object; the same once more counts up."""
        source = {"Pod": "kubelet", "Job": "job-controller"}.get(resource.kind, "apiserver")
        namespace = about["metadata"]["namespace"]
        with self.changed:
            for known in self._of(EVENTS).values():
                same = (known["involvedObject"]["uid"], known["reason"], known["message"])
                if same == (about["metadata"]["uid"], reason, message):
                    again = copy.deepcopy(known)
                    again |= {"count": known["count"] + 1, "lastTimestamp": now()}
                    self._keep(EVENTS, (namespace, again["metadata"]["name"]), "MODIFIED", again)
                    return
            event = {
                "kind": "Event",
                "apiVersion": "v1",
                "metadata": {
                    "name": f"{about['metadata']['name']}.{random_suffix(16)}",
                    "namespace": namespace,
                },
                "involvedObject": {
                    "kind": resource.kind,
                    "namespace": namespace,
                    "name": about["metadata"]["name"],
                    "uid": about["metadata"]["uid"],
                    "apiVersion": resource.api_version,
                    "resourceVersion": about["metadata"]["resourceVersion"],
                },
                "reason": reason,
                "message": message,
                "source": {"component": source},
                "firstTimestamp": now(),
                "lastTimestamp": now(),
                "count": 1,
                "type": kind,
                "eventTime": None,
                "reportingComponent": source,
                "reportingInstance": "",
            }
            self.create(EVENTS, event)

    def _of(self, resource: Resource) -> dict[tuple[str, str], Object]:
        return self._objects.setdefault(resource, {})

    def _keep(self, resource: Resource, key: tuple[str, str], kind: ChangeKind, item: Object) -> Object:
        before = self._of(resource).get(key)
        self._of(resource)[key] = item
        return self._note(resource, kind, before, item)

    def _note(self, resource: Resource, kind: ChangeKind, before: Object | None, item: Object) -> Object:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        self._changes.append(Change(self.version, kind, resource, copy.deepcopy(before), copy.deepcopy(item)))
        self.changed.notify_all()
        return copy.deepcopy(item)
