"""What a client asks before it asks for objects: versions, groups, resources, health."""

from __future__ import annotations

from tests.services.kubernetes_api.objects import RESOURCES, Object, Resource
from tests.services.kubernetes_api.schemas import RELEASE

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
SUBRESOURCES = {"jobs": ("status",), "pods": ("status", "log")}
BUILD = {
    "gitCommit": "0" * 40,
    "gitTreeState": "clean",
    "buildDate": "2024-12-11T17:59:15Z",
    "goVersion": "go1.23.3",
    "compiler": "gc",
    "platform": "linux/amd64",
}
HEALTH = ("/healthz", "/livez", "/readyz")


def discovery(path: str) -> Object | str | None:
    """The answer to a path of discovery, or None if it is another one."""
    path = path.rstrip("/")
    parts = path.strip("/").split("/")
    if path in HEALTH:
        return "ok"
    if path == "/version":
        major, minor = RELEASE.split(".")
        return {"major": major, "minor": minor, "gitVersion": f"v{RELEASE}.0", **BUILD}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(name) for name in groups()]}
    if parts[0] == "api" and len(parts) == 2:
        return resource_list("", parts[1])
    if parts[0] == "apis" and len(parts) == 2 and parts[1] in groups():
        return {"kind": "APIGroup", "apiVersion": "v1"} | group(parts[1])
    if parts[0] == "apis" and len(parts) == 3:
        return resource_list(parts[1], parts[2])
    return None


def groups() -> list[str]:
    """All groups but the core one, in a fixed order."""
    return sorted({resource.group for resource in RESOURCES if resource.group})


def group(name: str) -> Object:
    """A group with its one version."""
    version = next(resource.version for resource in RESOURCES if resource.group == name)
    served = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [served], "preferredVersion": served}


def resource_list(group_name: str, version: str) -> Object | None:
    """The resources of a group's version."""
    found = [each for each in RESOURCES if (each.group, each.version) == (group_name, version)]
    if not found:
        return None
    entries = []
    for resource in found:
        entries.append(entry(resource, resource.plural, VERBS))
        for name in SUBRESOURCES.get(resource.plural, ()):
            verbs = ["get"] if name == "log" else ["get", "patch", "update"]
            entries.append(entry(resource, f"{resource.plural}/{name}", verbs))
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": found[0].api_version,
        "resources": entries,
    }


def entry(resource: Resource, name: str, verbs: list[str]) -> Object:
    """A resource or a subresource with its verbs."""
    described: Object = {
        "name": name,
        "singularName": "" if "/" in name else resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": verbs,
    }
    if resource.short_names and "/" not in name:
        described["shortNames"] = list(resource.short_names)
    return described
