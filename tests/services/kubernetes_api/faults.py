"""What a test orders to go wrong: with pods, and with requests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from tests.services.kubernetes_api.objects import Object
from tests.services.kubernetes_api.selectors import labels_of

PodFaultKind = Literal["OOMKilled", "Evicted", "ImagePullBackOff", "Unschedulable", "NodeLost", "Deleted"]

Fault = TypeVar("Fault", "PodFault", "RequestFault")


@dataclass
class PodFault:
    """Something that happens to the next `times` pods with these labels.

    Faults of running pods happen `after_seconds`, and not before the pod has printed `once_printed`.
    """

    kind: PodFaultKind
    labels: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    once_printed: str = ""
    after_seconds: float = 0
    # a node that nobody reaches may still work: its pods then write on
    process_survives: bool = False
    # on a cluster, a pod's default toleration of a node that is lost is 300 seconds
    toleration_seconds: float = 0

    def concerns(self, item: Object) -> bool:
        """Whether an object has these labels."""
        labels = labels_of(item)
        return all(labels.get(key) == value for key, value in self.labels.items())


@dataclass
class RequestFault:
    """What the next `times` requests of this verb and resource get instead of an answer.

    `status` is the code of the answer, or None to drop the connection; with `after_doing` the request is done all the same,
    as when an answer is lost on its way. `seconds` is waited first; with status 200 the true answer follows, late.
    """

    status: int | None
    verb: str = "*"
    resource: str = "*"
    times: int = 1
    seconds: float = 0
    after_doing: bool = False


class Faults:
    """All orders that are still open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pods: list[PodFault] = []
        self._requests: list[RequestFault] = []
        self._without_pods: list[Mapping[str, str]] = []

    def order(self, fault: PodFault | RequestFault) -> None:
        """Let this happen."""
        with self._lock:
            if isinstance(fault, PodFault):
                self._pods.append(fault)
            else:
                self._requests.append(fault)

    def leave_without_pods(self, **labels: str) -> None:
        """Let the Job controller never come to the Jobs with these labels."""
        self._without_pods.append(labels)

    def clear(self) -> None:
        """Let everything work from now on."""
        with self._lock:
            self._pods.clear()
            self._requests.clear()
            self._without_pods.clear()

    def of_pod(self, pod: Object) -> PodFault | None:
        """What happens to this pod; asked once for each."""
        return self._take(self._pods, lambda fault: fault.concerns(pod))

    def of_request(self, verb: str, resource: str) -> RequestFault | None:
        """What this request gets."""
        return self._take(
            self._requests,
            lambda fault: fault.verb in ("*", verb) and fault.resource in ("*", resource),
        )

    def ignores(self, job: Object) -> bool:
        """Whether the Job controller never comes to this Job."""
        labels = labels_of(job)
        return any(wanted.items() <= labels.items() for wanted in self._without_pods)

    def _take(self, faults: list[Fault], concerns: Callable[[Fault], bool]) -> Fault | None:
        with self._lock:
            for fault in faults:
                if fault.times > 0 and concerns(fault):
                    fault.times -= 1
                    return fault
        return None
