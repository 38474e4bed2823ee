"""Cat/dog classifier outputs: what the picture in each photo file shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from assets.pipeline_asset import pipeline_asset
from assets.progress import Work, followed
from partitions.files import file_of
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
    libraries=("pillow", "scikit-learn", "onnxruntime"),
    code=(ClassifierFile,),
    group="photos",
    kinds=("scikitlearn", "parquet"),
)
def cat_dog_scores(
    work: Work,
    photo_content: pd.DataFrame,
    photo_files: FileSource,
    classifier: ClassifierFile,
) -> pd.DataFrame:
    """One row is a photo file: the probabilities that it shows a cat, a dog or neither, and the classifier's version.

    A file that could not be read has no row. Another classifier re-scores every photo.
    """
    readable = set(photo_content.loc[photo_content["problem"].isna(), "file"])
    keys = [key for key in work.partition_keys if file_of(key) in readable]

    def files() -> Iterator[tuple[str, bytes]]:
        for key in followed(work, keys, "photos"):
            try:
                yield file_of(key), photo_files.read(key)
            except OSError as error:
                # it was there when its content was read; the next look at the folder settles it
                work.log.warning(f"{key}: cannot be read any more ({error}); it gets no scores")

    return score_photos(files(), classifier.load())
