"""The Job controller and the garbage collector: pods for Jobs, counts, conditions, and what goes with a deleted Job."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from tests.services.kubernetes_api.access import JOB_CONTROLLER
from tests.services.kubernetes_api.defaults import JOB_TRACKING
from tests.services.kubernetes_api.objects import (
    JOBS,
    PODS,
    Object,
    name_of,
    now,
    owner_reference,
    seconds_since,
    set_condition,
)
from tests.services.kubernetes_api.refusals import Refusal
from tests.services.kubernetes_api.registry import FOREGROUND, Registry

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 60.0
LOOK_SECONDS = 0.2


class JobController:
    """Reconciles Jobs whenever anything changes, in a thread; `ignores` names Jobs that it never comes to."""

    def __init__(self, registry: Registry, ignores: Callable[[Object], bool]) -> None:
        self._registry = registry
        self._store = registry.store
        self._ignores = ignores
        self._retries: dict[str, tuple[float, float]] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="job-controller", daemon=True)

    def start(self) -> None:
        """Begin to reconcile."""
        self._thread.start()

    def stop(self) -> None:
        """Reconcile no more."""
        with self._store.changed:
            self._stopping = True
            self._store.changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        seen = 0
        while not self._stopping:
            with self._store.changed:
                if self._store.version == seen:
                    self._store.changed.wait(LOOK_SECONDS)
                seen = self._store.version
                for job in self._store.items(JOBS):
                    if not self._ignores(job):
                        self._reconcile(job)
                self._collect_garbage()

    def _reconcile(self, job: Object) -> None:
        pods = self._pods(job)
        if "deletionTimestamp" in job["metadata"]:
            for pod in pods:
                self._registry.let_go(PODS, pod, JOB_TRACKING)
                self._delete(pod)
            if not pods:
                self._registry.let_go(JOBS, job, FOREGROUND)
            return
        if finished(job):
            ttl = job["spec"].get("ttlSecondsAfterFinished")
            if ttl is not None and seconds_since(finished(job)) >= ttl:
                self._registry.delete(
                    JOBS, job["metadata"]["namespace"], name_of(job), {"propagationPolicy": "Background"}
                )
            return
        counted = [pod for pod in pods if JOB_TRACKING in pod["metadata"].get("finalizers", [])]
        ended = [pod for pod in counted if has_ended(pod)]
        active = [pod for pod in pods if not has_ended(pod)]
        status = job["status"]
        failed = status.get("failed", 0) + sum(pod["status"]["phase"] != "Succeeded" for pod in ended)
        succeeded = status.get("succeeded", 0) + sum(pod["status"]["phase"] == "Succeeded" for pod in ended)
        late = self._is_late(job)
        if late:
            for pod in active:
                self._delete(pod)
            active = []
        terminating = [pod for pod in pods if "deletionTimestamp" in pod["metadata"]]
        job = self._registry.store.modify(
            JOBS,
            job["metadata"]["namespace"],
            name_of(job),
            lambda kept: self._write(
                kept, active, failed, succeeded, late=late, terminating=len(terminating)
            ),
        )
        for pod in ended:
            self._registry.let_go(PODS, pod, JOB_TRACKING)
        if not finished(job) and not failing(job) and not active and succeeded < job["spec"]["completions"]:
            self._make_pod(job)

    def _write(
        self, job: Object, active: list[Object], failed: int, succeeded: int, *, late: bool, terminating: int
    ) -> None:
        status = job["status"]
        status.setdefault("startTime", now())
        counts = {
            "active": len(active),
            "failed": failed,
            "succeeded": succeeded,
            "ready": sum(pod["status"]["phase"] == "Running" for pod in active),
            "terminating": terminating,
        }
        status |= counts
        for key in ("active", "failed", "succeeded"):
            if not counts[key]:
                del status[key]
        status.setdefault("uncountedTerminatedPods", {})
        reason, message = "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        if late:
            reason, message = "DeadlineExceeded", "Job was active longer than specified deadline"
        if late or failed > job["spec"]["backoffLimit"]:
            if not failing(job):
                set_condition(job, "FailureTarget", "True", reason=reason, message=message)
                self._store.record(JOBS, job, kind="Warning", reason=reason, message=message)
            if not terminating:
                set_condition(job, "Failed", "True", reason=reason, message=message)
        elif succeeded >= job["spec"]["completions"]:
            reason, message = "CompletionsReached", "Reached expected number of succeeded pods"
            for kind in ("SuccessCriteriaMet", "Complete"):
                set_condition(job, kind, "True", reason=reason, message=message)
            status["completionTime"] = now()
            self._store.record(JOBS, job, kind="Normal", reason="Completed", message="Job completed")

    def _is_late(self, job: Object) -> bool:
        limit, began = job["spec"].get("activeDeadlineSeconds"), job["status"].get("startTime")
        return bool(limit and began and seconds_since(began) >= limit)

    def _make_pod(self, job: Object) -> None:
        """Create the Job's pod; a refusal is an Event of the Job, and is tried again later and later."""
        uid = job["metadata"]["uid"]
        not_before, pause = self._retries.get(uid, (0.0, FIRST_RETRY_SECONDS))
        if time.monotonic() < not_before:
            return
        template = job["spec"]["template"]
        body = {
            "metadata": {
                "generateName": f"{name_of(job)}-",
                "labels": template["metadata"]["labels"],
                "annotations": template["metadata"].get("annotations", {}),
                "ownerReferences": [owner_reference(JOBS, job)],
                "finalizers": [JOB_TRACKING],
            },
            "spec": template["spec"],
        }
        try:
            pod = self._registry.create(JOB_CONTROLLER, PODS, job["metadata"]["namespace"], body).item
        except Refusal as refusal:
            self._retries[uid] = (time.monotonic() + pause, min(2 * pause, LAST_RETRY_SECONDS))
            self._store.record(
                JOBS, job, kind="Warning", reason="FailedCreate", message=f"Error creating: {refusal.message}"
            )
            return
        self._store.record(
            JOBS, job, kind="Normal", reason="SuccessfulCreate", message=f"Created pod: {name_of(pod)}"
        )

    def _pods(self, job: Object) -> list[Object]:
        uid = job["metadata"]["uid"]
        pods = self._store.items(PODS, job["metadata"]["namespace"])
        return [pod for pod in pods if uid in owners(pod)]

    def _delete(self, pod: Object) -> None:
        if "deletionTimestamp" not in pod["metadata"]:
            self._registry.delete(PODS, pod["metadata"]["namespace"], name_of(pod), {})

    def _collect_garbage(self) -> None:
        """Delete pods and Jobs whose owner is gone, and let go of what its controller can count no more."""
        alive = {item["metadata"]["uid"] for resource in (JOBS, PODS) for item in self._store.items(resource)}
        for resource in (PODS, JOBS):
            for item in self._store.items(resource):
                if owners(item) and not owners(item) & alive:
                    if resource == PODS:
                        self._registry.let_go(PODS, item, JOB_TRACKING)
                    if "deletionTimestamp" not in item["metadata"]:
                        with contextlib.suppress(Refusal):
                            self._registry.delete(
                                resource,
                                item["metadata"]["namespace"],
                                name_of(item),
                                {"propagationPolicy": "Background"},
                            )


def has_ended(pod: Object) -> bool:
    """Whether the Job counts the pod as ended; one that is being deleted has failed."""
    return pod["status"]["phase"] in ("Succeeded", "Failed") or "deletionTimestamp" in pod["metadata"]


def finished(job: Object) -> str:
    """When the Job ended, or nothing."""
    for condition in job["status"].get("conditions", []):
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            moment: str = condition["lastTransitionTime"]
            return moment
    return ""


def failing(job: Object) -> bool:
    """Whether it is settled that the Job fails."""
    return any(condition["type"] == "FailureTarget" for condition in job["status"].get("conditions", []))


def owners(item: Object) -> set[str]:
    """The uids of those that own the object."""
    return {owner["uid"] for owner in item["metadata"].get("ownerReferences") or []}
