"""Which of a run's steps are pods, and which are processes beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepHandlerContext,
)

from resources.pods import POD_TAG
from resources.step_delegation import ReasonedStepHandler, step_of
from resources.step_processes import StepProcesses


def step_handler(credentials: Path, instance: dg.DagsterInstance) -> ReasonedStepHandler:
    """Who starts steps: with pods for heavy ones where the instance launches runs as pods."""
    processes, launcher = StepProcesses(credentials), instance.run_launcher
    if not any(base.__name__ == "K8sRunLauncher" for base in type(launcher).__mro__):
        return processes
    # an extra, which is there where it is needed
    from resources.kubernetes_steps import step_pods

    return ByWeight(processes, step_pods(launcher))  # type: ignore[arg-type]


@dataclass
class ByWeight(ReasonedStepHandler):
    """Heavy steps as pods, all others as processes beside the run."""

    processes: ReasonedStepHandler
    pods: ReasonedStepHandler

    @property
    def name(self) -> str:
        """What the log calls it."""
        return "ByWeight"

    def may_pass(self, step_key: str, attempt: int) -> bool:
        """Whether an attempt was ended by what has nothing to do with the step."""
        return self.pods.may_pass(step_key, attempt)

    def why_interrupted(self, step_key: str) -> str | None:
        """Why the process of a step was told to end; None if nobody knows."""
        return self.pods.why_interrupted(step_key)

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        """Start the step where it belongs."""
        return self._handler(step_handler_context).launch_step(step_handler_context)

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Whether the step may still come to its end by itself; if not, why."""
        return self._handler(step_handler_context).check_step_health(step_handler_context)

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        """End the step."""
        return self._handler(step_handler_context).terminate_step(step_handler_context)

    def _handler(self, context: StepHandlerContext) -> ReasonedStepHandler:
        return self.pods if POD_TAG in context.step_tags[step_of(context)] else self.processes
