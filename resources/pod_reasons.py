"""Why a pod has died, or does not start, in one sentence: read from the pod and its events, as the API has them.

Plain values in, a sentence out; who asks the API, and what follows from the answer, stands elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

Manifest: TypeAlias = Mapping[str, Any]

IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
# with these, Kubernetes waits for what will come of itself
PATIENT_REASONS = ("ContainerCreating", "PodInitializing")
DISRUPTIONS = {
    "TerminationByKubelet": "was evicted by its node",
    "EvictionByEvictionAPI": "was evicted, as when its node is drained",
    "PreemptionByScheduler": "had to make room for a pod of higher priority",
    "DeletionByTaintManager": "was given up because its node {node} was lost or tainted",
    "DeletionByPodGC": "was given up because its node {node} is gone",
}


def reason_of(pod: Manifest, events: Sequence[Manifest] = ()) -> str | None:
    """What is wrong with a pod; None while it runs, starts in time or has succeeded.

    The first that applies is the reason: what killed a container comes before what follows from its death.
    """
    causes: tuple[Callable[[Manifest, Sequence[Manifest]], str | None], ...] = (
        out_of_memory,
        disrupted,
        deleted,
        failed,
        not_started,
        unscheduled,
        unmounted,
    )
    return next((reason for cause in causes if (reason := cause(pod, events))), None)


def reason_without_pod(events: Sequence[Manifest]) -> str | None:
    """Why a Job has no pod: what its controller was last refused, by an admission plugin or for want of an account."""
    refused = [event for event in events if event.get("reason") == "FailedCreate"]
    if not refused:
        return None
    return f"Kubernetes refuses the pod of the Job: {text(latest(refused), 'message')}"


def out_of_memory(pod: Manifest, _: Sequence[Manifest]) -> str | None:
    """The kernel has killed a container that took too much memory."""
    for status, ended in ends(pod):
        if ended.get("reason") == "OOMKilled":
            limit = memory_limit(pod, status["name"])
            took = f"its limit of {limit}" if limit else "its node had: it has no limit"
            return (
                f"Container {status['name']} of pod {name(pod)} was killed because it took more memory than "
                f"{took} (OOMKilled). Raise the step's limit of memory, or give it less work at a time."
            )
    return None


def disrupted(pod: Manifest, _: Sequence[Manifest]) -> str | None:
    """Something that is no fault of the step has ended the pod: eviction, preemption, a lost node."""
    status = pod.get("status") or {}
    node = (pod.get("spec") or {}).get("nodeName", "")
    condition = condition_of(pod, "DisruptionTarget", "True")
    message = text(status, "message") or text(condition, "message")
    if status.get("reason") == "Evicted":
        what = DISRUPTIONS["TerminationByKubelet"]
    elif status.get("reason") == "NodeLost" or status.get("phase") == "Unknown":
        what = f"was given up because its node {node} does not answer"
    elif condition:
        reason = text(condition, "reason")
        what = DISRUPTIONS.get(reason, f"was disrupted ({reason})").format(node=node)
    else:
        return None
    return f"Pod {name(pod)} {what}: {message}" if message else f"Pod {name(pod)} {what}."


def deleted(pod: Manifest, _: Sequence[Manifest]) -> str | None:
    """Somebody has deleted the pod."""
    moment = text(pod["metadata"], "deletionTimestamp")
    return f"Pod {name(pod)} was deleted at {moment}, by none of Dagster's doing." if moment else None


def failed(pod: Manifest, _: Sequence[Manifest]) -> str | None:
    """A container has ended with another code than 0, or the pod as a whole has failed."""
    status = pod.get("status") or {}
    if status.get("phase") != "Failed":
        return None
    for container, ended in ends(pod):
        if ended.get("exitCode"):
            reason = ": ".join(filter(None, (text(ended, "reason"), text(ended, "message"))))
            ending = f"Container {container['name']} of pod {name(pod)} ended with code {ended['exitCode']}"
            return f"{ending} ({reason})." if reason else f"{ending}."
    why = ": ".join(filter(None, (text(status, "reason"), text(status, "message"))))
    return f"Pod {name(pod)} has failed: {why or 'Kubernetes says no more'}."


def not_started(pod: Manifest, _: Sequence[Manifest]) -> str | None:
    """A container cannot start: its image is not to be had, or what it refers to is not there."""
    for status in statuses(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        reason, message = text(waiting, "reason"), text(waiting, "message")
        if not reason or reason in PATIENT_REASONS:
            continue
        if reason in IMAGE_REASONS:
            return f"Image {status.get('image')} of pod {name(pod)} cannot be pulled ({reason}): {message}"
        return f"Container {status['name']} of pod {name(pod)} does not start ({reason}): {message}"
    return None


def unscheduled(pod: Manifest, _: Sequence[Manifest]) -> str | None:
    """No node takes the pod."""
    condition = condition_of(pod, "PodScheduled", "False")
    if condition is None:
        return None
    return f"No node takes pod {name(pod)} ({text(condition, 'reason')}): {text(condition, 'message')}"


def unmounted(pod: Manifest, events: Sequence[Manifest]) -> str | None:
    """A volume of the pod is not to be had, which only an event says."""
    found = [event for event in events if event.get("reason") in ("FailedMount", "FailedAttachVolume")]
    if not found or (pod.get("status") or {}).get("phase") != "Pending":
        return None
    return f"Pod {name(pod)} waits for a volume: {text(latest(found), 'message')}"


def is_disrupted(pod: Manifest) -> bool:
    """Whether something that is no fault of the step has ended the pod: the same work may come to its end elsewhere."""
    return out_of_memory(pod, ()) is None and bool(disrupted(pod, ()) or deleted(pod, ()))


def memory_limit(pod: Manifest, container: str) -> str:
    """How much memory a container may take, as its manifest says it; nothing if it has no limit."""
    for spec in (pod.get("spec") or {}).get("containers") or []:
        if spec["name"] == container:
            return text(((spec.get("resources") or {}).get("limits") or {}), "memory")
    return ""


def ends(pod: Manifest) -> Iterator[tuple[Manifest, Manifest]]:
    """The containers that have ended, with how; of one that was started again, how it ended before."""
    for status in statuses(pod):
        for state in (status.get("state") or {}, status.get("lastState") or {}):
            if ended := state.get("terminated"):
                yield status, ended


def statuses(pod: Manifest) -> list[Manifest]:
    """How the pod's containers stand, those first that come first."""
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def condition_of(pod: Manifest, kind: str, value: str) -> Manifest | None:
    """The pod's condition of this kind if it has this value."""
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if (condition["type"], condition["status"]) == (kind, value):
            found: Manifest = condition
            return found
    return None


def latest(events: Sequence[Manifest]) -> Manifest:
    """The event that happened last."""
    return max(events, key=lambda event: text(event, "lastTimestamp") or text(event, "eventTime"))


def name(pod: Manifest) -> str:
    """The pod's name."""
    return text(pod["metadata"], "name")


def text(item: Manifest | None, key: str) -> str:
    """What stands there, without the blanks that Kubernetes leaves at the end of sentences; nothing if it is missing."""
    return str((item or {}).get(key) or "").strip()
