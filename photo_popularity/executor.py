"""Who does the steps of a run: the run's own process, or, where tasks have credentials of their own, one for each step.

Where runs are pods, heavy steps have pods of their own, and small ones are processes in the run's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepHandlerContext,
)

from resources.environment import Environment
from resources.pods import POD_TAG
from resources.step_delegation import ReasonedExecutor, ReasonedStepHandler, step_of
from resources.step_processes import StepProcesses

SECONDS_BETWEEN_LOOKS, SECONDS_BETWEEN_CHECKS = 0.5, 5


def build_executor(environment: Environment) -> dg.ExecutorDefinition:
    """The executor of all jobs of the environment. It takes no configuration: nobody chooses an identity for a run."""
    folder = environment.settings.credentials
    if not folder:
        return dg.in_process_executor

    @dg.executor(
        name="each_step_as_its_task",
        config_schema={},
        requirements=dg.multiple_process_executor_requirements(),
    )
    def each_step_as_its_task(context: dg.InitExecutorContext) -> ReasonedExecutor:
        return ReasonedExecutor(
            _step_handler(Path(folder), context.instance),
            retries=RetryMode.ENABLED,
            sleep_seconds=SECONDS_BETWEEN_LOOKS,
            check_step_health_interval_seconds=SECONDS_BETWEEN_CHECKS,
            should_verify_step=True,
        )

    return each_step_as_its_task


def _step_handler(credentials: Path, instance: dg.DagsterInstance) -> ReasonedStepHandler:
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

    def may_pass(self, step_key: str) -> bool:
        """Whether the step was ended by what has nothing to do with it."""
        return self.pods.may_pass(step_key)

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
