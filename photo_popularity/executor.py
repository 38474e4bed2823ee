"""Who does the steps of a run: the run's own process, or, where tasks have credentials of their own, one for each step.

Where runs are pods, heavy steps have pods of their own, and small ones are processes in the run's.
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from resources.environment import Environment

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
    def each_step_as_its_task(context: dg.InitExecutorContext) -> dg.Executor:
        # a process that starts no steps need not wait for what starts them
        from dagster._core.execution.retries import RetryMode

        from resources.step_delegation import ReasonedExecutor
        from resources.steps_by_weight import step_handler

        return ReasonedExecutor(
            step_handler(Path(folder), context.instance),
            retries=RetryMode.ENABLED,
            sleep_seconds=SECONDS_BETWEEN_LOOKS,
            check_step_health_interval_seconds=SECONDS_BETWEEN_CHECKS,
            should_verify_step=True,
        )

    return each_step_as_its_task
