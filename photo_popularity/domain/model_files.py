"""Fitted scikit-learn models to bytes and back, without pickle.

Only the bytes belong here: a skops archive written so that the same fitted model always gives the same bytes. What a
model means, its card and its version belong to the module that trains it; where the bytes lie belongs to storage.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

from photo_popularity.domain.errors import InputError

# skops trusts numpy's types and scikit-learn's estimators by itself. These are the other parts of fitted forests,
# boosted trees and calibrated classifiers. A crafted tree can crash the process: read models from your own storage.
TRUSTED_TYPES = frozenset(
    {
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
    }
)

EARLIEST_DATE = (1980, 1, 1, 0, 0, 0)
UNIX = 3

# What zipfile, json, numpy and skops raise for an archive that is broken, foreign or from another version.
# zipfile says NotImplementedError for an unknown compression and RuntimeError for a password.
UNREADABLE = (
    zipfile.BadZipFile,
    EOFError,
    KeyError,
    ValueError,
    TypeError,
    ImportError,
    AttributeError,
    RuntimeError,
    OSError,
)


def dump_model(model: object) -> bytes:
    """The model as a `.skops` archive: the same fitted model gives the same bytes in any process.

    Takes estimators, and dicts, lists and plain values that hold them. Raises ValueError for what numpy's own format
    can't hold (sparse matrices): their bytes would not be the same twice.
    """
    # skops takes a second to import and not every run stores a model
    import skops.io

    return _canonical(skops.io.dumps(model))


def load_model(data: bytes, *, name: str = "model file") -> Any:
    """The model in an archive from `dump_model`; `name` is how errors call the file.

    Raises InputError for a broken archive and for types outside numpy, scikit-learn and `TRUSTED_TYPES`.
    """
    import skops.io

    try:
        untrusted = sorted(set(skops.io.get_untrusted_types(data=data)) - TRUSTED_TYPES)
        if untrusted:
            raise InputError(
                f"{name}: holds types that are not trusted ({', '.join(untrusted)}); "
                "use a model that this project trained, made of scikit-learn's own parts."
            )
        return skops.io.loads(data, trusted=sorted(TRUSTED_TYPES))
    except UNREADABLE as error:
        reason = str(error).strip() or type(error).__name__
        raise InputError(
            f"{name}: is not a readable .skops model ({reason.rstrip('.')}); train the model again."
        ) from error


def _canonical(archive: bytes) -> bytes:
    """The archive without what differs between two runs: addresses of objects, clock, order of members."""
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        contents = {member: source.read(member) for member in source.namelist()}
    schema = json.loads(contents.pop("schema.json"))
    foreign = sorted(member for member in contents if not member.endswith(".npy"))
    if foreign:
        raise ValueError(
            f"model holds {len(foreign)} parts that are not dense arrays; turn them into arrays first"
        )
    contents = {member: _without_padding(array) for member, array in contents.items()}
    names = {member: f"{hashlib.sha256(array).hexdigest()[:32]}.npy" for member, array in contents.items()}
    _strip_addresses(schema, names)
    members = {names[member]: array for member, array in contents.items()}
    members["schema.json"] = json.dumps(schema, separators=(",", ":")).encode()
    target = io.BytesIO()
    # stored, not deflated: another zlib gives other bytes
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as sink:
        for member in sorted(members):
            info = zipfile.ZipInfo(member, EARLIEST_DATE)
            info.create_system = UNIX
            info.external_attr = 0o644 << 16
            sink.writestr(info, members[member])
    return target.getvalue()


def _without_padding(array: bytes) -> bytes:
    """The `.npy` file with zeros between the fields of its records: what stands there is leftover memory."""
    import numpy as np

    records = np.load(io.BytesIO(array), allow_pickle=False)
    if not records.dtype.names:
        return array
    clean = np.zeros(records.shape, records.dtype)
    for field in records.dtype.names:
        clean[field] = records[field]
    target = io.BytesIO()
    np.save(target, clean, allow_pickle=False)
    return target.getvalue()


def _strip_addresses(node: Any, names: dict[str, str]) -> None:
    """Drop `__id__` (skops only shares equal objects by it) and name arrays by what they contain, in place."""
    if isinstance(node, list):
        for child in node:
            _strip_addresses(child, names)
    elif isinstance(node, dict):
        if "__loader__" in node:
            node.pop("__id__", None)
            if node.get("file") in names:
                node["file"] = names[node["file"]]
        for child in node.values():
            _strip_addresses(child, names)
        if node.get("__loader__") == "SetNode":
            # sets of strings iterate in another order in each process
            node["content"].sort(key=lambda child: json.dumps(child, sort_keys=True))
