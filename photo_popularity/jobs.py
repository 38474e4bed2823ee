"""Jobs: what is launched together. One a source, one for the night, and the backfill that keeps an order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import dagster as dg

BACKFILL_TAG = "photo_popularity/backfill"
# dagster.yaml lets one run at a time work on a source
SOURCE_TAG = "photo_popularity/source"

PHOTO_FILES_JOB = "photo_files_job"
LOG_FILES_JOB = "log_files_job"
PHOTO_DATABASE_JOB = "photo_database_job"
BEHAVIOR_JOB = "behavior_job"
NIGHTLY_JOB = "nightly_job"

JOB_OF_KIND = {"photo_files": PHOTO_FILES_JOB, "log_files": LOG_FILES_JOB, "days": NIGHTLY_JOB}
"""The job that holds every asset of a kind of partitions: subsets of it are launched."""


def build_jobs(day_assets: Iterable[str]) -> list[dg.UnresolvedAssetJobDefinition]:
    """The asset jobs."""
    return [
        dg.define_asset_job(
            PHOTO_FILES_JOB,
            dg.AssetSelection.assets("photo_content", "cat_dog_scores"),
            description="Read and classify photo files: those that came or changed, in one run.",
            tags={SOURCE_TAG: "photo_files"},
        ),
        dg.define_asset_job(
            LOG_FILES_JOB,
            dg.AssetSelection.assets("log_signals", "quarantined_lines"),
            description="Scan access log files: those that came or changed, in one run.",
            tags={SOURCE_TAG: "log_files"},
        ),
        dg.define_asset_job(
            PHOTO_DATABASE_JOB,
            dg.AssetSelection.assets("photo_metadata"),
            description="Read the photos of the upload days that changed in the database.",
            tags={SOURCE_TAG: "photo_database"},
        ),
        dg.define_asset_job(
            BEHAVIOR_JOB,
            dg.AssetSelection.assets("behavior_signals"),
            description="Merge the counts of the days whose log files changed.",
        ),
        dg.define_asset_job(
            NIGHTLY_JOB,
            dg.AssetSelection.assets(*day_assets),
            description="The night: metadata, behaviour, features, examples, model, evaluation and predictions of a day.",
        ),
    ]


def run_here(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    *,
    assets: Iterable[str],
    tags: Mapping[str, str],
    run_config: dg.RunConfig | None = None,
) -> dg.ExecuteInProcessResult:
    """Run assets of a job in this process. The result tells of a failure; an interruption is raised as such.

    Dagster alone takes the interruption of one run for its failure, and whoever launches several would go on.
    """
    result = job.execute_in_process(
        run_config=run_config,
        instance=instance,
        asset_selection=[dg.AssetKey(asset) for asset in assets],
        tags=dict(tags),
        raise_on_error=False,
    )
    if not result.success and any(map(_is_interruption, result.all_events)):
        raise KeyboardInterrupt
    return result


def _is_interruption(event: dg.DagsterEvent) -> bool:
    if event.event_type == dg.DagsterEventType.RUN_FAILURE:
        reason = event.job_failure_data.failure_reason
        return reason is not None and reason.value == "UNEXPECTED_TERMINATION"
    return event.event_type == dg.DagsterEventType.RUN_CANCELED
