"""Model evaluation: the model against its baselines, on days that it has not seen."""

from __future__ import annotations

import pandas as pd

from assets.pictures import picture
from assets.pipeline_asset import day_asset
from assets.popularity_model import SEED, TRAINING_NIGHTS
from assets.progress import Work
from partitions.reads import Days, SameKey
from photo_popularity.domain import plots
from photo_popularity.domain.evaluation import evaluate
from photo_popularity.domain.popularity import read_model
from resources.output_parts import ModelFile, Result
from resources.pods import Pod


@day_asset(
    reads={"popularity_model": SameKey(), "training_examples": Days(1 - TRAINING_NIGHTS)},
    group="popularity",
    kinds=("scikitlearn", "parquet"),
    pod=Pod(cpu="2", memory="4Gi"),
    one_partition_a_run=True,
)
def model_evaluation(
    work: Work, popularity_model: dict[str, ModelFile], training_examples: pd.DataFrame
) -> Result:
    """One row is a predictor (the model or a baseline) on a segment (all, known or new photos) of the held-out nights.

    Spearman's rank correlation and the mean absolute error of log(1 + views), each with its 95% interval over photos.
    `promoted` says whether the model beats every baseline with margin.
    """
    model = read_model(popularity_model[work.partition_key].data)
    found = evaluate(model, training_examples, seed=SEED)
    shown = {
        "promoted": found.promoted,
        "predicted_vs_actual": picture(plots.predicted_vs_actual(found.examples)),
        "calibration": picture(plots.calibration(found.examples)),
        "feature_importance": picture(plots.feature_importance(found.importance)),
    }
    return Result(found.table, shown)
