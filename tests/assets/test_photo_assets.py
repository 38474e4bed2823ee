"""The assets of photo files, called as the plain functions that they are."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from blake3 import blake3

from assets import photo_content as photo_content_module
from assets.cat_dog_scores import cat_dog_scores, classifier_version
from assets.photo_content import photo_content
from assets.progress import Work
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.photo_decoding import PhotoLimits
from photo_popularity.domain.schemas import PHOTO_CONTENT
from resources.classifier import ClassifierFile
from resources.environment import Environment
from resources.settings import Settings
from resources.source_file import SourceFile
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


def a_file(folder: Path, key: str) -> SourceFile:
    return SourceFile(FileSource("photo_files", str(folder), setting="photos"), key, dg.get_dagster_logger())


def test_each_file_is_a_row_and_one_that_is_no_image_says_why(folder: Path) -> None:
    files = {key: a_file(folder, key) for key in ("a%2C cat.jpg", "text.jpg", "gone.jpg")}
    rows = {key: photo_content(file) for key, file in files.items()}
    assert all({"file", *row} == set(PHOTO_CONTENT.columns) for row in rows.values())
    assert (rows["a%2C cat.jpg"]["format"], rows["a%2C cat.jpg"]["problem"]) == ("JPEG", None)
    assert "no image of a known format" in rows["text.jpg"]["problem"]
    assert "cannot be read" in rows["gone.jpg"]["problem"]
    # so that a file with another name need not be read again
    assert not any(file.name_was_asked_for for file in files.values())


def test_of_a_file_over_the_limit_the_size_and_version_are_those_of_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = drawing(1) * 3
    (tmp_path / "large.jpg").write_bytes(data)
    monkeypatch.setattr(photo_content_module, "PhotoLimits", lambda: PhotoLimits(file_bytes=100))
    row = photo_content(a_file(tmp_path, "large.jpg"))
    assert (row["bytes"], row["content_version"]) == (len(data), blake3(data).hexdigest()[:16])
    assert "more than the limit of 100" in row["problem"]


def test_only_photos_that_can_be_read_are_scored(new_place: Place) -> None:
    folder = new_place.site.photos
    (folder / "odd.jpg").write_bytes(b"no image any more")
    classifier = ClassifierFile(new_place.environment.settings.classifier)

    def scores(key: str, problem: str | None) -> list[dict[str, float]]:
        content = pd.DataFrame({"problem": [problem]}, dtype="str")
        return list(cat_dog_scores(a_file(folder, key), content, classifier))

    [row] = scores("2026/10/01/p1.jpg", None)
    assert sum(row[name] for name in ("p_cat", "p_dog", "p_neither")) == pytest.approx(1)
    assert scores("2026/10/01/p1.jpg", "it is no image") == []
    # these could be read when their content was
    assert scores("gone.jpg", None) == []
    assert scores("odd.jpg", None) == []


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
