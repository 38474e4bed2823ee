"""Who does the steps of a run: the run's own process, or, where tasks have credentials of their own, one for each step.

Where runs are pods, heavy steps have pods of their own, and small ones are processes in the run's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.execution.plan.objects import StepRetryData
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepDelegatingExecutor,
    StepHandler,
    StepHandlerContext,
)

from resources.environment import Environment
from resources.io_managers import FIRST_PAUSE_SECONDS, MAX_RETRIES
from resources.pods import POD_TAG
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
    def each_step_as_its_task(context: dg.InitExecutorContext) -> EachStepAsItsTask:
        return EachStepAsItsTask(ByWeight(StepProcesses(Path(folder)), _pods(context.instance)))

    return each_step_as_its_task


def _pods(instance: dg.DagsterInstance) -> Any:
    """What launches steps as pods, where the instance launches runs as pods; else None."""
    launcher = instance.run_launcher
    if type(launcher).__name__ != "K8sRunLauncher":
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

    def may_pass(self, step: str) -> bool:
        """Whether the step was ended by what has nothing to do with it."""
        return self.pods is not None and step in self.pods.may_pass

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
        [step] = context.execute_step_args.step_keys_to_execute or ()
        is_heavy = self.pods is not None and POD_TAG in context.step_tags[step]
        handler: StepHandler = self.pods if is_heavy else self.processes
        return handler


class EachStepAsItsTask(StepDelegatingExecutor):
    """Dagster's executor with these handlers; a step that was disrupted is tried again, as one that asks for it itself."""

    def __init__(self, handler: ByWeight) -> None:
        super().__init__(
            handler,
            retries=RetryMode.ENABLED,
            sleep_seconds=SECONDS_BETWEEN_LOOKS,
            check_step_health_interval_seconds=SECONDS_BETWEEN_CHECKS,
            should_verify_step=True,
        )
        self._by_weight = handler

    def log_failure_or_retry_event_after_error(
        self, step_context: Any, err_info: Any, known_state: Any
    ) -> dg.DagsterEvent:
        """End the attempt of a step that can no longer tell its end itself."""
        attempts = known_state.get_retry_state().get_attempt_count(step_context.step.key)
        if not self._by_weight.may_pass(step_context.step.key) or attempts >= MAX_RETRIES:
            return super().log_failure_or_retry_event_after_error(step_context, err_info, known_state)
        pause = FIRST_PAUSE_SECONDS * 2**attempts
        retry = StepRetryData(err_info, pause)  # type: ignore[no-untyped-call]
        return dg.DagsterEvent.step_retry_event(step_context, retry)
