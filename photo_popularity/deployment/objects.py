"""How every object of Kubernetes begins that belongs to an environment."""

from __future__ import annotations

from typing import Any

from resources.environment import Environment
from resources.identity import namespace_of

Manifest = dict[str, Any]
PART_OF = "photo-popularity"


def kubernetes_object(
    environment: Environment,
    kind: str,
    name: str,
    *,
    api: str = "v1",
    namespaced: bool = True,
    **content: Any,
) -> Manifest:
    """The object with its name and labels, in the environment's namespace or in none."""
    metadata: Manifest = {"name": name, "labels": _labels(environment)}
    if namespaced:
        metadata["namespace"] = namespace_of(environment)
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **content}


def _labels(environment: Environment) -> dict[str, str]:
    return {"app.kubernetes.io/part-of": PART_OF, "photo-popularity/environment": environment.label}
