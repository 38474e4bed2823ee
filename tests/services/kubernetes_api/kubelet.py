"""The scheduler and the kubelet of the server's one node: every pod gets a thread that lives its life."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.services.kubernetes_api.container import Container
from tests.services.kubernetes_api.faults import Faults
from tests.services.kubernetes_api.objects import PODS, Object
from tests.services.kubernetes_api.pod_life import TICK_SECONDS, Node, PodLife
from tests.services.kubernetes_api.registry import Registry


class Kubelet:
    """Runs all pods; `start_seconds` is what scheduling, pulling and creating take together."""

    def __init__(
        self,
        registry: Registry,
        faults: Faults,
        environment_of: Callable[[Object], Mapping[str, str]],
        folder: Path,
        *,
        start_seconds: float = 0,
    ) -> None:
        self._node = Node(registry, environment_of, folder, start_seconds)
        self._faults = faults
        self._lives: dict[str, PodLife] = {}
        self._threads: list[threading.Thread] = []
        self._watcher = threading.Thread(target=self._watch, name="kubelet", daemon=True)

    def containers(self, pod: Object) -> dict[str, Container]:
        """The containers of a pod that have been started, by name."""
        life = self._lives.get(pod["metadata"]["uid"])
        return life.containers if life else {}

    def start(self) -> None:
        """Begin to run pods."""
        self._watcher.start()

    def stop(self) -> None:
        """End every process, and run no pod any more."""
        self._node.stopping.set()
        self._watcher.join()
        for thread in self._threads:
            thread.join()
        for life in self._lives.values():
            for container in life.containers.values():
                container.finish()

    def _watch(self) -> None:
        while not self._node.stopping.wait(TICK_SECONDS):
            for pod in self._node.store.items(PODS):
                uid = pod["metadata"]["uid"]
                if uid not in self._lives:
                    life = self._lives[uid] = PodLife(self._node, pod, self._faults.of_pod(pod))
                    thread = threading.Thread(target=life.live, name=uid, daemon=True)
                    self._threads.append(thread)
                    thread.start()
