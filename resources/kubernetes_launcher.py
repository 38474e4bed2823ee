"""The run launcher of a cluster: Dagster's own, which loses no run because Kubernetes's API is away, and gives true reasons.

A run that it finds dead leaves no step at work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from dagster import DagsterRun
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster_k8s.client import DagsterK8sUnrecoverableAPIError
from dagster_k8s.job import get_job_name_from_run_id
from dagster_k8s.launcher import K8sRunLauncher

from resources.kubernetes_jobs import delete_job, failure, is_there_already, not_running, read_job

PATIENCE_SECONDS = 900.0
GONE = "could not be found"
ALIVE = (WorkerStatus.RUNNING, WorkerStatus.SUCCESS)
# how dagster-k8s labels the Jobs of steps
STEPS = "app.kubernetes.io/component=step_worker"


class PatientRunLauncher(K8sRunLauncher):
    """Launches runs as Dagster's own launcher does.

    Dagster's daemon fails every run whose pod it cannot ask about, though the pod works on. This launcher believes a
    run alive until nobody has been able to say otherwise for `PATIENCE_SECONDS`.
    """

    _silent_since: float | None = None

    def _launch_k8s_job_with_args(self, job_name: str, args: Sequence[str] | None, run: DagsterRun) -> None:
        try:
            super()._launch_k8s_job_with_args(job_name, args, run)
        except DagsterK8sUnrecoverableAPIError as error:
            if not is_there_already(error.k8s_api_exception):
                raise
            self._report_run_worker_created(run)

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run's pod works, as far as anybody can say; the steps of one that nobody takes over end with it.

        Raises what Kubernetes answers if they cannot be ended now: the run is not to end before them.
        """
        result: CheckRunHealthResult = super().check_run_worker_health(run)
        if result.status != WorkerStatus.UNKNOWN or GONE in (result.msg or ""):
            self._silent_since = None
            if result.status not in ALIVE and not self._instance.run_will_resume(run.run_id):
                self._end_steps(run, "the run's own pod is dead")
            return result
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now - self._silent_since > PATIENCE_SECONDS:
            return result
        logging.getLogger(__name__).warning("Run %s is believed alive: %s", run.run_id, result.msg)
        return CheckRunHealthResult(WorkerStatus.RUNNING, result.msg)

    def terminate(self, run_id: str) -> bool:
        """Tell the run's pod to end, and its steps: it may be dead already, or before it has told them all."""
        run = self._instance.get_run_by_id(run_id)
        told = bool(super().terminate(run_id))  # type: ignore[no-untyped-call]
        if run is not None and not run.is_finished:
            self._end_steps(run, "the run was told to end")
        return told

    def get_run_worker_debug_info(
        self,
        run: DagsterRun,
        include_container_logs: bool | None = True,  # noqa: FBT001, FBT002
    ) -> str | None:
        """Why the run's pod is dead or not there, and Dagster's own details of it."""
        attempt = self._get_resume_attempt_number(run)
        name = get_job_name_from_run_id(run.run_id, attempt)  # type: ignore[no-untyped-call]
        job = read_job(self._api_client, name, self.get_container_context_for_run(run).namespace)
        if job is None:
            return f"Job {name} was deleted, by none of Dagster's doing."
        status = job.manifest.get("status") or {}
        if any((pod.get("status") or {}).get("phase") == "Running" for pod in job.pods) and not status.get(
            "failed"
        ):
            details: str | None = super().get_run_worker_debug_info(run, include_container_logs)
            return details
        reason = failure(job) if status.get("failed") else not_running(job)
        if not job.pods and not status.get("startTime"):
            # Dagster's own details cannot be told of a Job that its controller has not come to
            return reason
        return f"{reason}\n\n{super().get_run_worker_debug_info(run, include_container_logs)}"

    def _end_steps(self, run: DagsterRun, reason: str) -> None:
        """Delete the Jobs of the run's steps that are at work; what has ended is kept for who looks into it."""
        namespace = self.get_container_context_for_run(run).namespace
        listed = self._api_client.batch_api.list_namespaced_job(
            namespace, label_selector=f"{STEPS},dagster/run-id={run.run_id}"
        )
        for job in listed.items:
            name = job.metadata.name
            if job.status.succeeded or job.status.failed:
                continue
            if delete_job(self._api_client, name, namespace):
                self._instance.report_engine_event(f"Job {name} was deleted, as {reason}.", run)
