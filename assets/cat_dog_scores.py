"""Cat/dog classifier outputs: what the picture in each photo file shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from assets.pipeline_asset import file_asset
from partitions.file_sets import PHOTO_FILES
from photo_popularity.domain.classification import score_photo
from resources.classifier import ClassifierFile
from resources.environment import Environment
from resources.output_parts import Row
from resources.pods import Pod
from resources.source_file import FileUnreadable, SourceFile


def classifier_version(environment: Environment) -> Mapping[str, Any]:
    """The version of the classifier that scores are made with now."""
    return {"classifier": ClassifierFile(environment.settings.classifier).version}


@file_asset(
    PHOTO_FILES,
    reads=("photo_content",),
    parameters=classifier_version,
    libraries=("pillow", "scikit-learn", "onnxruntime"),
    pod=Pod(cpu="2", memory="4Gi"),
    code=(ClassifierFile,),
    kinds=("scikitlearn", "parquet"),
)
def cat_dog_scores(
    file: SourceFile, photo_content: pd.DataFrame, classifier: ClassifierFile
) -> Sequence[Row]:
    """One row is a photo file: the probabilities that it shows a cat, a dog or neither, and the classifier's version.

    A file that could not be read has no row. Another classifier re-scores every photo.
    """
    model = classifier.load()  # first: one that cannot be loaded is no fault of any photo
    if not photo_content["problem"].isna().all():
        return []
    try:
        data = file.read()
    except FileUnreadable as error:
        # it was there when its content was read; the next look at the folder settles it
        file.warn(f"{error}; it gets no scores")
        return []
    row = score_photo(data, model)
    return [row] if row else []
