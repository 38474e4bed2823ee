"""Train the cat and dog classifier from a folder of labelled photos, and say honestly how good it is.

Reading labels, training and the card belong here; how a trained model scores photos is in `classification`.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photo_popularity.domain.classification import CLASSES, mirrored_decisions
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.image_features import FEATURES_VERSION, PICTURE_PIXELS, image_features
from photo_popularity.domain.model_files import dump_model
from photo_popularity.domain.photos import load_pixels

FOLDS = 5
FEWEST_PHOTOS_PER_CLASS = 5
# on 1,236 photos of pets, 60 to 160 components with costs of 1 to 10 gave 0.75 to 0.78 in cross-validation
COMPONENTS = 160
SVM_COST = 3.0
CHUNK_PHOTOS = 256
LIBRARIES = ("numpy", "pillow", "scikit-learn", "skops")
LABELS = {**{name: name for name in CLASSES}, "cats": "cat", "dogs": "dog", "other": "neither"}

Features = NDArray[np.float32]
Labels = NDArray[np.str_]


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo file below the training folder and what it shows."""

    file: str
    path: Path
    label: str


@dataclass(frozen=True)
class TrainedClassifier:
    """A fitted model with its card; `data` is the `.skops` file that `SklearnClassifier` reads."""

    data: bytes
    card: dict[str, Any]


def train_classifier(folder: Path, *, seed: int = 0) -> TrainedClassifier:
    """Train on `folder/cat`, `folder/dog`, `folder/neither`, or on `folder/labels.csv` with `folder/images`.

    The same photos and seed give the same bytes. The card's accuracy is that of cross-validation, in which a photo
    and its mirror image never lie on both sides. Raises InputError for fewer than two classes or five photos of one.
    """
    # the limit reaches only libraries that are loaded: scikit-learn brings scipy's linear algebra, and threadpoolctl
    import sklearn.decomposition  # noqa: F401
    import sklearn.svm  # noqa: F401
    from threadpoolctl import threadpool_limits

    photos = labelled_photos(folder)
    pixels, labels, skipped = _load(photos)
    counts = Counter(labels.tolist())
    _check_counts(folder, counts, skipped)
    features, mirrored = _in_chunks(pixels), _in_chunks(pixels[:, :, ::-1])
    classes = sorted(counts)
    # sums of parallel threads differ in their last bits, so that the model's bytes would differ by machine; and on a
    # busy machine threads that wait for each other made this ten times slower
    with threadpool_limits(1):
        decisions = _out_of_fold(features, mirrored, labels, seed)
        pipeline = _fit(features, mirrored, labels, seed)
        calibrator = _fit_calibrator(decisions, labels)
    if len(classes) == 2:
        predicted = np.where(decisions[:, 0] > 0, classes[1], classes[0])
    else:
        predicted = np.array(classes)[decisions.argmax(axis=1)]
    card = {
        "features": FEATURES_VERSION,
        "classes": classes,
        "photos_per_class": {name: counts[name] for name in classes},
        "cross_validated_accuracy": round(float((predicted == labels).mean()), 4),
        "majority_share": round(max(counts.values()) / len(labels), 4),
        "folds": _folds(labels),
        "seed": seed,
        "skipped": skipped,
        "libraries": {name: version(name) for name in LIBRARIES},
    }
    return TrainedClassifier(dump_model({"pipeline": pipeline, "calibrator": calibrator, "card": card}), card)


