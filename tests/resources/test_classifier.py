"""The chosen classifier: its version moves with everything that changes its scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from photo_popularity.domain.errors import InputError
from photo_popularity.domain.model_files import dump_model
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


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.pkl", b"", r"m\.pkl: a classifier is a \.skops or an \.onnx file; name one of these"),
        ("m.skops", b"junk", r"m\.skops: is not a readable \.skops model .*train the model again"),
        ("m.skops", dump_model({"card": {}}), r"m\.skops: is not a cat and dog classifier; make one with"),
        ("m.onnx", b"junk", r"m\.onnx: is not an ONNX model that can be run .*export it again"),
    ],
)
def test_a_file_that_is_no_classifier_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        ClassifierFile(str(tmp_path / name)).load()
