"""The cat/dog classifier that the site has chosen: a file, its version, and the model inside."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

from photo_popularity.domain.classification import Classifier, SklearnClassifier
from photo_popularity.domain.errors import InputError


class ClassifierFile:
    """A classifier given by its path: `.skops` from `photo-popularity train-classifier`, or any `.onnx` image model."""

    def __init__(self, path: str) -> None:
        self._path = path

    @property
    def _file(self) -> Path:
        if not self._path:
            raise InputError(
                "no cat/dog classifier is set; train one with `photo-popularity train-classifier DIR`, or give "
                "--classifier FILE (.skops or .onnx)"
            )
        if not Path(self._path).is_file():
            raise InputError(f"{self._path}: no such classifier file; correct --classifier")
        return Path(self._path)

    @property
    def version(self) -> str:
        """Hash of the model's bytes, and of the JSON file beside it that an ONNX model may have."""
        beside = self._file.with_suffix(".json")
        files = [self._file, *([beside] if beside.exists() else [])]
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]

    @cached_property
    def _model(self) -> Classifier:
        return _read(self._file)

    def load(self) -> Classifier:
        """The model; loaded once a process."""
        return self._model


def _read(path: Path) -> Classifier:
    try:
        if path.suffix.lower() == ".skops":
            return SklearnClassifier(path.read_bytes(), name=str(path))
        if path.suffix.lower() == ".onnx":
            # ONNX Runtime is an extra, and takes a while to import
            from photo_popularity.domain.onnx_classification import OnnxClassifier

            return OnnxClassifier.from_file(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); check the path, or make one with `train-classifier`."
        ) from error
    raise InputError(f"{path}: a classifier is a .skops or an .onnx file; name one of these.")
