"""Any ONNX image classification model as a classifier of cats and dogs.

Running the model belongs here; its settings are in `onnx_settings`, what a classifier is in `classification`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photo_popularity.domain.classification import CLASSES, VERSION_DIGITS, Scores, in_class_order
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.onnx_settings import read_settings

DEFAULT_PIXELS = 224
IMAGENET_CATS = range(281, 286)
IMAGENET_DOGS = range(151, 269)
IMAGENET_CLASSES = 1000
INPUT_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
GROUPS = {"cat": "cat", "cats": "cat", "dog": "dog", "dogs": "dog"}


class OnnxClassifier:
    """A model that takes one square picture tensor, NCHW or NHWC, and gives logits or probabilities of classes."""

    def __init__(self, model: bytes, *, settings_json: bytes | None = None, name: str = "model.onnx") -> None:
        self._name = name
        self._session = _session(model, name)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self._settings = read_settings(metadata, settings_json, name=name)
        self._input = self._session.get_inputs()[0]
        self._channels_first, self.picture_pixels = self._layout()
        # decided once for the model: single logits can look like probabilities by chance
        outputs = self._outputs(_probes(self.picture_pixels))
        self._gives_probabilities = _add_up_to_one(outputs)
        self._groups = self._class_groups(outputs.shape[1])
        self.model_version = f"{Path(name).stem}-{_version(model, settings_json)}"

    @classmethod
    def from_file(cls, path: Path) -> OnnxClassifier:
        """The model at `path` with the settings beside it, if there are any."""
        beside = path.with_suffix(".json")
        settings_json = beside.read_bytes() if beside.is_file() else None
        return cls(path.read_bytes(), settings_json=settings_json, name=str(path))

    def score(self, pixels: NDArray[np.uint8]) -> Scores:
        """See `Classifier.score`."""
        if not len(pixels):
            return np.zeros((0, len(CLASSES)))
        outputs = self._outputs(pixels)
        if self._gives_probabilities:
            return in_class_order(outputs / outputs.sum(axis=1, keepdims=True), self._groups)
        return in_class_order(_softmax(outputs), self._groups)

    def _outputs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        fixed = self._input.shape[0]
        step = fixed if isinstance(fixed, int) and fixed > 0 else len(pixels)
        starts = range(0, len(pixels), step)
        return np.concatenate([self._run_padded(pixels[start : start + step], step) for start in starts])

    def _run_padded(self, pixels: NDArray[np.uint8], step: int) -> NDArray[np.float64]:
        # a model with a fixed batch takes no fewer pictures: the last one is repeated and its copies dropped
        missing = step - len(pixels)
        padded = np.concatenate([pixels, np.repeat(pixels[-1:], missing, axis=0)]) if missing else pixels
        return self._run(padded)[: len(pixels)]

    def _run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        ordered = pixels if self._settings.channels == "RGB" else pixels[..., ::-1]
        scaled = (ordered.astype(np.float32) / 255.0 - self._settings.mean) / self._settings.std
        tensor = scaled.transpose(0, 3, 1, 2) if self._channels_first else scaled
        typed = np.ascontiguousarray(tensor, dtype=INPUT_TYPES[self._input.type])
        try:
            output = self._session.run([self._session.get_outputs()[0].name], {self._input.name: typed})[0]
        except _onnx_errors() as error:
            raise InputError(
                f"{self._name}: the model fails on a picture of {pixels.shape[1]} pixels "
                f"({_first_line(error)}); check `pixels` in its JSON file."
            ) from error
        values = np.asarray(output, dtype=np.float64)
        if values.ndim < 2 or values.size % len(pixels):
            raise InputError(f"{self._name}: its output has shape {values.shape}, not (photos, classes).")
        return values.reshape(len(pixels), -1)

    def _layout(self) -> tuple[bool, int]:
        """Whether channels come before height, and the side of the picture, from the model's input shape."""
        shape = self._input.shape
        if len(self._session.get_inputs()) != 1 or len(shape) != 4 or self._input.type not in INPUT_TYPES:
            raise InputError(
                f"{self._name}: takes {self._input.type} of shape {shape}, not one float tensor of four "
                "dimensions; export it with a single picture input."
            )
        channels_first = shape[1] == 3 or shape[3] != 3
        height, width = (shape[2], shape[3]) if channels_first else (shape[1], shape[2])
        sides = {side for side in (height, width) if isinstance(side, int) and side > 0}
        if len(sides) > 1:
            raise InputError(
                f"{self._name}: takes pictures of {width} by {height} pixels; only square ones are made."
            )
        return channels_first, sides.pop() if sides else self._settings.pixels or DEFAULT_PIXELS

    def _class_groups(self, outputs: int) -> list[str]:
        """Cat, dog or neither for each of the model's outputs."""
        names = self._settings.classes
        if names is None and outputs in (2, 3):
            names = CLASSES[:outputs]
        elif names is None and outputs == IMAGENET_CLASSES:
            return [_imagenet_group(index) for index in range(outputs)]
        if names is None or len(names) != outputs:
            raise InputError(
                f"{self._name}: has {outputs} outputs and {len(names or ())} class names; "
                'write {"classes": [one name for each output]} into its JSON file.'
            )
        groups = [GROUPS.get(name.strip().lower(), "neither") for name in names]
        if not {"cat", "dog"} & set(groups):
            raise InputError(
                f"{self._name}: none of its classes is called cat or dog; rename them in its JSON file."
            )
        return groups


def _imagenet_group(index: int) -> str:
    return "cat" if index in IMAGENET_CATS else "dog" if index in IMAGENET_DOGS else "neither"


def _probes(pixels: int) -> NDArray[np.uint8]:
    """A black picture, a white one and a red ramp: what a model makes of them tells what its outputs are."""
    pictures = np.zeros((3, pixels, pixels, 3), dtype=np.uint8)
    pictures[1] = 255
    pictures[2, :, :, 0] = np.linspace(0, 255, pixels).astype(np.uint8)
    return pictures


def _add_up_to_one(outputs: NDArray[np.float64]) -> bool:
    # half precision leaves errors of this size
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1.0, atol=1e-2))


def _softmax(logits: NDArray[np.float64]) -> Scores:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _session(model: bytes, name: str) -> Any:
    try:
        # ONNX Runtime is an extra: only runs with an ONNX classifier need it
        import onnxruntime
    except ImportError as error:
        raise InputError(
            f"{name}: ONNX models need ONNX Runtime, which is not installed; pip install 'photo-popularity[onnx]'."
        ) from error
    options = onnxruntime.SessionOptions()
    # errors come as exceptions; its own log would print them once more
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except _onnx_errors() as error:
        raise InputError(
            f"{name}: is not an ONNX model that can be run ({_first_line(error)}); export it again."
        ) from error


def _onnx_errors() -> tuple[type[Exception], ...]:
    """ONNX Runtime's exceptions, which have no base class of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoModel", "NotImplemented")
    return (*(getattr(state, name) for name in names), state.RuntimeException, state.EPFail, ValueError)


def _first_line(error: Exception) -> str:
    return (
        str(error).strip().splitlines()[0][:200].rstrip(".") if str(error).strip() else type(error).__name__
    )


def _version(model: bytes, settings_json: bytes | None) -> str:
    digest = hashlib.sha256(model)
    if settings_json is not None:
        digest.update(hashlib.sha256(settings_json).digest())
    return digest.hexdigest()[:VERSION_DIGITS]
