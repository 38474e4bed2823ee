"""Who does the steps of a run: the run's own process, or, where tasks have credentials of their own, one for each step.

Where runs are pods, heavy steps have pods of their own, and small ones are processes in the run's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepHandler,
    StepHandlerContext,
)

from resources.environment import Environment
from resources.pods import POD_TAG
from resources.step_delegation import ReasonedExecutor, step_of
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
        handler = ByWeight(StepProcesses(Path(folder)), _pods(context.instance))
        return ReasonedExecutor(
            handler,
            handler,
            retries=RetryMode.ENABLED,
            sleep_seconds=SECONDS_BETWEEN_LOOKS,
            check_step_health_interval_seconds=SECONDS_BETWEEN_CHECKS,
            should_verify_step=True,
        )

    return each_step_as_its_task


def _pods(instance: dg.DagsterInstance) -> Any:
    """What launches steps as pods, where the instance launches runs as pods; else None."""
    launcher = instance.run_launcher
    if not any(base.__name__ == "K8sRunLauncher" for base in type(launcher).__mro__):
        return None
    # an extra, which is there where it is needed
    from resources.kubernetes_steps import step_pods

    return step_pods(launcher)  # type: ignore[arg-type]


@dataclass
class ByWeight(StepHandler):
    """Heavy steps as pods where there are such, all others as processes beside the run."""

    processes: StepProcesses
    pods: Any = None

    @property
    def name(self) -> str:
        """What the log calls it."""
        return "ByWeight"

    def may_pass(self, step_key: str) -> bool:
        """Whether the step was ended by what has nothing to do with it."""
        return bool(self.pods and self.pods.may_pass(step_key))

    def why_interrupted(self, step_key: str) -> str | None:
        """Why the process of a step was told to end; None if nobody knows."""
        return self.pods.why_interrupted(step_key) if self.pods else None

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        """Start the step where it belongs."""
        return self._handler(step_handler_context).launch_step(step_handler_context)

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Whether the step may still come to its end by itself; if not, why."""
        return self._handler(step_handler_context).check_step_health(step_handler_context)

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        """End the step."""
        return self._handler(step_handler_context).terminate_step(step_handler_context)

    def _handler(self, context: StepHandlerContext) -> StepHandler:
        is_heavy = self.pods is not None and POD_TAG in context.step_tags[step_of(context)]
        handler: StepHandler = self.pods if is_heavy else self.processes
        return handler
