"""Steps as Kubernetes Jobs that say why they died, and that nobody waits for in vain.

Dagster's own handler tells a failed Job from one that is not, and nothing more: it waits for ever for a pod that never comes,
names no reason, and ends the whole run over one Job that Kubernetes refuses. What is used of its inner parts is used here
alone; how a Job looks stays its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from dagster import DagsterEvent, DagsterEventType, DagsterInstance, Executor
from dagster._core.execution.plan.objects import StepFailureData, StepRetryData
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepDelegatingExecutor,
    StepHandler,
    StepHandlerContext,
)
from dagster_k8s.client import DagsterK8sAPIRetryLimitExceeded, DagsterK8sUnrecoverableAPIError
from dagster_k8s.executor import K8sStepHandler
from dagster_shared.error import SerializableErrorInfo
from kubernetes.client import ApiException  # type: ignore[import-untyped]
from urllib3.exceptions import HTTPError

from resources.kubernetes_jobs import Job, answer, failure, not_running, read_job
from resources.pod_reasons import reason_of

START_SECONDS = 600.0
CHECK_SECONDS = 5


INTERRUPTED = "DagsterExecutionInterruptedError"


@dataclass
class WatchedStepHandler(StepHandler):
    """Launches and ends steps as `inner` does, and knows of each whether it lives, and if not, why.

    A step whose pod does not run `start_seconds` after it was first looked for has failed, and its Job is deleted, so
    that it cannot start later, beside its own second attempt.
    """

    inner: K8sStepHandler
    start_seconds: float = START_SECONDS
    may_pass: set[str] = field(default_factory=set)
    """The steps whose pods were ended by what has nothing to do with them: another attempt may come to its end."""
    _waiting_since: dict[str, float] = field(default_factory=dict)
    _jobs: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    _dead: dict[tuple[str, int], str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How Dagster's events call the handler."""
        return "WatchedStepHandler"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Create the step's Job; one that Kubernetes refuses is the failure of this step, and not of the run."""
        name = self.inner._get_k8s_step_job_name(step_handler_context)
        namespace = self.inner._get_container_context(step_handler_context).namespace
        step_key = self.inner._get_step_key(step_handler_context)
        self._jobs[step_key] = (name, namespace)
        if reason := self._dead.get((step_key, attempts_of(step_handler_context, step_key))):
            # a run worker that takes over would start the same attempt again, whose process would refuse to run
            fail(step_handler_context, step_key, reason)
            return
        try:
            yield from self.inner.launch_step(step_handler_context)
        except (DagsterK8sUnrecoverableAPIError, DagsterK8sAPIRetryLimitExceeded) as error:
            said = answer(error.k8s_api_exception)
            fail(
                step_handler_context,
                step_key,
                f"Kubernetes does not take Job {name} of step {step_key}: {said}",
            )

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Delete the step's Job and pod."""
        return self.inner.terminate_step(step_handler_context)

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Whether the step may still come to its end by itself; if not, why."""
        name = self.inner._get_k8s_step_job_name(step_handler_context)
        namespace = self.inner._get_container_context(step_handler_context).namespace
        job = read_job(self.inner._api_client, name, namespace)
        reason = f"Job {name} was deleted, by none of Dagster's doing." if job is None else self._wrong(job)
        # looked up after the Job: what a process reports, it reports before it ends
        if reason is None or has_ended(step_handler_context):
            return CheckStepHealthResult.healthy()
        step_key = self.inner._get_step_key(step_handler_context)
        self._dead[step_key, attempts_of(step_handler_context, step_key)] = reason
        self.inner._api_client.delete_job(job_name=name, namespace=namespace)
        return CheckStepHealthResult.unhealthy(reason)

    def why_interrupted(self, step_key: str) -> str | None:
        """Why the process of a step was told to end; None if Kubernetes knows nothing of it."""
        if step_key not in self._jobs:
            return None
        job = read_job(self.inner._api_client, *self._jobs[step_key])
        if job is None:
            return f"Job {self._jobs[step_key][0]} was deleted, by none of Dagster's doing."
        return next((reason for pod in job.pods if (reason := reason_of(pod, job.pod_events))), failure(job))

    def _wrong(self, job: Job) -> str | None:
        """What is wrong with a step's Job; None while all may be well."""
        status = job.manifest.get("status") or {}
        if status.get("failed"):
            return failure(job)
        if status.get("succeeded"):
            return f"Job {job.name} has ended, but the step has not reported its end."
        if any((pod.get("status") or {}).get("phase") == "Running" for pod in job.pods):
            self._waiting_since.pop(job.name, None)
            return None
        waited = time.monotonic() - self._waiting_since.setdefault(job.name, time.monotonic())
        if waited < self.start_seconds:
            return None
        return f"{not_running(job)} Nothing ran within {self.start_seconds:.0f} seconds."


