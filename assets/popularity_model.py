"""The popularity model: what was learnt of a photo's coming week."""

from __future__ import annotations

import pandas as pd

from assets.pipeline_asset import day_asset
from assets.progress import Work
from partitions.reads import Days
from photo_popularity.domain.evaluation import holdout_metrics
from photo_popularity.domain.popularity import train_model
from resources.output_parts import ModelFile, Result
from resources.pods import Pod

TRAINING_NIGHTS = 90
SEED = 0


@day_asset(
    reads={"training_examples": Days(1 - TRAINING_NIGHTS)},
    libraries=("scikit-learn",),
    pod=Pod(cpu="2", memory="4Gi"),
    group="popularity",
    kinds=("scikitlearn", "skops"),
    one_partition_a_run=True,
)
def popularity_model(work: Work, training_examples: pd.DataFrame) -> Result:
    """The model of a night, trained with the examples whose seven days were over by then, of the last 90 nights.

    A file without pickle (skops) with its card beside it: trained on which days, features, seed, settings, metrics and
    library versions. It holds two fits of one recipe: `holdout` for honest evaluation, `final` for prediction.
    """
    night = pd.Timestamp(work.partition_key)
    model = train_model(training_examples, night=night, seed=SEED)
    card = {**model.card, "metrics": holdout_metrics(model, training_examples)}
    return Result(ModelFile(model.data, model.version, card), {"model_version": model.version})