def labelled_photos(folder: Path) -> list[LabelledPhoto]:
    """The labelled photos of a folder, sorted by file; raises InputError where there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; name the folder of labelled photos.")
    found = _from_csv(folder) if (folder / "labels.csv").is_file() else _from_folders(folder)
    photos = sorted(found, key=lambda photo: photo.file)
    if not photos:
        raise InputError(
            f"{folder}: holds no labelled photos; put them into folders cat, dog and neither, "
            "or list them as file,label in labels.csv beside a folder images."
        )
    return photos


def _from_csv(folder: Path) -> Iterator[LabelledPhoto]:
    table = folder / "labels.csv"
    with table.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        if not {"file", "label"} <= set(reader.fieldnames or ()):
            raise InputError(f"{table}: lacks the columns file and label; add a first line that names them.")
        for row in reader:
            label = LABELS.get((row["label"] or "").strip().lower())
            if label is None:
                raise InputError(
                    f"{table}, line {reader.line_num}: unknown label {row['label']!r}; "
                    f"write one of {', '.join(CLASSES)}."
                )
            yield LabelledPhoto(row["file"], folder / "images" / row["file"], label)


def _from_folders(folder: Path) -> Iterator[LabelledPhoto]:
    for part in folder.iterdir():
        label = LABELS.get(part.name.lower())
        if label is not None and part.is_dir():
            for path in part.rglob("*"):
                if path.is_file() and not path.name.startswith("."):
                    yield LabelledPhoto(path.relative_to(folder).as_posix(), path, label)


def _load(photos: list[LabelledPhoto]) -> tuple[NDArray[np.uint8], Labels, dict[str, str]]:
    pixels, labels, skipped = [], [], {}
    for photo in photos:
        try:
            pixels.append(load_pixels(photo.path.read_bytes(), size=PICTURE_PIXELS))
            labels.append(photo.label)
        except InputError as error:
            skipped[photo.file] = str(error)
        except OSError as error:
            skipped[photo.file] = (
                f"The file cannot be read ({error.strerror}); check labels.csv and the folder."
            )
    shape = (0, PICTURE_PIXELS, PICTURE_PIXELS, 3)
    return np.stack(pixels) if pixels else np.empty(shape, np.uint8), np.array(labels, dtype=np.str_), skipped


def _check_counts(folder: Path, counts: Counter[str], skipped: dict[str, str]) -> None:
    if len(counts) < 2 or min(counts.values()) < FEWEST_PHOTOS_PER_CLASS:
        found = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
        raise InputError(
            f"{folder}: training needs two classes with {FEWEST_PHOTOS_PER_CLASS} readable photos each, "
            f"and there are: {found} ({len(skipped)} skipped); add photos."
        )


def _in_chunks(pixels: NDArray[np.uint8]) -> Features:
    """Features of many photos without the memory of all their gradients at once."""
    starts = range(0, len(pixels), CHUNK_PHOTOS)
    return np.concatenate([image_features(pixels[start : start + CHUNK_PHOTOS]) for start in starts])


def _folds(labels: Labels) -> int:
    return min(FOLDS, *Counter(labels.tolist()).values())


def _out_of_fold(features: Features, mirrored: Features, labels: Labels, seed: int) -> NDArray[np.float64]:
    """Decision values of every photo by a model that saw neither the photo nor its mirror image."""
    # scikit-learn takes a second to import, and only training needs it
    from sklearn.model_selection import StratifiedKFold

    parts = []
    for known, unseen in StratifiedKFold(_folds(labels), shuffle=True, random_state=seed).split(
        features, labels
    ):
        pipeline = _fit(features[known], mirrored[known], labels[known], seed)
        parts.append((unseen, mirrored_decisions(pipeline, features[unseen], mirrored[unseen])))
    decisions = np.empty((len(labels), parts[0][1].shape[1]))
    for unseen, values in parts:
        decisions[unseen] = values
    return decisions


def _fit(features: Features, mirrored: Features, labels: Labels, seed: int) -> Any:
    """A support vector machine on principal components of each photo and its mirror image."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    both = np.concatenate([features, mirrored])
    components = min(COMPONENTS, len(features) - 1)
    reduce = PCA(components, svd_solver="randomized", random_state=seed)
    return make_pipeline(StandardScaler(), reduce, SVC(C=SVM_COST)).fit(
        both, np.concatenate([labels, labels])
    )


def _fit_calibrator(decisions: NDArray[np.float64], labels: Labels) -> Any:
    """Decision values to probabilities (Platt 1999), learnt on values of photos that the model had not seen."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000).fit(decisions, labels)
