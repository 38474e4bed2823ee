"""The chosen classifier: its version moves with everything that changes its scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from photo_popularity.domain.errors import InputError
from resources.classifier import ClassifierFile


def test_another_model_or_other_settings_beside_it_are_another_version(tmp_path: Path) -> None:
    file = tmp_path / "cat.onnx"
    file.write_bytes(b"model")
    plain = ClassifierFile(str(file)).version
    (tmp_path / "cat.json").write_text("{}")
    with_settings = ClassifierFile(str(file)).version
    file.write_bytes(b"other")
    assert len({plain, with_settings, ClassifierFile(str(file)).version}) == 3


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "no cat/dog classifier is set; train one"),
        ("/nowhere/cat.skops", "/nowhere/cat.skops: no such classifier"),
    ],
)
def test_a_classifier_that_is_not_there_is_one_clear_sentence(path: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ClassifierFile(path).load()
