"""What is said of a pod that is dead or does not start."""

from __future__ import annotations

from typing import Any

import pytest

from resources.pod_reasons import reason_of, reason_without_pod

Manifest = dict[str, Any]


def pod(**status: Any) -> Manifest:
    return {
        "metadata": {"name": "train-x7k2p"},
        "spec": {
            "nodeName": "node-1",
            "containers": [{"name": "dagster", "resources": {"limits": {"memory": "512Mi"}}}],
        },
        "status": status,
    }


def ended(code: int, reason: str, message: str = "") -> list[Manifest]:
    terminated = {"exitCode": code, "reason": reason, "message": message}
    return [{"name": "dagster", "image": "photos:1", "state": {"terminated": terminated}}]


def waits(reason: str, message: str = "") -> list[Manifest]:
    waiting = {"reason": reason, "message": message}
    return [{"name": "dagster", "image": "photos:1", "state": {"waiting": waiting}}]


def condition(kind: str, value: str, reason: str, message: str = "") -> Manifest:
    return {"type": kind, "status": value, "reason": reason, "message": message}


def event(reason: str, message: str, moment: str = "2026-11-22T04:00:00Z") -> Manifest:
    return {"reason": reason, "message": message, "lastTimestamp": moment}


@pytest.mark.parametrize(
    "healthy",
    [
        pod(phase="Pending"),
        pod(phase="Pending", containerStatuses=waits("ContainerCreating")),
        pod(phase="Running", containerStatuses=[{"name": "dagster", "state": {"running": {}}}]),
        pod(phase="Succeeded", containerStatuses=ended(0, "Completed")),
    ],
)
def test_a_pod_that_starts_runs_or_has_succeeded_has_nothing_wrong(healthy: Manifest) -> None:
    assert reason_of(healthy) is None


def test_a_container_killed_for_its_memory_names_its_limit() -> None:
    dead = pod(phase="Failed", containerStatuses=ended(137, "OOMKilled"))
    assert reason_of(dead) == (
        "Container dagster of pod train-x7k2p was killed because it took more memory than its limit of 512Mi "
        "(OOMKilled). Raise the step's limit of memory, or give it less work at a time."
    )


def test_a_container_without_a_limit_took_what_its_node_had() -> None:
    dead = pod(phase="Failed", containerStatuses=ended(137, "OOMKilled"))
    dead["spec"]["containers"][0]["resources"] = {}
    assert "than its node had: it has no limit (OOMKilled)" in (reason_of(dead) or "")


def test_an_eviction_says_what_the_node_was_short_of() -> None:
    low = "The node was low on resource: memory. "
    dead = pod(
        phase="Failed", reason="Evicted", message=low, containerStatuses=ended(137, "ContainerStatusUnknown")
    )
    wanted = "Pod train-x7k2p was evicted by its node: The node was low on resource: memory."
    assert reason_of(dead) == wanted
    # newer kubelets may lose reason and message of the pod, and keep the condition
    kept = condition("DisruptionTarget", "True", "TerminationByKubelet", low)
    assert reason_of(pod(phase="Failed", conditions=[kept])) == wanted


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("DeletionByTaintManager", "was given up because its node node-1 was lost or tainted"),
        ("DeletionByPodGC", "was given up because its node node-1 is gone"),
        ("PreemptionByScheduler", "had to make room for a pod of higher priority"),
        ("EvictionByEvictionAPI", "was evicted, as when its node is drained"),
        ("Unheard", "was disrupted (Unheard)"),
    ],
)
def test_a_disruption_is_named_before_the_code_that_follows_from_it(reason: str, words: str) -> None:
    dead = pod(
        phase="Failed",
        conditions=[condition("DisruptionTarget", "True", reason)],
        containerStatuses=ended(143, "Error"),
    )
    assert reason_of(dead) == f"Pod train-x7k2p {words}."


def test_a_node_that_does_not_answer_is_named() -> None:
    lost = pod(phase="Running", reason="NodeLost", message="Node node-1 is unresponsive")
    assert reason_of(lost) == (
        "Pod train-x7k2p was given up because its node node-1 does not answer: Node node-1 is unresponsive"
    )


def test_a_deleted_pod_is_said_to_be_deleted() -> None:
    going = pod(phase="Running")
    going["metadata"]["deletionTimestamp"] = "2026-11-22T04:00:00Z"
    assert (
        reason_of(going) == "Pod train-x7k2p was deleted at 2026-11-22T04:00:00Z, by none of Dagster's doing."
    )


def test_a_failed_container_says_its_code() -> None:
    dead = pod(phase="Failed", containerStatuses=ended(128, "StartError", 'exec: "dagster": not found'))
    assert reason_of(dead) == (
        'Container dagster of pod train-x7k2p ended with code 128 (StartError: exec: "dagster": not found).'
    )


def test_a_failed_pod_without_containers_says_its_own_reason() -> None:
    dead = pod(phase="Failed", reason="DeadlineExceeded", message="Pod was active too long")
    assert reason_of(dead) == "Pod train-x7k2p has failed: DeadlineExceeded: Pod was active too long."


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"])
def test_an_image_that_cannot_be_pulled_is_named(reason: str) -> None:
    stuck = pod(phase="Pending", containerStatuses=waits(reason, "photos:1: not found"))
    assert (
        reason_of(stuck)
        == f"Image photos:1 of pod train-x7k2p cannot be pulled ({reason}): photos:1: not found"
    )


def test_a_container_that_refers_to_what_is_not_there_says_so() -> None:
    stuck = pod(
        phase="Pending", containerStatuses=waits("CreateContainerConfigError", 'secret "door" not found')
    )
    assert reason_of(stuck) == (
        "Container dagster of pod train-x7k2p does not start (CreateContainerConfigError): "
        'secret "door" not found'
    )


def test_a_pod_that_no_node_takes_says_why() -> None:
    message = "0/3 nodes are available: 3 Insufficient memory."
    stuck = pod(phase="Pending", conditions=[condition("PodScheduled", "False", "Unschedulable", message)])
    assert reason_of(stuck) == f"No node takes pod train-x7k2p (Unschedulable): {message}"


def test_a_missing_volume_is_told_by_the_newest_event() -> None:
    stuck = pod(phase="Pending", containerStatuses=waits("ContainerCreating"))
    events = [
        event("FailedMount", "timed out", "2026-11-22T04:00:05Z"),
        event("FailedMount", 'configmap "instance" not found', "2026-11-22T04:00:09Z"),
        event("Scheduled", "Successfully assigned", "2026-11-22T04:00:10Z"),
    ]
    assert reason_of(stuck, events) == 'Pod train-x7k2p waits for a volume: configmap "instance" not found'


def test_a_job_whose_pod_is_refused_says_by_what() -> None:
    refused = 'Error creating: pods "train-" is forbidden: error looking up service account night/nobody'
    assert reason_without_pod([event("FailedCreate", refused)]) == (
        f"Kubernetes refuses the pod of the Job: {refused}"
    )
    assert reason_without_pod([event("SuccessfulCreate", "Created pod: train-x7k2p")]) is None
