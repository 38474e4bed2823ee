"""Cat/dog classifier outputs: what the picture in each photo file shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pandas as pd

from assets.pipeline_asset import pipeline_asset
from assets.progress import followed
from partitions.files import path_of
from partitions.reads import SameKey
from photo_popularity.domain.classification import score_photos
from resources.classifier import ClassifierFile
from resources.environment import Environment
from resources.sources import FileSource


def classifier_version(environment: Environment) -> Mapping[str, Any]:
    """The version of the classifier that scores are made with now."""
    return {"classifier": ClassifierFile(environment.settings.classifier).version}


@pipeline_asset(
    partitions="photo_files",
    reads={"photo_files": SameKey(), "photo_content": SameKey()},
    parameters=classifier_version,
    group="photos",
    kinds=("scikitlearn", "parquet"),
    pool="photo_files",
)
def cat_dog_scores(
    context: dg.AssetExecutionContext, photo_content: pd.DataFrame, photo_files: FileSource, classifier: ClassifierFile
) -> pd.DataFrame:
    """One row is a photo file: the probabilities that it shows a cat, a dog or neither, and the classifier's version.

    A file that could not be read has no row. Another classifier re-scores every photo.
    """
    readable = set(photo_content.loc[photo_content["problem"].isna(), "file"])

    def files() -> Iterator[tuple[str, bytes]]:
        for key in followed(context, context.partition_keys, "photos"):
            if path_of(key) in readable:
                yield path_of(key), photo_files.read(key)

    return score_photos(files(), classifier.load())