class WatchedExecutor(StepDelegatingExecutor):
    """Dagster's executor, which also asks why a step was interrupted: its process knows only that it was told to end."""

    def _pop_events(
        self, instance: DagsterInstance, run_id: str, seen_storage_ids: set[int]
    ) -> Sequence[DagsterEvent]:
        events = super()._pop_events(instance, run_id, seen_storage_ids)
        for event in events:
            if was_interrupted(event) and event.step_key:
                self._explain(instance, run_id, event.step_key)
        return events

    def _explain(self, instance: DagsterInstance, run_id: str, step_key: str) -> None:
        handler, run = self._step_handler, instance.get_run_by_id(run_id)
        if not isinstance(handler, WatchedStepHandler) or run is None:
            return
        try:
            reason = handler.why_interrupted(step_key)
        except (ApiException, HTTPError) as error:
            reason = f"Kubernetes cannot be asked: {answer(error)}"
        if reason:
            instance.report_engine_event(f"Step {step_key} was interrupted: {reason}", run, step_key=step_key)


def was_interrupted(event: DagsterEvent) -> bool:
    """Whether a step's process has reported that it was told to end."""
    error = getattr(event.event_specific_data, "error", None) if event.is_step_event else None
    while error is not None:
        if INTERRUPTED in (error.cls_name or ""):
            return True
        error = error.cause
    return False


def fail(context: StepHandlerContext, step_key: str, reason: str) -> None:
    """Report the step's failure for this reason, or that it is to be tried again if its policy says so."""
    step, error = context.get_step_context(step_key), SerializableErrorInfo(reason, [], None)
    policy, attempts = step.op_retry_policy, attempts_of(context, step_key)
    if policy and not step.retry_mode.disabled and attempts < policy.max_retries:
        delay = policy.calculate_delay(attempts + 1)
        DagsterEvent.step_retry_event(step, StepRetryData(error, delay))  # type: ignore[no-untyped-call]
    else:
        DagsterEvent.step_failure_event(step, StepFailureData(error, None))  # type: ignore[no-untyped-call]


def attempts_of(context: StepHandlerContext, step_key: str) -> int:
    """How many attempts of the step came before this one."""
    state = context.execute_step_args.known_state
    return state.get_retry_state().get_attempt_count(step_key) if state else 0


def has_ended(context: StepHandlerContext) -> bool:
    """Whether the step's newest attempt has reported its end, which the executor may not have read yet."""
    (step_key,) = context.execute_step_args.step_keys_to_execute or [""]
    earlier = attempts_of(context, step_key)
    entries = context.instance.all_logs(context.execute_step_args.run_id, of_type=ENDS)
    ends = [entry for entry in entries if entry.dagster_event and entry.dagster_event.step_key == step_key]
    return len(ends) > earlier


def watched(executor: Executor, start_seconds: float = START_SECONDS) -> StepDelegatingExecutor:
    """What `k8s_job_executor` makes, with a handler that looks after its Jobs, and looks more often."""
    if not isinstance(executor, StepDelegatingExecutor):
        raise TypeError(f"watched() takes what k8s_job_executor makes, not a {type(executor).__name__}.")
    inner = executor._step_handler
    if not isinstance(inner, K8sStepHandler):
        raise TypeError(f"watched() takes what k8s_job_executor makes, not an executor with a {inner.name}.")
    return WatchedExecutor(
        WatchedStepHandler(inner, start_seconds),
        retries=executor.retries,
        check_step_health_interval_seconds=CHECK_SECONDS,
        max_concurrent=executor._max_concurrent,
        tag_concurrency_limits=executor._tag_concurrency_limits,
        should_verify_step=executor._should_verify_step,
        step_dependency_config=executor.step_dependency_config,
    )
