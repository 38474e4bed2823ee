"""Steps as Kubernetes Jobs that say why they died, and that nobody waits for in vain.

Dagster's own handler tells a failed Job from one that is not, and nothing more: it waits for ever for a pod that never comes,
names no reason, and ends the whole run over one Job that Kubernetes refuses. What is used of its inner parts is used here
alone; how a Job looks stays its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from dagster import DagsterEvent
from dagster._core.events import EngineEventData
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepHandlerContext,
)
from dagster_k8s.client import DagsterK8sAPIRetryLimitExceeded, DagsterK8sUnrecoverableAPIError
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.executor import K8sStepHandler
from dagster_k8s.launcher import K8sRunLauncher
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from resources.kubernetes_jobs import (
    Job,
    answer,
    delete_job,
    failure,
    is_there_already,
    not_running,
    read_job,
    was_disrupted,
)
from resources.pod_reasons import reason_of
from resources.step_delegation import ReasonedStepHandler, attempts_of, fail, has_ended, step_of

START_SECONDS = 600.0
SECONDS_TO_REPORT = 4


@dataclass
class WatchedStepHandler(ReasonedStepHandler):
    """Launches steps as `inner` does, and knows of each whether it lives, and if not, why.

    A step whose pod does not run `start_seconds` after it was first looked for has failed, and its Job is deleted, so
    that it cannot start later, beside its own second attempt.
    """

    inner: K8sStepHandler
    start_seconds: float = START_SECONDS
    _disrupted: set[tuple[str, int]] = field(default_factory=set)
    _wrong_since: dict[tuple[str, int], float] = field(default_factory=dict)
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
        step_key = step_of(step_handler_context)
        self._jobs[step_key] = (name, namespace)
        attempt = (step_key, attempts_of(step_handler_context))
        if reason := self._dead.get(attempt):
            # a run worker that takes over would start the same attempt again, whose process would refuse to run
            fail(step_handler_context, reason, may_pass=self.may_pass(*attempt))
            return
        try:
            yield from self.inner.launch_step(step_handler_context)
        except (DagsterK8sUnrecoverableAPIError, DagsterK8sAPIRetryLimitExceeded) as error:
            if is_there_already(error.k8s_api_exception):
                return
            said = answer(error.k8s_api_exception)
            fail(step_handler_context, f"Kubernetes does not take Job {name} of step {step_key}: {said}")

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Delete the step's Job with its pods."""
        name = self.inner._get_k8s_step_job_name(step_handler_context)
        context = step_handler_context.get_step_context(step_of(step_handler_context))
        yield DagsterEvent.engine_event(context, f"Deleting Job {name} of the step.", EngineEventData())
        delete_job(
            self.inner._api_client, name, self.inner._get_container_context(step_handler_context).namespace
        )

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Whether the step may still come to its end by itself; if not, why."""
        name = self.inner._get_k8s_step_job_name(step_handler_context)
        namespace = self.inner._get_container_context(step_handler_context).namespace
        job = read_job(self.inner._api_client, name, namespace)
        reason = f"Job {name} was deleted, by none of Dagster's doing." if job is None else self._wrong(job)
        # looked up after the Job: what a process reports, it reports before it ends
        if reason is None or has_ended(step_handler_context):
            return CheckStepHealthResult.healthy()
        attempt = (step_of(step_handler_context), attempts_of(step_handler_context))
        # a process that was told to end may be about to report it
        if time.monotonic() - self._wrong_since.setdefault(attempt, time.monotonic()) < SECONDS_TO_REPORT:
            return CheckStepHealthResult.healthy()
        self._dead[attempt] = reason
        if job is not None and was_disrupted(job):
            self._disrupted.add(attempt)
        delete_job(self.inner._api_client, name, namespace)
        return CheckStepHealthResult.unhealthy(reason)

    def may_pass(self, step_key: str, attempt: int) -> bool:
        """Whether an attempt's pod was ended by what has nothing to do with the step."""
        return (step_key, attempt) in self._disrupted

    def why_interrupted(self, step_key: str) -> str | None:
        """Why the process of a step was told to end; None if Kubernetes knows nothing of it."""
        if step_key not in self._jobs:
            return None
        try:
            job = read_job(self.inner._api_client, *self._jobs[step_key])
        except (ApiException, HTTPError) as error:
            return f"Kubernetes cannot be asked: {answer(error)}"
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


class StepPods(K8sStepHandler):
    """Dagster's handler, whose pods have nothing of the run worker's secrets: only what their own step names."""

    def _get_container_context(self, step_handler_context: StepHandlerContext) -> K8sContainerContext:
        context = super()._get_container_context(step_handler_context)
        config = context.run_k8s_config
        theirs = {
            volume["name"] for volume in config.pod_spec_config.get("volumes", ()) if "secret" in volume
        }
        return context._replace(
            run_k8s_config=config._replace(
                pod_spec_config=without(config.pod_spec_config, "volumes", theirs),
                container_config=without(config.container_config, "volume_mounts", theirs),
            )
        )


def without(config: Mapping[str, Any], key: str, names: Set[str]) -> dict[str, Any]:
    """The configuration, with those of a list's items left out that have these names."""
    kept = [item for item in config.get(key, ()) if item["name"] not in names]
    return {**config, key: kept} if key in config else dict(config)


def step_pods(launcher: K8sRunLauncher) -> WatchedStepHandler:
    """Launches steps where the launcher launches runs."""
    inner = StepPods(
        image=None,
        container_context=K8sContainerContext(),
        load_incluster_config=launcher.load_incluster_config,
        kubeconfig_file=launcher.kubeconfig_file,
    )
    return WatchedStepHandler(inner)
