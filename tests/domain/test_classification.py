"""Scores add up to one, name their model, and do not depend on what was scored before."""

from __future__ import annotations

import io
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from photo_popularity.domain.classification import (
    CLASSES,
    Classifier,
    SklearnClassifier,
    in_class_order,
    score_photo,
)
from photo_popularity.domain.classifier_training import TrainedClassifier, train_classifier
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.model_files import dump_model, load_model
from photo_popularity.domain.photos import load_pixels
from photo_popularity.domain.schemas import CAT_DOG_SCORES
from photo_popularity.domain.tables import rows_to_table

SHAPES = ("cat", "dog", "neither")


def drawn(shape: str, number: int) -> bytes:
    """A noisy picture of a triangle (cat), a circle (dog) or nothing (neither)."""
    random = np.random.default_rng([number, SHAPES.index(shape)])
    image = Image.fromarray(random.integers(90, 170, (100, 120, 3), np.uint8))
    pen = ImageDraw.Draw(image)
    x, y, r = (int(value) for value in random.integers((45, 40, 22), (75, 60, 32)))
    colour = tuple(int(value) for value in random.integers(0, 80, 3))
    if shape == "cat":
        pen.polygon([(x - r, y + r), (x + r, y + r), (x, y - r)], fill=colour)
    elif shape == "dog":
        pen.ellipse([x - r, y - r, x + r, y + r], fill=colour)
    target = io.BytesIO()
    image.save(target, "JPEG", quality=90)
    return target.getvalue()


def draw_into(folder: Path, *, names: tuple[str, ...] = SHAPES, photos: int = 16) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(photos):
            shape = name.removesuffix("s")
            (folder / name / f"{name}{number:02}.jpg").write_bytes(drawn(shape, number))
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedClassifier:
    return train_classifier(draw_into(tmp_path_factory.mktemp("photos")))


class RedMeansCat:
    """A fake classifier: the redder, the more cat; what is left is half dog, half neither."""

    model_version = "fake-1"
    picture_pixels = 4

    def score(self, pixels: Any) -> Any:
        red = pixels[..., 0].mean(axis=(1, 2)) / 255
        return np.stack([red, (1 - red) / 2, (1 - red) / 2], axis=1)


def plain(red: int) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (8, 8), (red, 0, 0)).save(target, "PNG")
    return target.getvalue()


def scored(data: bytes, classifier: Classifier) -> list[float]:
    """The three probabilities of a photo that can be read."""
    row = score_photo(data, classifier)
    assert row is not None
    return [float(str(row[f"p_{name}"])) for name in CLASSES]


def test_every_readable_photo_has_a_row_and_no_other() -> None:
    rows = [score_photo(data, RedMeansCat()) for data in (plain(255), b"no image", plain(51), b"")]
    assert rows == [
        {"p_cat": 1.0, "p_dog": 0.0, "p_neither": 0.0, "model_version": "fake-1"},
        None,
        {"p_cat": 0.2, "p_dog": 0.4, "p_neither": 0.4, "model_version": "fake-1"},
        None,
    ]
    # storage adds the file's name
    named = [{"file": "a.png", **row} for row in rows if row]
    assert rows_to_table(named, CAT_DOG_SCORES, name="cat_dog_scores").num_rows == 2


def test_rounded_scores_still_add_up_to_one() -> None:
    for red in range(256):
        scores = scored(plain(red), RedMeansCat())
        assert math.isclose(sum(scores), 1.0, abs_tol=1e-9)
        assert min(scores) >= 0


def test_classes_are_put_into_order_and_the_missing_one_is_zero() -> None:
    scores = in_class_order(np.array([[0.3, 0.7]]), ["dog", "cat"])
    assert scores.tolist() == [[0.7, 0.3, 0.0]]


def test_a_trained_classifier_tells_drawn_shapes_apart(trained: TrainedClassifier) -> None:
    classifier = SklearnClassifier(trained.data)
    right = [
        int(np.argmax(scored(drawn(shape, number), classifier))) == SHAPES.index(shape)
        for shape in SHAPES
        for number in range(100, 110)
    ]
    assert sum(right) >= 26


def test_a_score_does_not_depend_on_what_was_scored_before(trained: TrainedClassifier) -> None:
    """A photo that is scored alone tomorrow must not look changed."""
    classifier = SklearnClassifier(trained.data)
    rows = [score_photo(drawn(SHAPES[number % 3], number), classifier) for number in range(20)]
    assert score_photo(drawn(SHAPES[17 % 3], 17), SklearnClassifier(trained.data)) == rows[17]


def test_a_score_does_not_depend_on_the_rest_of_what_is_scored_at_once(trained: TrainedClassifier) -> None:
    classifier = SklearnClassifier(trained.data)
    side = classifier.picture_pixels
    photos = [drawn(SHAPES[number % 3], number) for number in range(20)]
    together = classifier.score(np.stack([load_pixels(data, size=side) for data in photos]))
    alone = [scored(data, classifier) for data in photos]
    # the last digits may differ, which is what rows are rounded for
    assert np.abs(together - np.array(alone)).max() < 2e-6


def test_the_version_is_that_of_the_bytes(trained: TrainedClassifier) -> None:
    changed = load_model(trained.data)
    changed["card"]["seed"] = 99
    first, other = SklearnClassifier(trained.data), SklearnClassifier(dump_model(changed))
    assert first.model_version == SklearnClassifier(trained.data, name="elsewhere").model_version
    assert first.model_version != other.model_version


def test_scoring_one_photo_is_quick(trained: TrainedClassifier) -> None:
    classifier = SklearnClassifier(trained.data)
    photos = [drawn("cat", number) for number in range(64)]
    score_photo(photos[0], classifier)
    started = time.process_time()
    for data in photos:
        score_photo(data, classifier)
    assert (time.process_time() - started) / len(photos) < 0.1


def test_a_model_of_other_features_is_refused(trained: TrainedClassifier) -> None:
    model = load_model(trained.data)
    model["card"]["features"] = "older-0"
    with pytest.raises(
        InputError, match="was trained on features older-0, and this version has hog-lbp-colour-1"
    ):
        SklearnClassifier(dump_model(model), name="m.skops")
