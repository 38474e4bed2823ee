"""A cluster that a kubeconfig leads to, whosever it is: what a deployment does there, as its administrator."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.services.ports import HOST, accepts, free_port, wait_until

Manifest = dict[str, Any]
SECONDS_TO_START, SECONDS_TO_GO = 300, 180
FIELD_MANAGER = "photo-popularity-tests"
# `unknown` while a node does not answer
GONE = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Cluster:
    """A cluster, the image that its pods run, and what of the chart's values is different there."""

    kubeconfig: Path
    image: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def client(self) -> Any:
        """The client of the API."""
        import kubernetes

        return kubernetes.config.new_client_from_config(str(self.kubeconfig))

    @cached_property
    def _any_kind(self) -> Any:
        import kubernetes

        return kubernetes.dynamic.DynamicClient(self.client)

    @property
    def core(self) -> Any:
        """The client for pods and namespaces."""
        import kubernetes

        return kubernetes.client.CoreV1Api(self.client)

    def apply(self, manifests: Iterable[Manifest]) -> None:
        """Apply them on the server's side, in their order."""
        for manifest in manifests:
            kind = self._any_kind.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])
            name, namespace = manifest["metadata"]["name"], manifest["metadata"].get("namespace")
            self._any_kind.server_side_apply(
                kind, body=manifest, name=name, namespace=namespace, field_manager=FIELD_MANAGER
            )

    def pods(self, namespace: str) -> list[Manifest]:
        """All pods of a namespace, as JSON has them."""
        found = self.core.list_namespaced_pod(namespace)
        plain: list[Manifest] = self.client.sanitize_for_serialization(found.items)
        return plain

    def start(self, pod: Manifest) -> str:
        """Make a pod, wait until it is ready, and give its address; one that does not start is a RuntimeError with its log."""
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        self.apply([pod])

        def status() -> Manifest:
            found: Manifest = self.client.sanitize_for_serialization(
                self.core.read_namespaced_pod(name, namespace).status
            )
            return found

        def ready() -> bool:
            now = status()
            if now.get("phase") in GONE:
                raise RuntimeError(f"Pod {name} has ended: {now}\n{self.log(namespace, name)}")
            return any(
                each["type"] == "Ready" and each["status"] == "True" for each in now.get("conditions", ())
            )

        self._until(ready, SECONDS_TO_START, lambda: f"pod {name} to be ready: {status()}")
        address: str = status()["podIP"]
        return address

    def log(self, namespace: str, pod: str) -> str:
        """The last of what a pod's container has printed, or why that cannot be told."""
        import kubernetes

        try:
            # the client's own conversion to text is broken since its release 36 (its issue 2596)
            answer = self.core.read_namespaced_pod_log(pod, namespace, tail_lines=50, _preload_content=False)
        except kubernetes.client.ApiException as error:
            return str(error.body)
        text: str = answer.data.decode(errors="replace")
        return text

    def remove(self, manifests: Iterable[Manifest]) -> None:
        """Delete the namespaces among these, with all that is in them, and what is in none; wait until they are gone."""
        import kubernetes

        kinds = [
            (each["apiVersion"], each["kind"], each["metadata"]["name"])
            for each in manifests
            if "namespace" not in each["metadata"]
        ]
        for version, kind, name in kinds:
            resource = self._any_kind.resources.get(api_version=version, kind=kind)
            try:
                self._any_kind.delete(resource, name=name)
            except kubernetes.client.ApiException as error:
                if error.status != 404:
                    raise
        left = {name for _, kind, name in kinds if kind == "Namespace"}

        def gone() -> bool:
            return not left & {each.metadata.name for each in self.core.list_namespace().items}

        self._until(gone, SECONDS_TO_GO, lambda: f"namespaces to be gone: {sorted(left)}")

    @contextmanager
    def forwarded(self, namespace: str, pod: str, port: int, log: Path) -> Iterator[int]:
        """A port of this machine that leads to one of a pod, by `kubectl`."""
        here = free_port()
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), "--namespace", namespace, "port-forward"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, f"pod/{pod}", f"{here}:{port}", "--address", HOST], stdout=output, stderr=output
            )
        try:
            wait_until(lambda: accepts(here), process, log.read_text)
            yield here
        finally:
            process.terminate()
            process.wait(timeout=20)

    def _until(self, done: Callable[[], bool], seconds: float, what: Callable[[], str]) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise RuntimeError(f"Waited {seconds} s for {what()}")
            time.sleep(0.5)
