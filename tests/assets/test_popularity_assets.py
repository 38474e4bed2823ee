"""The assets of learning, called as the plain functions that they are."""

from __future__ import annotations

import base64
import io
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from assets.popularity_predictions import popularity_predictions
from assets.training_examples import training_examples
from photo_popularity.domain.errors import InputError
from tests.assets.test_photo_assets import work_on
from tests.night_fixtures import Place
from tests.photo_site import LAST_DAY


def inputs(place: Place) -> dict[str, Any]:
    storage, catalog = place.installation.storage, place.installation.catalog
    night = str(LAST_DAY)
    outputs = {"photo_features": {night: catalog.current("photo_features")[night]}}
    outputs |= {asset: catalog.current(asset) for asset in ("photo_metadata", "photo_content")}
    models = storage.read_models({night: catalog.current("popularity_model")[night]})
    return {
        "popularity_model": models,
        **{asset: storage.read_table(asset, its) for asset, its in outputs.items()},
    }


def picture(shown: str) -> Image.Image:
    return Image.open(
        io.BytesIO(base64.b64decode(shown.removeprefix("![](data:image/png;base64,").removesuffix(")")))
    )


def test_each_photo_of_the_night_is_predicted_and_the_leading_ones_are_shown(place: Place) -> None:
    given = inputs(place)
    result = popularity_predictions(
        work_on(str(LAST_DAY)), **given, photo_files=place.installation.file_sources["photo_files"]
    )
    assert len(result.made) == len(given["photo_features"]) == 8
    shown = result.metadata["most_popular"].value
    assert len(shown) < 200_000
    assert picture(shown).width > 500


def test_a_photo_without_its_file_is_a_grey_tile(place: Place) -> None:
    """The sheet of photos that cannot be read has hardly a colour in it."""
    given = inputs(place)
    for path in list(place.site.photos.rglob("*.jpg"))[:2]:
        path.unlink()
    given["photo_content"] = given["photo_content"].assign(problem="not read")
    result = popularity_predictions(
        work_on(str(LAST_DAY)), **given, photo_files=place.installation.file_sources["photo_files"]
    )
    saturation = picture(result.metadata["most_popular"].value).convert("HSV").getchannel("S")
    assert not any(saturation.histogram()[140:])  # ink is a dark blue


def test_a_night_without_a_living_photo_is_one_sentence(place: Place) -> None:
    given = inputs(place)
    given["photo_features"] = given["photo_features"].iloc[:0]
    with pytest.raises(InputError, match="no photo is alive"):
        popularity_predictions(
            work_on(str(LAST_DAY)), **given, photo_files=place.installation.file_sources["photo_files"]
        )


def test_the_examples_of_a_night_are_those_whose_seven_days_are_over(place: Place) -> None:
    storage, catalog = place.installation.storage, place.installation.catalog
    features = storage.read_table("photo_features", catalog.current("photo_features"))
    behavior = storage.read_table("behavior_signals", catalog.current("behavior_signals"))
    assert isinstance(behavior, pd.DataFrame)
    examples = training_examples(work_on("2026-10-20"), features, behavior)
    assert set(examples["day"]) == {pd.Timestamp("2026-10-20")}
    assert set(examples["feature_day"]) == {pd.Timestamp("2026-10-13")}
    window = behavior[(behavior["day"] > "2026-10-13") & (behavior["day"] <= "2026-10-20")]
    expected = window.groupby("photo_id")["views"].sum()
    assert examples.set_index("photo_id")["views_next_7_days"].to_dict() == expected.to_dict()
