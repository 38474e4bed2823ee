"""Is it a cat, a dog or neither: what a classifier is, the one trained here, and the rows of cat_dog_scores.

Training belongs to `classifier_training`, models of others to `onnx_classification`, decoding to `photos`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from photo_popularity.domain.errors import InputError
from photo_popularity.domain.image_features import FEATURES_VERSION, PICTURE_PIXELS, image_features
from photo_popularity.domain.photos import load_pixels

CLASSES = ("cat", "dog", "neither")
# the last digits depend on the machine; equal photos must have equal rows
SCORE_DIGITS = 6
VERSION_DIGITS = 12

Scores = NDArray[np.float64]


class Classifier(Protocol):
    """What scores pictures; every implementation says which model it is."""

    @property
    def model_version(self) -> str:
        """Changes whenever the model's files change."""

    @property
    def picture_pixels(self) -> int:
        """Side of the square pictures that it takes."""

    def score(self, pixels: NDArray[np.uint8]) -> Scores:
        """Pictures of shape (n, side, side, 3) to probabilities of shape (n, 3): cat, dog, neither."""


class SklearnClassifier:
    """The scikit-learn model of a `.skops` file that `classifier_training` wrote."""

    def __init__(self, data: bytes, *, name: str = "classifier") -> None:
        # scikit-learn takes a second to import, and only scoring needs it
        from threadpoolctl import ThreadpoolController

        from photo_popularity.domain.model_files import load_model

        model = load_model(data, name=name)
        if not isinstance(model, dict) or not {"pipeline", "calibrator", "card"} <= model.keys():
            raise InputError(f"{name}: is not a cat and dog classifier; make one with `train-classifier`.")
        self.card: dict[str, Any] = model["card"]
        if self.card["features"] != FEATURES_VERSION:
            raise InputError(
                f"{name}: was trained on features {self.card['features']}, and this version has "
                f"{FEATURES_VERSION}; train it again with `train-classifier`."
            )
        self._pipeline, self._calibrator = model["pipeline"], model["calibrator"]
        self._classes: list[str] = self.card["classes"]
        self.model_version = f"{FEATURES_VERSION}-{_digest(data)}"
        self.picture_pixels = PICTURE_PIXELS
        # made after the model, because it knows only the libraries that are loaded by then
        self._threads = ThreadpoolController()

    def score(self, pixels: NDArray[np.uint8]) -> Scores:
        """See `Classifier.score`."""
        # the products are small: on a busy machine threads that wait for each other took longer than the work
        with self._threads.limit(limits=1):
            features, mirrored = np.split(image_features(np.concatenate([pixels, pixels[:, :, ::-1]])), 2)
            decisions = mirrored_decisions(self._pipeline, features, mirrored)
        return in_class_order(self._calibrator.predict_proba(decisions), self._classes)


def score_photo(data: bytes, classifier: Classifier) -> dict[str, object] | None:
    """The cat_dog_scores row of a photo's bytes, without its file's name; None when they cannot be read."""
    try:
        pixels = load_pixels(data, size=classifier.picture_pixels)
    except InputError:
        # photo_content says why, with the same words
        return None
    [score] = _rounded(classifier.score(pixels[np.newaxis]))
    named = {f"p_{name}": float(value) for name, value in zip(CLASSES, score, strict=True)}
    return {**named, "model_version": classifier.model_version}


def mirrored_decisions(pipeline: Any, features: NDArray[np.float32], mirrored: NDArray[np.float32]) -> Scores:
    """Decision values, one column for two classes, averaged over each picture and its mirror image."""
    decisions = (pipeline.decision_function(features) + pipeline.decision_function(mirrored)) / 2
    return np.asarray(decisions, dtype=np.float64).reshape(len(features), -1)


def in_class_order(probabilities: NDArray[np.floating[Any]], classes: Iterable[str]) -> Scores:
    """Columns named by `classes` added up to cat, dog and neither; a class that is missing has probability 0."""
    scores = np.zeros((len(probabilities), len(CLASSES)))
    for column, name in enumerate(classes):
        scores[:, CLASSES.index(name)] += probabilities[:, column]
    return scores


def _rounded(scores: Scores) -> Scores:
    """Scores with few digits that still add up to one: the dog takes what rounding leaves."""
    rounded = scores.round(SCORE_DIGITS)
    rounded[:, 1] = np.clip((1.0 - rounded[:, 0] - rounded[:, 2]).round(SCORE_DIGITS), 0.0, 1.0)
    return rounded


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:VERSION_DIGITS]
