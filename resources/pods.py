"""Heavy steps have a pod of their own on Kubernetes; what that is made of follows from the step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resources.identity import account_of, secret_of

POD_TAG = "dagster-k8s/config"


@dataclass(frozen=True)
class Pod:
    """What a heavy step takes, in Kubernetes' quantities: CPUs that it is sure of, memory that it is sure of and held to."""

    cpu: str
    memory: str

    def tags(self, step: str) -> Mapping[str, Any]:
        """The tags by which Dagster's launcher makes the pod of a step, with the step's own account and credentials."""
        # without a limit of CPUs, which would slow it down beside idle ones
        resources = {"requests": {"cpu": self.cpu, "memory": self.memory}, "limits": {"memory": self.memory}}
        container = {"resources": resources, "env_from": [{"secret_ref": {"name": secret_of(step)}}]}
        pod = {"service_account_name": account_of(step), "automount_service_account_token": False}
        return {POD_TAG: {"container_config": container, "pod_spec_config": pod}}
