"""Who does the steps of a run: the run's own process, or, where tasks have credentials of their own, one for each step."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.step_delegating import StepDelegatingExecutor

from resources.environment import Environment
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
    def each_step_as_its_task(_: dg.InitExecutorContext) -> StepDelegatingExecutor:
        return StepDelegatingExecutor(
            StepProcesses(Path(folder)),
            retries=RetryMode.ENABLED,
            sleep_seconds=SECONDS_BETWEEN_LOOKS,
            check_step_health_interval_seconds=SECONDS_BETWEEN_CHECKS,
            should_verify_step=True,
        )

    return each_step_as_its_task
