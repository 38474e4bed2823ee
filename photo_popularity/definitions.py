"""The code location: the one place where assets, checks, jobs, schedules, sensors and resources meet."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Mapping

import dagster as dg

from assets.behavior_signals import behavior_signals
from assets.cat_dog_scores import cat_dog_scores
from assets.external import source_specs
from assets.log_signals import log_signals
from assets.model_evaluation import model_evaluation
from assets.photo_content import photo_content
from assets.photo_features import photo_features
from assets.photo_metadata import photo_metadata
from assets.pipeline_asset import PipelineAsset
from assets.popularity_model import popularity_model
from assets.popularity_predictions import popularity_predictions
from assets.training_examples import training_examples
from partitions.days import day_partitions
from photo_popularity.backfill import ordered_backfill_job
from photo_popularity.checks import build_checks
from photo_popularity.executor import build_executor
from photo_popularity.jobs import build_jobs
from photo_popularity.schedules import build_nightly_schedule
from photo_popularity.sensors import build_sensors
from resources.environment import Environment, read_environment
from resources.installation import Installation, install
from resources.io_managers import TableIOManager
from resources.notification import build_notifier
from resources.pipeline import Pipeline

ASSETS: tuple[PipelineAsset, ...] = (
    photo_metadata,
    photo_content,
    cat_dog_scores,
    log_signals,
    behavior_signals,
    photo_features,
    training_examples,
    popularity_model,
    model_evaluation,
    popularity_predictions,
)
"""Every step, each after what it reads."""

PIPELINE = Pipeline(tuple(asset.declaration for asset in ASSETS))


def build_defs(
    environment: Environment,
    *,
    installation: Installation | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
) -> dg.Definitions:
    """The code location of an environment; a test may hand in an installation with one part swapped."""
    installation = installation or install(environment, PIPELINE)
    settings = environment.settings
    days = day_partitions(settings.first_partition_day)
    return dg.Definitions(
        assets=[*source_specs(PIPELINE), *(asset.definition(days) for asset in ASSETS)],
        asset_checks=build_checks(PIPELINE, days),
        jobs=[*build_jobs(PIPELINE), ordered_backfill_job],
        schedules=[build_nightly_schedule(installation)],
        sensors=build_sensors(installation, build_notifier(settings.failure_webhook)),
        executor=build_executor(environment),
        loggers=loggers,
        resources={
            "storage": installation.storage,
            "table_io_manager": TableIOManager(installation.storage),
            "photo_database": installation.photo_database,
            **installation.file_sources,
            "classifier": installation.classifier,
            "environment": environment,
        },
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    # notices of what is beta and preview are for us, who pin Dagster's version and test what we lean on
    for category in (dg.BetaWarning, dg.PreviewWarning):
        warnings.filterwarnings("ignore", category=category)
    # the model wants a run a day, the tables one run for all: a backfill of the whole job takes a run a day
    warnings.filterwarnings("ignore", message=".*varying BackfillPolicies")
    return build_defs(read_environment())


# What has been imported until here stays as long as the process. Python would look through all of it for garbage several
# times at its end, which takes longer than many a run.
gc.freeze()
