"""What a path and a method ask for."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from tests.services.kubernetes_api.access import Attempt
from tests.services.kubernetes_api.objects import RESOURCES, Resource
from tests.services.kubernetes_api.refusals import Refusal

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True)
class Request:
    """A request for objects: the verb that roles know, what it is about, and its options."""

    verb: str
    resource: Resource
    namespace: str
    name: str
    subresource: str
    options: dict[str, str]

    @property
    def attempt(self) -> Attempt:
        """What an authorizer is asked."""
        return Attempt(self.verb, self.resource, self.namespace, self.name, self.subresource)

    def flag(self, name: str) -> bool:
        """An option that is on or off."""
        return self.options.get(name, "").lower() in ("1", "true")


def parse(method: str, target: str) -> Request:
    """Read a request's first line; a path that the server does not know is a Refusal."""
    parts = urlsplit(target)
    options = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
    names = parts.path.strip("/").split("/")
    root, rest = names[0], names[1:]
    group, rest = (rest[0], rest[1:]) if root == "apis" and rest else ("", rest)
    version, rest = (rest[0], rest[1:]) if rest else ("", rest)
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    for resource in RESOURCES:
        if rest[:1] == [resource.plural] and (resource.group, resource.version) == (group, version):
            name = rest[1] if len(rest) > 1 else ""
            if resource.plural == "namespaces":
                namespace = name
            subresource = rest[2] if len(rest) > 2 else ""
            return Request(verb_of(method, name, options), resource, namespace, name, subresource, options)
    raise Refusal("NotFound", "the server could not find the requested resource")


def verb_of(method: str, name: str, options: dict[str, str]) -> str:
    """The verb, as roles name it."""
    if method == "GET":
        watched = options.get("watch", "").lower() in ("1", "true")
        return "watch" if watched else "get" if name else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    return VERBS[method]
