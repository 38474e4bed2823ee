"""What a request does to the objects: create, change and delete, with validation, admission and the rules of deletion."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.services.kubernetes_api.access import User
from tests.services.kubernetes_api.admission import admit
from tests.services.kubernetes_api.defaults import bind_to_uid, fill
from tests.services.kubernetes_api.objects import (
    JOBS,
    NAMESPACES,
    PODS,
    RESOURCES,
    SERVICE_ACCOUNTS,
    Object,
    Resource,
    now,
)
from tests.services.kubernetes_api.refusals import Refusal, conflict
from tests.services.kubernetes_api.schemas import decode
from tests.services.kubernetes_api.store import Store
from tests.services.kubernetes_api.validation import check, check_update

ORPHAN_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or "
    "set propagationPolicy=Orphan to suppress this warning"
)
FOREGROUND = "foregroundDeletion"


@dataclass(frozen=True)
class Outcome:
    """What a request made of an object, and what its sender is warned of."""

    item: Object
    warnings: tuple[str, ...] = ()


class Registry:
    """Changes objects as the API server does, whoever asks: access is checked before."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def create(
        self, user: User, resource: Resource, namespace: str, body: Any, validation: str = "Warn"
    ) -> Outcome:
        """Keep a new object."""
        item, warnings = decode(resource, body, validation)
        item.setdefault("metadata", {})
        item["metadata"] = {key: value for key, value in item["metadata"].items() if value is not None}
        if resource.namespaced:
            said = item["metadata"].setdefault("namespace", namespace)
            if said != namespace:
                message = (
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
                raise Refusal("BadRequest", message)
        with self.store.changed:
            if resource in (JOBS, PODS):
                check(resource, item)
            fill(resource, item)
            warnings += admit(self.store, user, resource, item)
            check(resource, item)
            kept = self.store.create(resource, item)
            if resource == JOBS:
                kept = self._modify(resource, kept, bind_to_uid)
            if resource == NAMESPACES:
                self.create(
                    user, SERVICE_ACCOUNTS, kept["metadata"]["name"], {"metadata": {"name": "default"}}
                )
        return Outcome(kept, tuple(warnings))

    def update(
        self, resource: Resource, namespace: str, name: str, body: Any, subresource: str = ""
    ) -> Outcome:
        """Put an object in the place of what it was; the status is changed by its subresource alone."""
        item, warnings = decode(resource, body, "Warn")

        def change(kept: Object) -> None:
            said = item.get("metadata", {})
            if said.get("uid") not in (None, kept["metadata"]["uid"]):
                raise conflict(resource, name)
            if said.get("resourceVersion") not in (None, "", kept["metadata"]["resourceVersion"]):
                raise conflict(resource, name)
            if subresource == "status":
                kept["status"] = item.get("status", {})
                return
            check_update(resource, kept, item)
            check(resource, item)
            for key in [key for key in kept if key not in ("metadata", "status", "apiVersion", "kind")]:
                del kept[key]
            kept |= {key: value for key, value in item.items() if key not in ("metadata", "status")}
            for key in ("labels", "annotations", "finalizers"):
                kept["metadata"].pop(key, None)
                if said.get(key):
                    kept["metadata"][key] = said[key]

        kept = self.store.modify(resource, namespace, name, change)
        return Outcome(self._remove_if_done(resource, kept), tuple(warnings))

    def patch(
        self, resource: Resource, namespace: str, name: str, changes: Any, subresource: str = ""
    ) -> Outcome:
        """Merge changes into an object: a null removes, an object merges, all else replaces."""
        with self.store.changed:
            before = self.store.get(resource, namespace, name)
            return self.update(resource, namespace, name, merged(before, changes), subresource)

    def apply(self, user: User, resource: Resource, namespace: str, name: str, body: Any) -> Outcome:
        """Make the object, or merge it into what is there; who has said what of it before is not remembered."""
        with self.store.changed:
            if self.store.find(resource, namespace, name) is None:
                return self.create(user, resource, namespace, body, "Strict")
            return self.patch(resource, namespace, name, body)

    def delete(
        self, resource: Resource, namespace: str, name: str, options: dict[str, Any]
    ) -> tuple[Outcome, bool]:
        """Delete an object, or begin to; whether it is gone."""
        with self.store.changed:
            item = self.store.get(resource, namespace, name)
            if resource == NAMESPACES:
                self._empty(name)
            wanted = (options.get("preconditions") or {}).get("uid")
            if wanted not in (None, item["metadata"]["uid"]):
                raise conflict(resource, name)
            warnings = []
            grace = 0
            if resource == JOBS:
                policy = options.get("propagationPolicy")
                if policy is None:
                    warnings.append(ORPHAN_WARNING)
                if policy in (None, "Orphan"):
                    self._orphan(item)
                if policy == "Foreground":
                    self._modify(resource, item, lambda job: job["metadata"].update(finalizers=[FOREGROUND]))
            if resource == PODS and item["spec"].get("nodeName"):
                ended = item["status"]["phase"] in ("Succeeded", "Failed")
                said = options.get("gracePeriodSeconds")
                grace = (
                    0 if ended else item["spec"]["terminationGracePeriodSeconds"] if said is None else said
                )
            kept = self._modify(resource, item, lambda it: mark_deleted(it, grace))
            kept = self._remove_if_done(resource, kept)
            return Outcome(kept, tuple(warnings)), self.store.find(resource, namespace, name) is None

    def let_go(self, resource: Resource, item: Object, finalizer: str) -> None:
        """Remove a finalizer; the last one of a deleted object lets it go."""

        def change(kept: Object) -> None:
            left = [each for each in kept["metadata"].get("finalizers", []) if each != finalizer]
            kept["metadata"]["finalizers"] = left
            if not left:
                del kept["metadata"]["finalizers"]

        with self.store.changed:
            if self.store.find(resource, item["metadata"]["namespace"], item["metadata"]["name"]):
                self._remove_if_done(resource, self._modify(resource, item, change))

    def _empty(self, namespace: str) -> None:
        """Delete all that is in a namespace."""
        for resource in (each for each in RESOURCES if each.namespaced):
            for item in self.store.items(resource, namespace):
                self.delete(
                    resource, namespace, item["metadata"]["name"], {"propagationPolicy": "Background"}
                )

    def _orphan(self, job: Object) -> None:
        for pod in self.store.items(PODS, job["metadata"]["namespace"]):
            owners = pod["metadata"].get("ownerReferences") or []
            if any(owner["uid"] == job["metadata"]["uid"] for owner in owners):
                kept = self._modify(PODS, pod, lambda each: each["metadata"].pop("ownerReferences"))
                for finalizer in kept["metadata"].get("finalizers", []):
                    self.let_go(PODS, kept, finalizer)

    def _modify(self, resource: Resource, item: Object, change: Callable[[Object], Any]) -> Object:
        metadata = item["metadata"]
        return self.store.modify(resource, metadata.get("namespace", ""), metadata["name"], change)

    def _remove_if_done(self, resource: Resource, item: Object) -> Object:
        metadata = item["metadata"]
        done = metadata.get("deletionGracePeriodSeconds") == 0 and not metadata.get("finalizers")
        if "deletionTimestamp" in metadata and done:
            return self.store.remove(resource, metadata.get("namespace", ""), metadata["name"])
        return item


def mark_deleted(item: Object, grace: int) -> None:
    """Say since when an object is being deleted; a shorter grace replaces a longer one."""
    metadata = item["metadata"]
    if "deletionTimestamp" not in metadata or grace < metadata["deletionGracePeriodSeconds"]:
        metadata |= {"deletionTimestamp": metadata.get("deletionTimestamp", now())}
        metadata["deletionGracePeriodSeconds"] = grace


def merged(before: Any, changes: Any) -> Any:
    """A JSON merge patch applied."""
    if not isinstance(changes, dict) or not isinstance(before, dict):
        return copy.deepcopy(changes)
    result = dict(before)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key, {}), value)
    return result
