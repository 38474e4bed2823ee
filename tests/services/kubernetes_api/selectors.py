"""Label and field selectors of a list or a watch."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.services.kubernetes_api.objects import EVENTS, JOBS, PODS, Object, Resource
from tests.services.kubernetes_api.refusals import Refusal

ALWAYS = ("metadata.name", "metadata.namespace")
FIELDS = {
    PODS: (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
    ),
    JOBS: ("status.successful",),
    EVENTS: (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
}
SET_BASED = re.compile(r"^(?P<key>[^\s!=()]+)\s+(?P<how>in|notin)\s+\((?P<values>[^()]*)\)$")
EQUALITY = re.compile(r"^(?P<key>[^\s!=()]+)\s*(?P<how>==|=|!=)\s*(?P<value>[^\s!=()]*)$")
BETWEEN = re.compile(r",(?![^(]*\))")

Matches = Callable[[Object], bool]


def selector(resource: Resource, labels: str, fields: str) -> Matches:
    """Whether an object is meant by both selectors; one that cannot be read is a Refusal."""
    wanted = [label_requirement(part.strip()) for part in BETWEEN.split(labels) if part.strip()]
    wanted += [field_requirement(resource, part.strip()) for part in fields.split(",") if part.strip()]
    return lambda item: all(matches(item) for matches in wanted)


def label_requirement(text: str) -> Matches:
    """One requirement on labels: `a=b`, `a!=b`, `a in (b,c)`, `a`, `!a`."""
    if found := SET_BASED.match(text):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["how"] == "in":
            return lambda item: labels_of(item).get(key) in values
        return lambda item: labels_of(item).get(key) not in values
    if found := EQUALITY.match(text):
        key, value = found["key"], found["value"]
        if found["how"] == "!=":
            return lambda item: labels_of(item).get(key) != value
        return lambda item: labels_of(item).get(key) == value
    if re.fullmatch(r"!?[^\s!=()]+", text):
        key, wanted = text.lstrip("!"), not text.startswith("!")
        return lambda item: (key in labels_of(item)) == wanted
    raise Refusal("BadRequest", f"unable to parse requirement: {text}")


def field_requirement(resource: Resource, text: str) -> Matches:
    """One requirement on a field that this resource can be selected by."""
    found = EQUALITY.match(text)
    if not found:
        raise Refusal("BadRequest", f"invalid selector: '{text}'; can't understand '{text}'")
    key, value, equal = found["key"], found["value"], found["how"] != "!="
    if key not in (*ALWAYS, *FIELDS.get(resource, ())):
        message = f"field label not supported: {key}"
        if resource not in FIELDS:
            message = f'"{key}" is not a known field selector: only "metadata.name", "metadata.namespace"'
        raise Refusal("BadRequest", message)
    return lambda item: (field(item, key) == value) == equal


def field(item: Object, path: str) -> str:
    """What the object has there, as a selector compares it: missing is empty."""
    if path == "status.successful":
        return str(item.get("status", {}).get("succeeded", 0))
    if path == "source":
        return str(item.get("source", {}).get("component", ""))
    found: Any = item
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return "" if found is None else str(found)


def labels_of(item: Object) -> dict[str, str]:
    """The object's labels."""
    labels: dict[str, str] = item["metadata"].get("labels") or {}
    return labels
