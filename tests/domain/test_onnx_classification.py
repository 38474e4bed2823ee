"""Any ONNX image model becomes a classifier: its shapes, its normalisation and its classes are read, not assumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from photo_popularity.domain.errors import InputError
from photo_popularity.domain.onnx_classification import OnnxClassifier

RED, BLUE = (255, 0, 0), (0, 0, 255)
PLAIN = {"mean": [0, 0, 0], "std": [1, 1, 1]}
# logits of cat and dog: the mean red and the mean blue of the picture
RED_IS_CAT = np.array([[1, 0], [0, 0], [0, 1]])


def model(
    weights: Any,
    *,
    shape: tuple[Any, ...] = ("n", 3, 16, 16),
    softmax: bool = False,
    metadata: dict[str, str] | None = None,
) -> bytes:
    """A model whose outputs are the mean colour times weights of shape (3, classes)."""
    matrix = np.asarray(weights, dtype=np.float32)
    axes = [2, 3] if shape[1] == 3 else [1, 2]
    nodes = [
        helper.make_node("ReduceMean", ["picture"], ["colour"], axes=axes, keepdims=0),
        helper.make_node("MatMul", ["colour", "weights"], ["logits"]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["scores"], axis=1))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores" if softmax else "logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(matrix, "weights")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    for key, value in (metadata or {}).items():
        made.metadata_props.append(onnx.StringStringEntryProto(key=key, value=value))
    return bytes(made.SerializeToString())


def classifier(data: bytes, settings: dict[str, Any] | None = PLAIN) -> OnnxClassifier:
    return OnnxClassifier(data, settings_json=None if settings is None else json.dumps(settings).encode())


def pictures(*colours: tuple[int, int, int], size: int = 16) -> Any:
    return np.stack([np.full((size, size, 3), colour, dtype=np.uint8) for colour in colours])


LIKELY, UNLIKELY = 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))


@pytest.mark.parametrize("shape", [("n", 3, 16, 16), ("n", 16, 16, 3), (1, 3, 16, 16), (4, 16, 16, 3)])
@pytest.mark.parametrize("softmax", [False, True])
def test_every_layout_and_batch_gives_the_same_scores(shape: tuple[Any, ...], softmax: bool) -> None:
    scores = classifier(model(RED_IS_CAT, shape=shape, softmax=softmax)).score(pictures(RED, BLUE, RED))
    expected = [[LIKELY, UNLIKELY, 0], [UNLIKELY, LIKELY, 0], [LIKELY, UNLIKELY, 0]]
    assert scores == pytest.approx(np.array(expected), abs=1e-6)


def test_no_pictures_give_no_scores() -> None:
    assert classifier(model(RED_IS_CAT)).score(pictures(RED)[:0]).shape == (0, 3)


def test_three_outputs_are_cat_dog_neither() -> None:
    scores = classifier(model(np.eye(3) * 50)).score(pictures(RED, BLUE))
    assert scores.round(3).tolist() == [[1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        # the first and last cat and dog of ImageNet, and their neighbours
        *[(281, [1, 0, 0]), (285, [1, 0, 0]), (280, [0, 0, 1]), (286, [0, 0, 1])],
        *[(151, [0, 1, 0]), (268, [0, 1, 0]), (150, [0, 0, 1]), (269, [0, 0, 1])],
    ],
)
def test_a_thousand_outputs_are_those_of_imagenet(index: int, expected: list[int]) -> None:
    weights = np.zeros((3, 1000))
    weights[0, index] = 50
    assert classifier(model(weights)).score(pictures(RED))[0].round(3).tolist() == expected


def test_named_classes_are_added_up() -> None:
    settings = {**PLAIN, "classes": ["Dogs", "bird", "Cat", "fish"]}
    scores = classifier(model(np.zeros((3, 4))), settings).score(pictures(RED))
    assert scores[0].tolist() == [0.25, 0.25, 0.5]


def test_pixels_are_normalised_as_on_imagenet_unless_said_otherwise() -> None:
    data = model(RED_IS_CAT)
    difference = (1 - 0.485) / 0.229 - (0 - 0.406) / 0.225
    p_cat = classifier(data, None).score(pictures(RED))[0, 0]
    assert p_cat == pytest.approx(1 / (1 + np.exp(-difference)), abs=1e-6)


def test_channels_can_be_blue_first() -> None:
    scores = classifier(model(RED_IS_CAT), {**PLAIN, "channels": "BGR"}).score(pictures(RED))
    assert scores[0, 1] == pytest.approx(LIKELY)


def test_the_json_file_wins_over_the_model_and_foreign_metadata_is_left_alone() -> None:
    own = {
        "classes": "dog, cat",
        "mean": "[0, 0, 0]",
        "std": "[1, 1, 1]",
        "channels": "planar",
        "author": "me",
    }
    data = model(RED_IS_CAT, metadata=own)
    assert classifier(data, None).score(pictures(RED))[0, 1] == pytest.approx(LIKELY)
    assert classifier(data, {"classes": ["cat", "dog"]}).score(pictures(RED))[0, 0] == pytest.approx(LIKELY)


def test_pictures_have_the_size_of_the_model_or_of_the_settings() -> None:
    open_size = model(RED_IS_CAT, shape=("n", 3, "h", "w"))
    assert classifier(model(RED_IS_CAT)).picture_pixels == 16
    assert classifier(open_size).picture_pixels == 224
    assert classifier(open_size, {**PLAIN, "pixels": 32}).picture_pixels == 32


def test_the_version_changes_with_the_model_and_with_its_settings(tmp_path: Path) -> None:
    versions = set()
    for weights in (RED_IS_CAT, RED_IS_CAT * 2):
        path = tmp_path / "pets.onnx"
        path.write_bytes(model(weights))
        (tmp_path / "pets.json").unlink(missing_ok=True)
        versions.add(OnnxClassifier.from_file(path).model_version)
        (tmp_path / "pets.json").write_text(json.dumps(PLAIN))
        versions.add(OnnxClassifier.from_file(path).model_version)
        assert OnnxClassifier.from_file(path).model_version in versions
    assert len(versions) == 4
    assert all(version.startswith("pets-") and len(version) == 17 for version in versions)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (b"{", "model.onnx's JSON file: is not JSON"),
        (b"[]", "holds no object"),
        (b'{"clases": []}', "unknown setting 'clases'; known are classes, mean, std, channels, pixels"),
        (b'{"std": [1, 0, 1]}', "std = .* does not fit"),
        (b'{"channels": "HSV"}', "channels = 'HSV' does not fit"),
        (b'{"pixels": true}', "pixels = True does not fit"),
        (b'{"classes": ["cat"]}', "has 2 outputs and 1 class names"),
        (b'{"classes": ["a", "b"]}', "none of its classes is called cat or dog"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(settings: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        OnnxClassifier(model(RED_IS_CAT), settings_json=settings)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no model", "m.onnx: is not an ONNX model that can be run"),
        (b"", "m.onnx: is not an ONNX model that can be run"),
        (model(np.zeros((3, 5))), "m.onnx: has 5 outputs and 0 class names"),
        (model(RED_IS_CAT, shape=("n", 3, 16, 8)), "m.onnx: takes pictures of 8 by 16 pixels; only square"),
        (model(RED_IS_CAT, shape=("n", 1, 16, 16, 3)), "not one float tensor of four dimensions"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        OnnxClassifier(data, name="m.onnx")
