"""Kubernetes Jobs of runs and steps as the API has them, and what is to be said of one that fails or does not start."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from dagster_k8s.client import DagsterKubernetesClient
from kubernetes.client import ApiException

from resources.pod_reasons import Manifest, is_disrupted, latest, reason_of, reason_without_pod, text

# what is said of every pod, and tells nothing of its end
ROUTINE = ("Scheduled", "Pulling", "Pulled", "Created", "Started", "Killing")


@dataclass(frozen=True)
class Job:
    """A Job as the API has it now, with its pods and what was said of both."""

    name: str
    manifest: Manifest
    pods: Sequence[Manifest]
    events: Sequence[Manifest]
    pod_events: Sequence[Manifest]


def read_job(client: DagsterKubernetesClient, name: str, namespace: str | None) -> Job | None:
    """The Job with all that belongs to it; None if it is gone. Needs the verbs that Dagster needs, and no others."""
    plain = client.core_api.api_client.sanitize_for_serialization
    try:
        manifest = plain(client.batch_api.read_namespaced_job_status(name, namespace))
    except ApiException as error:
        if error.status == 404:
            return None
        raise

    def events_of(item: str) -> list[Manifest]:
        found = client.core_api.list_namespaced_event(namespace, field_selector=f"involvedObject.name={item}")
        listed: list[Manifest] = plain(found.items)
        return listed

    pods: list[Manifest] = plain(
        client.core_api.list_namespaced_pod(namespace, label_selector=f"job-name={name}").items
    )
    events = events_of(name)
    named = {text(pod["metadata"], "name") for pod in pods} or pods_once_made(events)
    return Job(name, manifest, pods, events, [event for pod in named for event in events_of(pod)])


def delete_job(client: DagsterKubernetesClient, name: str, namespace: str | None) -> bool:
    """Delete the Job with all of its pods; whether it was there.

    Dagster's own way deletes the pods that it sees, and then the Job without its pods: one that is made between works on.
    """
    try:
        client.batch_api.delete_namespaced_job(name, namespace, propagation_policy="Background")
    except ApiException as error:
        if error.status == 404:
            return False
        raise
    return True


def failure(job: Job) -> str:
    """Why a Job has failed: what its pod says, or what was said of a pod that is gone."""
    for pod in job.pods:
        if reason := reason_of(pod, job.pod_events):
            return reason
    if job.pod_events:
        last = latest(
            [event for event in job.pod_events if event.get("reason") not in ROUTINE] or job.pod_events
        )
        said = f"{text(last, 'reason')}: {text(last, 'message')}"
        return f"The pod of Job {job.name} is gone, deleted by somebody or with its node; last was said of it: {said}"
    conditions = (job.manifest.get("status") or {}).get("conditions") or [{}]
    return f"Job {job.name} has failed, and has no pod: {text(conditions[-1], 'message')}"


def was_disrupted(job: Job) -> bool:
    """Whether something that is no fault of the work has ended its pod, or has taken it away."""
    return any(map(is_disrupted, job.pods)) or (not job.pods and bool(pods_once_made(job.events)))


def not_running(job: Job) -> str:
    """Why no pod of a Job runs yet."""
    for pod in job.pods:
        return reason_of(pod, job.pod_events) or f"Pod {text(pod['metadata'], 'name')} is still being made."
    reason = reason_without_pod(job.events)
    return (
        reason or f"Job {job.name} has no pod, and nobody says why: Kubernetes's Job controller may be down."
    )


def pods_once_made(events: Sequence[Manifest]) -> set[str]:
    """The names of the pods that a Job's controller says it has created."""
    made = (event for event in events if event.get("reason") == "SuccessfulCreate")
    return {text(event, "message").rpartition(" ")[2] for event in made}


def answer(error: Exception) -> str:
    """What the API has answered, or why it has not."""
    status = _status(error)
    return f"{status.get('message')} ({status.get('reason')}, {status.get('code')})" if status else str(error)


def is_there_already(error: Exception) -> bool:
    """Whether a Job is not made because there is one of its name.

    A name is one attempt's of one run or step: the Job was made, and the answer to that was lost.
    """
    return _status(error).get("reason") == "AlreadyExists"


def _status(error: Exception) -> Manifest:
    try:
        status: Manifest = json.loads(getattr(error, "body", None) or "{}")
    except ValueError:
        return {}
    return status
