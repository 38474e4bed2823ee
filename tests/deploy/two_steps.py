"""Jobs of two steps for the tests of launcher and executor: on Dagster's own executor, and on the one that is watched."""

import os
import time
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.executor.step_delegating import StepDelegatingExecutor
from dagster_k8s import k8s_job_executor
from dagster_k8s.executor import K8sStepHandler

from photo_popularity.executor import SECONDS_BETWEEN_CHECKS
from resources.kubernetes_steps import WatchedStepHandler
from resources.step_delegation import ReasonedExecutor

# what a test is ready to wait for a pod that never comes
START_SECONDS = 20


@dg.op
def light() -> int:
    """Counts to one."""
    return 1


@dg.op(config_schema={"seconds": dg.Field(float, default_value=0)})
def heavy(context: dg.OpExecutionContext, counted: int) -> int:
    """Works for so long, and leaves a line when it begins and when it ends."""
    leave_trace(context.run_id, "began")
    time.sleep(context.op_config["seconds"])
    leave_trace(context.run_id, "ended")
    return counted + 1


@dg.op(retry_policy=dg.RetryPolicy(max_retries=1))
def stubborn(context: dg.OpExecutionContext, counted: int) -> int:
    """Works for a minute at its first attempt, which a test ends, and is done at once at its second."""
    time.sleep(60 if context.retry_number == 0 else 0)
    return counted + 1


def leave_trace(run_id: str, what: str) -> None:
    """Note what a step has done where the test looks."""
    with (Path(os.environ["DAGSTER_HOME"]) / f"{run_id}.trace").open("a") as file:
        file.write(f"{what}\n")


SCHEMA: Any = k8s_job_executor.config_schema


@dg.executor(name="watched", config_schema=SCHEMA, requirements=dg.multiple_process_executor_requirements())
def watched_executor(init_context: dg.InitExecutorContext) -> dg.Executor:
    """What `k8s_job_executor` makes, with a handler that looks after its Jobs, and looks more often."""
    create = k8s_job_executor.executor_creation_fn
    assert create is not None
    executor = create(init_context)
    assert isinstance(executor, StepDelegatingExecutor)
    assert isinstance(executor._step_handler, K8sStepHandler)
    handler = WatchedStepHandler(executor._step_handler, START_SECONDS)
    return ReasonedExecutor(
        handler,
        retries=executor.retries,
        check_step_health_interval_seconds=SECONDS_BETWEEN_CHECKS,
        should_verify_step=True,
    )


@dg.job(executor_def=k8s_job_executor)
def plain() -> None:
    """Light, then heavy."""
    heavy(light())


@dg.job(executor_def=watched_executor)
def cared_for() -> None:
    """Light, then heavy."""
    heavy(light())


@dg.job(executor_def=watched_executor)
def cared_for_with_retry() -> None:
    """Light, then stubborn."""
    stubborn(light())


defs = dg.Definitions(jobs=[plain, cared_for, cared_for_with_retry])
