"""Jobs: what is launched together. One a source, one for the night, and the backfill that keeps an order."""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob

from partitions.file_sets import FileSet
from resources.pipeline import DAYS, Declaration, Pipeline
from resources.run_launcher import PROCESS_TAG, this_process

BACKFILL_TAG = "photo_popularity/backfill"
# dagster.yaml lets one run at a time work on a source
SOURCE_TAG = "photo_popularity/source"

PHOTO_DATABASE_JOB = "photo_database_job"
BEHAVIOR_JOB = "behavior_job"
NIGHTLY_JOB = "nightly_job"

Result = TypeVar("Result", dg.ExecuteInProcessResult, dg.JobExecutionResult)


def build_jobs(pipeline: Pipeline) -> list[dg.UnresolvedAssetJobDefinition]:
    """The asset jobs."""
    made = assets_by_job(pipeline)
    return [
        *(file_job(pipeline, files) for files in pipeline.file_sets.values()),
        dg.define_asset_job(
            PHOTO_DATABASE_JOB,
            dg.AssetSelection.assets(*made[PHOTO_DATABASE_JOB]),
            description="Read the photos of the upload days that changed in the database.",
            tags={SOURCE_TAG: "photo_database"},
        ),
        dg.define_asset_job(
            BEHAVIOR_JOB,
            dg.AssetSelection.assets(*made[BEHAVIOR_JOB]),
            description="Merge the counts of the days whose log files changed.",
        ),
        dg.define_asset_job(
            NIGHTLY_JOB,
            dg.AssetSelection.assets(*made[NIGHTLY_JOB]),
            description="The night: metadata, behaviour, features, examples, model, evaluation and predictions of a day.",
        ),
    ]


def file_job(pipeline: Pipeline, files: FileSet) -> dg.UnresolvedAssetJobDefinition:
    """The job of all that is made of the files of a set."""
    return dg.define_asset_job(
        files.job,
        dg.AssetSelection.assets(*_assets(pipeline.of_files(files.name))),
        description=f"Work on each {files.noun} that came or changed, all in one run.",
        tags={SOURCE_TAG: files.name},
    )


def job_of(pipeline: Pipeline, kind: str) -> str:
    """The job that holds every asset of a kind of partitions: subsets of it are launched."""
    return NIGHTLY_JOB if kind == DAYS else pipeline.file_sets[kind].job


def assets_by_job(pipeline: Pipeline) -> dict[str, list[str]]:
    """All that each job makes, by its name."""
    return {
        **{files.job: _assets(pipeline.of_files(name)) for name, files in pipeline.file_sets.items()},
        PHOTO_DATABASE_JOB: ["photo_metadata"],
        BEHAVIOR_JOB: ["behavior_signals"],
        NIGHTLY_JOB: _assets(pipeline.of_days),
    }


def _assets(steps: Iterable[Declaration]) -> list[str]:
    return [asset for step in steps for asset in step.makes]


def run_here(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    *,
    assets: Iterable[str],
    tags: Mapping[str, str],
    run_config: dg.RunConfig | None = None,
    show_life: Callable[[str], object] = lambda run_id: None,
) -> dg.ExecuteInProcessResult:
    """Run assets of a job in this process. The result tells of a failure; an interruption is raised as such.

    `show_life` is called with the run's id before there is such a run.
    """
    run_id = str(uuid.uuid4())
    show_life(run_id)
    execute = partial(
        job.execute_in_process, run_config=run_config, instance=instance, run_id=run_id, raise_on_error=False
    )
    try:
        return _run(execute, assets, tags)
    except BaseException as error:
        _let_go(error)
        # Dagster ends a run only for what happens between its first event and its last
        if (run := instance.get_run_by_id(run_id)) is not None and not run.is_finished:
            instance.report_run_canceled(run, "interrupted; what it had not made is made by the next run")
        raise


def run_by_executor(
    job: ReconstructableJob, instance: dg.DagsterInstance, *, assets: Iterable[str], tags: Mapping[str, str]
) -> dg.JobExecutionResult:
    """Run assets of a job by the job's executor, which may have their steps done elsewhere; this process waits."""
    return _run(partial(dg.execute_job, job, instance), assets, tags)


def _run(execute: Callable[..., Result], assets: Iterable[str], tags: Mapping[str, str]) -> Result:
    """Execute these assets in a run that names this process; an interruption is raised as such.

    Dagster alone takes the interruption of one run for its failure, and whoever launches several would go on.
    """
    result = execute(
        asset_selection=[dg.AssetKey(asset) for asset in assets], tags={**tags, PROCESS_TAG: this_process()}
    )
    if not result.success and any(map(_is_interruption, result.all_events)):
        raise KeyboardInterrupt
    return result


def _let_go(error: BaseException | None) -> None:
    """Drop what the frames of an exception hold.

    An interruption may come when a transaction is over and not yet closed: it would stay open as long as the traceback,
    and whoever writes next, in this process too, would wait for it.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def _is_interruption(event: dg.DagsterEvent) -> bool:
    if event.event_type == dg.DagsterEventType.RUN_FAILURE:
        reason = event.job_failure_data.failure_reason
        return reason is not None and reason.value == "UNEXPECTED_TERMINATION"
    return event.event_type == dg.DagsterEventType.RUN_CANCELED
