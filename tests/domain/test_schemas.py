"""The columns of every table hang together, and are those that others rely on."""

from __future__ import annotations

import pyarrow as pa
import pytest

from photo_popularity.domain.features import FEATURES
from photo_popularity.domain.schemas import SCHEMAS

PROMISED = {
    "behavior_signals": "day photo_id views unique_visitors likes downloads bytes external_referrals robot_views",
    "popularity_predictions": "day photo_id expected_views model_version",
    "cat_dog_scores": "file p_cat p_dog model_version",
}


@pytest.mark.parametrize("asset", SCHEMAS)
def test_key_partition_and_index_are_columns_and_every_column_has_a_meaning(asset: str) -> None:
    schema = SCHEMAS[asset]
    indexed = {schema.index_column} if schema.index_column else set()
    assert {*schema.key, schema.partition_column} | indexed <= set(schema.columns)
    assert schema.partition_column == schema.key[0]
    assert schema.columns[schema.partition_column].required
    assert all(column.meaning.strip() for column in schema.columns.values())


@pytest.mark.parametrize("asset", SCHEMAS)
def test_the_parquet_schema_follows_the_columns(asset: str) -> None:
    schema = SCHEMAS[asset]
    assert [(f.name, f.type, not f.nullable) for f in schema.arrow] == [
        (name, column.type, column.required) for name, column in schema.columns.items()
    ]


@pytest.mark.parametrize(("asset", "columns"), PROMISED.items())
def test_the_columns_that_others_rely_on_are_there(asset: str, columns: str) -> None:
    assert set(columns.split()) <= set(SCHEMAS[asset].columns)


def test_days_are_dates_and_moments_are_in_utc() -> None:
    for schema in SCHEMAS.values():
        for name, column in schema.columns.items():
            if name in ("day", "feature_day"):
                assert column.type == pa.date32()
            if name.endswith("_at") and name != "taken_at":  # the camera's clock knows no zone
                assert column.type == pa.timestamp("us", tz="UTC")


def test_features_and_examples_have_the_same_features() -> None:
    for asset in ("photo_features", "training_examples"):
        assert set(FEATURES) <= set(SCHEMAS[asset].columns)
