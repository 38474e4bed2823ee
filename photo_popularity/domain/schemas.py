"""The columns of every table: one place for their types, meaning and keys.

Storage casts to these schemas, the catalogue page shows them, and `photo-popularity query` names its tables after them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from photo_popularity.domain.features import FEATURES

TIMESTAMP = pa.timestamp("us", tz="UTC")
COUNT = pa.int64()


@dataclass(frozen=True)
class Column:
    """A column's type and what it means; a column that is `required` is never null."""

    type: pa.DataType
    meaning: str
    required: bool = True


@dataclass(frozen=True)
class TableSchema:
    """The columns of one table.

    Rows are unique in `key` and sorted by it. `partition_column` is the column whose value is a row's partition key.
    The distinct values of `index_column` are kept in the catalog beside the output, so that a reader can find the
    outputs that hold a day or a file without opening them.
    """

    columns: dict[str, Column]
    key: tuple[str, ...]
    partition_column: str
    index_column: str | None = None

    @cached_property
    def arrow(self) -> pa.Schema:
        """The schema of the Parquet file."""
        fields = [pa.field(name, c.type, nullable=not c.required) for name, c in self.columns.items()]
        return pa.schema(fields)


DAY = Column(pa.date32(), "UTC day")
FILE = Column(pa.string(), "Path of the photo file below the photo folder")
LOG_FILE = Column(pa.string(), "Path of the log file below the log folder")
PHOTO_ID = Column(pa.string(), "The photo")
MODEL_VERSION = Column(pa.string(), "Version of the model that made this row")


FILES = {
    "file": Column(pa.string(), "Path below the folder"),
    "size": Column(pa.int64(), "Bytes"),
    "content_version": Column(pa.string(), "Hash of the bytes"),
}
"""What is known of the files of a source."""


def _feature_columns() -> dict[str, Column]:
    return {name: Column(pa.float64(), meaning, required=False) for name, meaning in FEATURES.items()}


PHOTO_METADATA = TableSchema(
    {
        "day": Column(pa.date32(), "UTC day of upload; the partition key"),
        "photo_id": PHOTO_ID,
        "owner_id": Column(pa.string(), "Who uploaded it"),
        "title": Column(pa.string(), "Title as the owner typed it", required=False),
        "album": Column(pa.string(), "Album the owner put it in", required=False),
        "file": Column(pa.string(), "Path of the photo's file below the photo folder"),
        "width": Column(pa.int32(), "Pixels, as the database has it", required=False),
        "height": Column(pa.int32(), "Pixels, as the database has it", required=False),
        "uploaded_at": Column(TIMESTAMP, "When it was uploaded"),
        "updated_at": Column(TIMESTAMP, "When its row was last changed", required=False),
        "deleted_at": Column(TIMESTAMP, "When it was deleted; null while it lives", required=False),
        "owner_joined_at": Column(TIMESTAMP, "When the owner joined", required=False),
    },
    key=("day", "photo_id"),
    partition_column="day",
    index_column="file",
)

_IN_DATABASE = {"file": "photos.file_name", "owner_joined_at": "users.joined_at"}
PHOTO_ROWS = {
    _IN_DATABASE.get(name, f"photos.{name}"): column
    for name, column in PHOTO_METADATA.columns.items()
    if name != "day"
}
"""The columns of the photo database that are read."""

PHOTO_CONTENT = TableSchema(
    {
        "file": FILE,
        "content_version": Column(pa.string(), "Hash of the file's bytes"),
        "bytes": Column(COUNT, "Size of the file in bytes"),
        "format": Column(pa.string(), "Image format by content, not by name", required=False),
        "width": Column(pa.int32(), "Pixels as displayed, orientation applied", required=False),
        "height": Column(pa.int32(), "Pixels as displayed, orientation applied", required=False),
        "frames": Column(pa.int32(), "Frames of an animation, else 1", required=False),
        "orientation": Column(pa.int32(), "EXIF orientation, 1 to 8", required=False),
        "taken_at": Column(pa.timestamp("us"), "EXIF date of the shot, camera's clock", required=False),
        "camera": Column(pa.string(), "EXIF make and model", required=False),
        "has_gps": Column(pa.bool_(), "Whether EXIF has a GPS directory", required=False),
        "brightness": Column(pa.float64(), "Mean luminance, 0 to 1", required=False),
        "contrast": Column(pa.float64(), "Spread of luminance, 0 to 1", required=False),
        "saturation": Column(pa.float64(), "Mean saturation, 0 to 1", required=False),
        "warmth": Column(pa.float64(), "Mean red minus mean blue, -1 to 1", required=False),
        "sharpness": Column(pa.float64(), "Strength of edges, 0 or more", required=False),
        "problem": Column(pa.string(), "Why the file could not be read; null when it could", required=False),
    },
    key=("file",),
    partition_column="file",
)

CAT_DOG_SCORES = TableSchema(
    {
        "file": FILE,
        "p_cat": Column(pa.float64(), "Probability that it shows a cat"),
        "p_dog": Column(pa.float64(), "Probability that it shows a dog"),
        "p_neither": Column(pa.float64(), "Probability that it shows neither"),
        "model_version": MODEL_VERSION,
    },
    key=("file",),
    partition_column="file",
)

