"""The assets of photo files, called as the plain functions that they are."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from assets.cat_dog_scores import cat_dog_scores, classifier_version
from assets.photo_content import photo_content
from assets.progress import Work
from photo_popularity.domain.errors import InputError
from resources.classifier import ClassifierFile
from resources.environment import Environment
from resources.settings import Settings
from resources.sources import FileSource
from tests.night_fixtures import Place
from tests.photo_site import drawing


def work_on(*keys: str) -> Work:
    """A call of a step's function outside Dagster."""
    return Work(list(keys), dg.get_dagster_logger())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a, cat.jpg").write_bytes(drawing(1))
    (tmp_path / "text.jpg").write_text("no image at all")
    return tmp_path


def source(folder: Path) -> FileSource:
    return FileSource("photo_files", str(folder), setting="photos")


def test_each_file_is_a_row_and_one_that_is_no_image_says_why(folder: Path) -> None:
    rows = photo_content(work_on("a%2C cat.jpg", "text.jpg", "gone.jpg"), source(folder)).set_index("file")
    assert list(rows.index) == ["a, cat.jpg", "text.jpg", "gone.jpg"]
    assert rows.loc["a, cat.jpg", "format"] == "JPEG"
    assert pd.isna(rows.loc["a, cat.jpg", "problem"])
    assert "text.jpg" in str(rows.loc["text.jpg", "problem"]) or rows.loc["text.jpg", "problem"]
    assert "cannot be read" in str(rows.loc["gone.jpg", "problem"])


def test_only_photos_that_can_be_read_are_scored(new_place: Place) -> None:
    content = pd.DataFrame({"file": ["2026/10/01/p1.jpg", "bad.jpg"], "problem": [None, "it is no image"]})
    classifier = ClassifierFile(new_place.environment.settings.classifier)
    scores = cat_dog_scores(
        work_on("2026/10/01/p1.jpg", "bad.jpg"), content, new_place.installation.photo_files, classifier
    )
    assert list(scores["file"]) == ["2026/10/01/p1.jpg"]
    assert scores[["p_cat", "p_dog", "p_neither"]].sum(axis=1).iloc[0] == pytest.approx(1)


def test_the_version_of_the_classifier_is_a_parameter_of_the_scores(tmp_path: Path) -> None:
    model = tmp_path / "model.skops"
    versions = []
    for data in (b"one", b"other", b"one"):
        model.write_bytes(data)
        versions.append(
            classifier_version(Environment("local", "ann", tmp_path, Settings(classifier=str(model))))
        )
    assert versions[0] == versions[2] != versions[1]
    with pytest.raises(InputError, match="no cat/dog classifier is set"):
        classifier_version(Environment("local", "ann", tmp_path))
