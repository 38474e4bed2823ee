"""One pod's life: its place on the node, its processes, what a test lets happen to it, its end and its removal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.services.kubernetes_api.container import (
    ConfigurationError,
    Container,
    command_of,
    variables_of,
)
from tests.services.kubernetes_api.faults import PodFault
from tests.services.kubernetes_api.objects import PODS, Object, name_of, set_condition
from tests.services.kubernetes_api.pod_status import (
    NODE,
    end,
    evicted,
    image_missing,
    lost,
    running,
    scheduled,
    unschedulable,
    waiting,
)
from tests.services.kubernetes_api.registry import Registry, mark_deleted
from tests.services.kubernetes_api.store import Store
from tests.services.kubernetes_api.volumes import fill_volume, led_into, mount

TICK_SECONDS = 0.05
BACK_OFF_SECONDS = 1.0
FOR_EVER = float("inf")


@dataclass
class Node:
    """What all pods of the node share."""

    registry: Registry
    environment_of: Callable[[Object], Mapping[str, str]]
    folder: Path
    start_seconds: float
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def store(self) -> Store:
        """Where the pods' objects are."""
        return self.registry.store


class PodGone(Exception):
    """The pod has been removed while something was done for it, or the server ends."""


class PodLife:
    """Lives one pod's life in the thread that calls `live`."""

    def __init__(self, node: Node, pod: Object, fault: PodFault | None) -> None:
        self.containers: dict[str, Container] = {}
        self._node = node
        self._pod = pod
        self._where = f"{pod['metadata']['namespace']}/{name_of(pod)}"
        self._folder = node.folder / "pods" / pod["metadata"]["uid"]
        self._fault = fault
        self._is_lost = False

    def live(self) -> None:
        """From the pod's creation to its removal."""
        try:
            if self._start():
                self._change(running)
                self._run()
            self._until(self._is_deleted)
            self._change(partial(mark_deleted, grace=0))
            self._node.registry.let_go(PODS, self._pod, "")
        except PodGone:
            if not self._works_on():
                for container in self.containers.values():
                    container.kill()

    def _start(self) -> bool:
        """Start the pod's processes, as soon as all that they need is there; whether they run."""
        if self._fault and self._fault.kind == "Unschedulable":
            self._change(unschedulable)
            self._record("Warning", "FailedScheduling", "0/1 nodes are available: 1 Insufficient memory.")
            self._until(self._is_deleted)
            raise PodGone
        self._change(scheduled)
        self._record("Normal", "Scheduled", f"Successfully assigned {self._where} to {NODE}")
        try:
            self._pause(self._node.start_seconds)
            if self._fault and self._fault.kind == "ImagePullBackOff":
                self._never_pull()
            self._mount()
            shared = self._node.environment_of(self._pod)
            return all(self._start_container(spec, shared) for spec in self._pod["spec"]["containers"])
        except DeletedBeforeStart:
            self._change(partial(end, codes={spec["name"]: 137 for spec in self._pod["spec"]["containers"]}))
            return False

    def _start_container(self, spec: Object, shared: Mapping[str, str]) -> bool:
        found: dict[str, str] = {}
        self._retry(
            lambda: found.update(variables_of(self._node.store, self._pod, spec)), "Failed", "Error: "
        )
        root = self._folder / "containers" / spec["name"]
        mounted = mount(spec, self._folder / "volumes", root)
        variables = {**shared, **led_into(root, found, mounted)}
        folder = Path(spec.get("workingDir") or self._node.folder)
        try:
            self.containers[spec["name"]] = Container(command_of(spec, variables), variables, folder)
        except OSError as error:
            message = (
                "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create "
                f'failed: unable to start container process: error during container init: exec: "{error.filename}": '
                "executable file not found in $PATH: unknown"
            )
            self._record("Warning", "Failed", f"Error: {message}")
            self._change(partial(end, codes={spec["name"]: 128}, killed="StartError", message=message))
            return False
        self._record("Normal", "Started", f"Started container {spec['name']}")
        return True

    def _run(self) -> None:
        """Wait until the processes end, by themselves or by what happens to the pod."""
        limit = self._pod["spec"].get("activeDeadlineSeconds") or FOR_EVER
        due = self._due()
        self._until(lambda: due() or self._all_ended() or self._is_deleted(), limit)
        killed = ""
        if self._fault and not self._all_ended() and due():
            killed = "OOMKilled" if self._fault.kind == "OOMKilled" else ""
            self._strike(self._fault)
        if not self._is_lost and not killed:
            self._stop_containers()
        self._until(self._all_ended)
        codes = {name: container.exit_code() for name, container in self.containers.items()}
        for container in self.containers.values():
            container.finish()
        if self._is_lost:
            # nobody is left on the node who could say how the processes ended
            self._until(lambda: False)
        self._change(partial(end, codes=codes, killed=killed))

    def _due(self) -> Callable[[], bool]:
        """Whether the time of the pod's fault has come."""
        fault, began = self._fault, time.monotonic()
        if fault is None:
            return lambda: False
        return lambda: (
            time.monotonic() - began >= fault.after_seconds
            and any(fault.once_printed in container.text for container in self.containers.values())
        )

    def _strike(self, fault: PodFault) -> None:
        """Let the pod's fault happen."""
        if fault.kind == "Deleted":
            self._delete()
            return
        self._is_lost = fault.kind == "NodeLost"
        if not self._works_on():
            for container in self.containers.values():
                container.kill()
        if fault.kind == "Evicted":
            kept = self._change(evicted)
            self._record("Warning", "Evicted", kept["status"]["message"])
        if self._is_lost:
            self._change(partial(set_condition, kind="Ready", value="False"))
            self._record("Warning", "NodeNotReady", "Node is not ready")
            self._until(lambda: False, fault.toleration_seconds)
            self._change(lost)
            self._record("Normal", "TaintManagerEviction", f"Marking for deletion Pod {self._where}")
            self._delete()

    def _stop_containers(self) -> None:
        """End what still runs as a deletion does: politely first, then by force."""
        grace = self._get()["metadata"].get("deletionGracePeriodSeconds", 0)
        for name, container in self.containers.items():
            if container.exit_code() is None:
                self._record("Normal", "Killing", f"Stopping container {name}")
                container.terminate()
        if not self._until(self._all_ended, grace):
            for container in self.containers.values():
                container.kill()

    def _never_pull(self) -> None:
        """Try to pull an image that is not there, and wait between, until the pod is deleted."""
        image = self._pod["spec"]["containers"][0]["image"]
        failed, backing_off = image_missing(image)
        while True:
            self._record("Normal", "Pulling", f'Pulling image "{image}"')
            self._change(partial(waiting, reason="ErrImagePull", message=failed))
            self._record("Warning", "Failed", f'Failed to pull image "{image}": {failed}')
            self._record("Warning", "Failed", "Error: ErrImagePull")
            self._pause(BACK_OFF_SECONDS)
            self._change(partial(waiting, reason="ImagePullBackOff", message=backing_off))
            self._record("Normal", "BackOff", f'Back-off pulling image "{image}"')
            self._record("Warning", "Failed", "Error: ImagePullBackOff")
            self._pause(BACK_OFF_SECONDS)

    def _mount(self) -> None:
        """Wait until what the pod's volumes are made of is there."""
        for volume in self._pod["spec"].get("volumes") or []:
            words = f'MountVolume.SetUp failed for volume "{volume["name"]}" : '
            look = partial(fill_volume, self._node.store, self._pod, volume, self._folder / "volumes")
            self._retry(look, "FailedMount", words)

    def _retry(self, attempt: Callable[[], object], reason: str, words: str) -> None:
        """Try again and again until nothing is missing; `Failed` shows in the containers' state too."""
        while True:
            try:
                attempt()
            except ConfigurationError as error:
                if reason == "Failed":
                    self._change(partial(waiting, reason="CreateContainerConfigError", message=str(error)))
                self._record("Warning", reason, f"{words}{error}")
                self._pause(BACK_OFF_SECONDS)
            else:
                return

    def _pause(self, seconds: float) -> None:
        """Wait before there are processes; a deletion ends the pod then."""
        self._until(self._is_deleted, seconds)
        if self._is_deleted():
            raise DeletedBeforeStart

    def _until(self, done: Callable[[], bool], seconds: float = FOR_EVER) -> bool:
        """Wait until it is done, at most so long; whether it is. A pod that was removed meanwhile is PodGone."""
        deadline = time.monotonic() + seconds
        while not done():
            self._get()
            if time.monotonic() >= deadline:
                return False
            if self._node.stopping.wait(TICK_SECONDS):
                raise PodGone
        return True

    def _works_on(self) -> bool:
        """Whether the pod's processes outlive it, on a node that nobody reaches."""
        return self._is_lost and self._fault is not None and self._fault.process_survives

    def _all_ended(self) -> bool:
        return all(container.exit_code() is not None for container in self.containers.values())

    def _is_deleted(self) -> bool:
        return "deletionTimestamp" in self._get()["metadata"]

    def _get(self) -> Object:
        kept = self._node.store.find(PODS, self._pod["metadata"]["namespace"], name_of(self._pod))
        if kept is None or kept["metadata"]["uid"] != self._pod["metadata"]["uid"]:
            raise PodGone
        return kept

    def _delete(self) -> None:
        self._node.registry.delete(PODS, self._pod["metadata"]["namespace"], name_of(self._pod), {})

    def _change(self, change: Callable[[Object], None]) -> Object:
        with self._node.store.changed:
            self._get()
            return self._node.store.modify(
                PODS, self._pod["metadata"]["namespace"], name_of(self._pod), change
            )

    def _record(self, kind: str, reason: str, message: str) -> None:
        self._node.store.record(PODS, self._get(), kind=kind, reason=reason, message=message)


class DeletedBeforeStart(Exception):
    """The pod was deleted before its processes started."""
