"""What every Kubernetes object has: its kind's place in the API, its times, its identity."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

Object: TypeAlias = dict[str, Any]

# letters and digits that spell no word, as the API server draws them
SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True)
class Resource:
    """A kind of object and where the API serves it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """What an object's `apiVersion` says."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The plural as messages name it: `pods`, `jobs.batch`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        """The kind as messages of validation name it: `Pod`, `Job.batch`."""
        return f"{self.kind}.{self.group}" if self.group else self.kind


RBAC, ADMISSION = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
JOBS = Resource("batch", "v1", "jobs", "Job")
PODS = Resource("", "v1", "pods", "Pod", short_names=("po",))
EVENTS = Resource("", "v1", "events", "Event", short_names=("ev",))
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False, short_names=("ns",))
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", short_names=("sa",))
SECRETS = Resource("", "v1", "secrets", "Secret")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", short_names=("cm",))
QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota", short_names=("quota",))
LIMIT_RANGES = Resource("", "v1", "limitranges", "LimitRange", short_names=("limits",))
NETWORK_POLICIES = Resource(
    "networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", short_names=("netpol",)
)
ROLES = Resource(RBAC, "v1", "roles", "Role")
ROLE_BINDINGS = Resource(RBAC, "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLES = Resource(RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
POLICIES = Resource(
    ADMISSION, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False
)
POLICY_BINDINGS = Resource(
    ADMISSION, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False
)
RESOURCES = (
    NAMESPACES,
    PODS,
    EVENTS,
    SERVICE_ACCOUNTS,
    SECRETS,
    CONFIG_MAPS,
    QUOTAS,
    LIMIT_RANGES,
    JOBS,
    NETWORK_POLICIES,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    POLICIES,
    POLICY_BINDINGS,
)


def resource_of(api_version: str, kind: str) -> Resource:
    """The resource that an object of this kind belongs to."""
    for resource in RESOURCES:
        if (resource.api_version, resource.kind) == (api_version, kind):
            return resource
    raise LookupError(f"The test's API server has no {kind} of {api_version}.")


def now() -> str:
    """This moment as objects have it: whole seconds, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_since(moment: str) -> float:
    """How long ago a moment of an object was."""
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()


def random_suffix(length: int = 5) -> str:
    """What the API server appends to a `generateName`."""
    return "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(length))


def new_uid() -> str:
    """An identity that no other object has."""
    return str(uuid.uuid4())


def name_of(item: Object) -> str:
    """The object's name."""
    name: str = item["metadata"]["name"]
    return name


def admission_name(item: Object) -> str:
    """What messages call an object that may have no name yet."""
    return str(item["metadata"].get("name") or item["metadata"].get("generateName", ""))


def owner_reference(resource: Resource, item: Object) -> Object:
    """How an object that a controller made names its owner."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": name_of(item),
        "uid": item["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def set_condition(item: Object, kind: str, value: str, *, reason: str = "", message: str = "") -> None:
    """Set one condition of the status; its time of transition moves when its value does."""
    conditions = item.setdefault("status", {}).setdefault("conditions", [])
    condition = next((entry for entry in conditions if entry["type"] == kind), None)
    if condition is None:
        condition = {"type": kind}
        conditions.append(condition)
    if condition.get("status") != value:
        condition["lastTransitionTime"] = now()
    condition |= {"status": value, "lastProbeTime": None}
    for key, text in (("reason", reason), ("message", message)):
        if text:
            condition[key] = text
        else:
            condition.pop(key, None)