LOG_SIGNALS = TableSchema(
    {
        "file": LOG_FILE,
        "day": DAY,
        "photo_id": Column(pa.string(), "The photo; null for good lines about no photo", required=False),
        "lines": Column(COUNT, "Good lines behind this row"),
        "views": Column(COUNT, "Views by people"),
        "likes": Column(COUNT, "Likes by people"),
        "downloads": Column(COUNT, "Downloads by people"),
        "bytes": Column(COUNT, "Bytes sent for views by people"),
        "external_referrals": Column(COUNT, "Views by people that came from another site"),
        "robot_views": Column(COUNT, "Views by robots"),
        "visitors": Column(pa.list_(pa.uint64()), "Salted hashes of the client addresses behind the views"),
        "salt_version": Column(pa.string(), "Version of the salt of those hashes"),
    },
    key=("file", "day", "photo_id"),
    partition_column="file",
    index_column="day",
)

QUARANTINED_LINES = TableSchema(
    {
        "file": LOG_FILE,
        "line_number": Column(COUNT, "Line in the file, the first is 1"),
        "reason": Column(pa.string(), "Why the line was not counted"),
        "line": Column(pa.string(), "The line, cut at 500 characters, other bytes as \\xNN"),
        "lines": Column(COUNT, "Lines behind this row: 1, or all further ones of a file with very many"),
    },
    key=("file", "line_number"),
    partition_column="file",
)

BEHAVIOR_SIGNALS = TableSchema(
    {
        "day": DAY,
        "photo_id": PHOTO_ID,
        "views": Column(COUNT, "Views by people"),
        "unique_visitors": Column(COUNT, "Distinct client addresses behind the views"),
        "likes": Column(COUNT, "Likes by people"),
        "downloads": Column(COUNT, "Downloads by people"),
        "bytes": Column(COUNT, "Bytes sent for views by people"),
        "external_referrals": Column(COUNT, "Views by people that came from another site"),
        "robot_views": Column(COUNT, "Views by robots"),
    },
    key=("day", "photo_id"),
    partition_column="day",
)

PHOTO_FEATURES = TableSchema(
    {"day": DAY, "photo_id": PHOTO_ID, **_feature_columns()},
    key=("day", "photo_id"),
    partition_column="day",
)

TRAINING_EXAMPLES = TableSchema(
    {
        "day": Column(pa.date32(), "Night on which the label became complete; the partition key"),
        "feature_day": Column(pa.date32(), "Day whose end the features describe, seven days earlier"),
        "photo_id": PHOTO_ID,
        **_feature_columns(),
        "views_next_7_days": Column(
            pa.float64(), "Label: views by people in the seven days after feature_day"
        ),
    },
    key=("day", "photo_id"),
    partition_column="day",
)

MODEL_EVALUATION = TableSchema(
    {
        "day": Column(pa.date32(), "Night of the model"),
        "segment": Column(pa.string(), "all, known (photos with views) or new (photos without)"),
        "predictor": Column(pa.string(), "model, or the baseline's name"),
        "examples": Column(COUNT, "Held-out examples"),
        "spearman": Column(pa.float64(), "Rank correlation with the views", required=False),
        "spearman_low": Column(pa.float64(), "95% interval, lower end", required=False),
        "spearman_high": Column(pa.float64(), "95% interval, upper end", required=False),
        "mae_log1p": Column(pa.float64(), "Mean absolute error of log(1 + views)", required=False),
        "mae_log1p_low": Column(pa.float64(), "95% interval, lower end", required=False),
        "mae_log1p_high": Column(pa.float64(), "95% interval, upper end", required=False),
        "promoted": Column(pa.bool_(), "Whether the model beats every baseline with margin"),
        "model_version": MODEL_VERSION,
    },
    key=("day", "segment", "predictor"),
    partition_column="day",
)

POPULARITY_PREDICTIONS = TableSchema(
    {
        "day": Column(pa.date32(), "Night of the prediction"),
        "photo_id": PHOTO_ID,
        "expected_views": Column(pa.float64(), "Views by people expected in the seven days after the night"),
        "is_new": Column(pa.bool_(), "Whether the photo had no view yet"),
        "model_version": MODEL_VERSION,
    },
    key=("day", "photo_id"),
    partition_column="day",
)

MODELS = {
    "day": Column(pa.date32(), "Night on which the model was trained; the partition key"),
    "model_version": MODEL_VERSION,
    "path": Column(pa.string(), "The model's file; its card lies beside it as .json"),
    "bytes": Column(COUNT, "Size of the file"),
    "estimator": Column(pa.string(), "The estimator's class"),
    "target": Column(pa.string(), "What it predicts"),
    "seed": Column(COUNT, "Seed of its random numbers"),
    "trained_from": Column(pa.date32(), "First day of the training examples"),
    "trained_until": Column(pa.date32(), "Last day of the training examples"),
    "examples": Column(COUNT, "Training examples"),
    "card": Column(pa.string(), "The whole card as JSON: features, metrics, library versions"),
}
"""What is known of the models: their files are no tables, and queries see them as this one."""

SCHEMAS: dict[str, TableSchema] = {
    "photo_metadata": PHOTO_METADATA,
    "photo_content": PHOTO_CONTENT,
    "cat_dog_scores": CAT_DOG_SCORES,
    "log_signals": LOG_SIGNALS,
    "quarantined_lines": QUARANTINED_LINES,
    "behavior_signals": BEHAVIOR_SIGNALS,
    "photo_features": PHOTO_FEATURES,
    "training_examples": TRAINING_EXAMPLES,
    "model_evaluation": MODEL_EVALUATION,
    "popularity_predictions": POPULARITY_PREDICTIONS,
}
