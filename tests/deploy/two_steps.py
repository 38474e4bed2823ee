"""A job of two steps for the tests of launcher and executor; the second does what its configuration says."""

import time
from pathlib import Path

import dagster as dg
from dagster_k8s import k8s_job_executor


@dg.op(config_schema={"seconds": dg.Field(float, default_value=0)})
def light(context: dg.OpExecutionContext) -> int:
    """Counts to one, which may take a while."""
    print("counting", flush=True)
    time.sleep(context.op_config["seconds"])
    return 1


@dg.op(config_schema={"seconds": dg.Field(float, default_value=0), "traces": dg.Field(str, default_value="")})
def heavy(context: dg.OpExecutionContext, counted: int) -> int:
    """Works for so long, and leaves a line for each time that it began and ended."""
    print("working", flush=True)
    traces = context.op_config["traces"]
    if traces:
        with Path(traces).open("a") as file:
            file.write("began\n")
    time.sleep(context.op_config["seconds"])
    if traces:
        with Path(traces).open("a") as file:
            file.write("ended\n")
    return counted + 1


@dg.op(retry_policy=dg.RetryPolicy(max_retries=1))
def stubborn(context: dg.OpExecutionContext, counted: int) -> int:
    """Works for a minute at its first attempt, which a test ends, and is tried once more."""
    print("working", flush=True)
    time.sleep(60 if context.retry_number == 0 else 0)
    return counted + 1


@dg.job(executor_def=k8s_job_executor)
def two_steps() -> None:
    """Light, then heavy."""
    heavy(light())


@dg.job(executor_def=k8s_job_executor)
def two_steps_with_retry() -> None:
    """Light, then stubborn."""
    stubborn(light())


defs = dg.Definitions(jobs=[two_steps, two_steps_with_retry])
