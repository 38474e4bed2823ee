"""What an ONNX image model does not say by its shape: class names, normalisation, order of channels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from photo_popularity.domain.errors import InputError


@dataclass(frozen=True)
class OnnxSettings:
    """How a model wants its pictures and names its classes; the defaults are those of models made on ImageNet.

    Read from the model's own metadata, then from `cat.json` beside `cat.onnx`, which wins. A pixel becomes
    (value / 255 - mean) / std in the order `channels`. Class names other than cat and dog count as neither.
    """

    classes: tuple[str, ...] | None = None
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    channels: str = "RGB"
    pixels: int | None = None


SETTINGS = tuple(field.name for field in fields(OnnxSettings))


def read_settings(metadata: Mapping[str, str], settings_json: bytes | None, *, name: str) -> OnnxSettings:
    """The defaults, changed by the model's metadata, changed by the JSON file; raises InputError for nonsense in the file.

    Metadata that does not fit was written for another program and is left alone; in the JSON file it is an error.
    """
    parsed = {key: _parsed(value) for key, value in metadata.items() if key in SETTINGS}
    fitting = {key: value for key, value in parsed.items() if _fits(key, value)}
    settings = _with_changes(OnnxSettings(), fitting, f"{name}'s metadata")
    if settings_json is None:
        return settings
    source = f"{name}'s JSON file"
    return _with_changes(settings, _from_json(settings_json, source), source)


def _from_json(data: bytes, source: str) -> dict[str, Any]:
    try:
        settings = json.loads(data)
    except ValueError as error:
        raise InputError(f"{source}: is not JSON ({error}); correct it or remove it.") from error
    if not isinstance(settings, dict):
        raise InputError(f"{source}: holds no object; write {{}} with settings inside.")
    return settings


def _with_changes(settings: OnnxSettings, changes: dict[str, Any], source: str) -> OnnxSettings:
    for key, value in changes.items():
        if key not in SETTINGS:
            raise InputError(f"{source}: unknown setting {key!r}; known are {', '.join(SETTINGS)}.")
        if not _fits(key, value):
            raise InputError(f"{source}: {key} = {value!r} does not fit; see OnnxSettings for what it takes.")
    frozen: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in changes.items()
    }
    return replace(settings, **frozen)


def _fits(key: str, value: Any) -> bool:
    if key == "classes":
        return isinstance(value, list) and all(isinstance(name, str) for name in value)
    if key in ("mean", "std"):
        numbers = isinstance(value, list) and all(type(number) in (int, float) for number in value)
        return numbers and len(value) == 3 and (key == "mean" or all(number > 0 for number in value))
    if key == "channels":
        return value in ("RGB", "BGR")
    return type(value) is int and value > 0


def _parsed(text: str) -> Any:
    """A metadata value: JSON where it is JSON, names between commas otherwise."""
    try:
        return json.loads(text)
    except ValueError:
        return [part.strip() for part in text.split(",")] if "," in text else text
