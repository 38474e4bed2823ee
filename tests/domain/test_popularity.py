"""Training examples, the split in time, the model file and its predictions."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from photo_popularity.domain.errors import InputError
from photo_popularity.domain.features import FEATURES
from photo_popularity.domain.model_files import dump_model
from photo_popularity.domain.popularity import (
    LABEL,
    build_examples,
    expected_views,
    held_out_nights,
    predict,
    read_model,
    train_model,
    with_arrivals,
)

FIRST_NIGHT = pd.Timestamp("2026-03-08")


def features(*rows: tuple[str, str], **values: float) -> pd.DataFrame:
    """(day, photo) rows whose features are all unknown but `values`."""
    frame = pd.DataFrame(
        {"day": pd.Series([r[0] for r in rows], dtype="datetime64[us]"), "photo_id": [r[1] for r in rows]}
    )
    known: dict[str, float] = {"age_days": 3.0, "age_outlook": 10.0, "views_28d": 5.0} | values
    for name in FEATURES:
        frame[name] = known.get(name, np.nan)
    return frame


def behavior(*rows: tuple[str, str, int]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "day": pd.Series([r[0] for r in rows], dtype="datetime64[us]"),
            "photo_id": pd.Series([r[1] for r in rows], dtype="str"),
            "views": pd.Series([r[2] for r in rows], dtype="int64"),
        }
    )


def examples(nights: int, *, photos: int = 30, seed: int = 1) -> pd.DataFrame:
    """Photos whose views follow their brightness, with a heavy tail of chance."""
    rng = np.random.default_rng(seed)
    days = np.repeat(pd.date_range(FIRST_NIGHT, periods=nights).as_unit("us"), photos)
    ids = np.tile([f"p{n:03d}" for n in range(photos)], nights)
    brightness = np.tile(np.linspace(0, 1, photos), nights)
    frame = pd.DataFrame({"day": days, "feature_day": days - pd.Timedelta(days=7), "photo_id": ids})
    known: dict[str, Any] = {"brightness": brightness, "age_days": 2.0, "views_28d": 5.0, "age_outlook": 10.0}
    for name in FEATURES:
        frame[name] = known.get(name, np.nan)
    frame[LABEL] = rng.poisson(20 * brightness * rng.gamma(0.5, 2, len(frame))).astype("float64")
    return frame


def night(number: int) -> pd.Timestamp:
    return FIRST_NIGHT + pd.Timedelta(days=number - 1)


def test_the_label_is_the_views_of_the_seven_days_after_the_feature_day() -> None:
    views = behavior(
        ("2026-03-01", "a", 1000),  # the feature day itself
        ("2026-03-02", "a", 1),
        ("2026-03-05", "a", 20),
        ("2026-03-08", "a", 300),
        ("2026-03-09", "a", 5000),  # after the night
        ("2026-03-05", "not_in_features", 7),
    )
    rows = build_examples(
        [pd.Timestamp("2026-03-08")],
        features=features(("2026-03-01", "b"), ("2026-03-01", "a"), ("2026-02-28", "a")),
        behavior=views,
    )
    assert list(rows.columns) == ["day", "feature_day", "photo_id", *FEATURES, LABEL]
    shown = rows.assign(day=rows["day"].dt.day, feature_day=rows["feature_day"].dt.day)
    assert shown[["day", "feature_day", "photo_id", LABEL]].to_numpy().tolist() == [
        [8, 1, "a", 321.0],
        [8, 1, "b", 0.0],
    ]
    assert [str(rows[c].dtype) for c in ("day", "feature_day")] == ["datetime64[us]"] * 2


def test_each_night_has_its_own_window_and_nights_without_features_have_no_rows() -> None:
    rows = build_examples(
        list(pd.date_range("2026-03-08", "2026-03-20")),
        features=features(("2026-03-01", "a"), ("2026-03-02", "a")),
        behavior=behavior(("2026-03-02", "a", 1), ("2026-03-09", "a", 10)),
    )
    assert rows[["day", LABEL]].to_numpy().tolist() == [
        [pd.Timestamp("2026-03-08"), 1.0],
        [pd.Timestamp("2026-03-09"), 10.0],
    ]


@pytest.mark.parametrize(
    ("nights", "tests"),
    [
        (14, 1),  # nights 1 to 7 to learn from, 8 to 13 overlap with the label of night 14
        (16, 3),
        (20, 7),
        (40, 7),
    ],
)
def test_the_last_nights_are_held_out_and_a_week_before_them_is_left_alone(nights: int, tests: int) -> None:
    held_out = held_out_nights(examples(nights, photos=1), night=night(nights))
    assert held_out == [night(number) for number in range(nights - tests + 1, nights + 1)]


def test_too_few_nights_say_how_many_are_needed() -> None:
    with pytest.raises(InputError, match=r"2026-03-20: 13 nights of training examples, but 14 in a row are"):
        train_model(examples(13), night=night(13))


def test_examples_of_later_nights_do_not_count_as_nights() -> None:
    with pytest.raises(InputError, match="10 nights"):
        train_model(examples(30), night=night(10))


def test_a_site_without_views_cannot_be_learnt() -> None:
    with pytest.raises(InputError, match="not one view"):
        train_model(examples(20).assign(**{LABEL: 0.0}), night=night(20))


def test_the_holdout_estimator_has_seen_no_label_that_ended_after_the_first_test_features() -> None:
    frame = examples(25)
    model = train_model(frame, night=night(25))
    first_feature_day = frame.loc[
        frame["day"] == pd.Timestamp(model.card["test_nights"][0]), "feature_day"
    ].iloc[0]
    planted = frame.copy()
    planted.loc[planted["day"] > first_feature_day, LABEL] = 9999.0
    again = train_model(planted, night=night(25))
    assert dump_model(again.holdout) == dump_model(model.holdout)
    assert dump_model(again.final) != dump_model(model.final)
    planted.loc[planted["day"] == first_feature_day, LABEL] = 9999.0
    assert dump_model(train_model(planted, night=night(25)).holdout) != dump_model(model.holdout)


def test_examples_after_the_night_change_nothing() -> None:
    frame = examples(25)
    assert (
        train_model(frame, night=night(20)).data
        == train_model(frame[frame["day"] <= night(20)], night=night(20)).data
    )


def test_the_same_examples_and_seed_give_the_same_bytes_and_another_seed_others() -> None:
    frame = examples(20)
    first, again = train_model(frame, night=night(20)), train_model(frame.copy(), night=night(20))
    assert first.data == again.data
    assert first.version == again.version
    assert re.fullmatch("popularity-[0-9a-f]{12}", first.version)
    assert train_model(frame, night=night(20), seed=1).version != first.version


def test_a_model_file_gives_back_the_same_model() -> None:
    model = train_model(examples(20), night=night(20))
    read = read_model(model.data)
    rows = features(("2026-03-27", "a"), ("2026-03-27", "b"), brightness=0.7)
    pd.testing.assert_frame_equal(predict(read, rows), predict(model, rows))
    assert read.card == model.card
    assert read.version == model.version


def test_a_file_that_holds_something_else_is_refused() -> None:
    with pytest.raises(InputError, match=r"night\.skops: holds no popularity model"):
        read_model(dump_model({"final": None}), name="night.skops")
    other = dump_model({"holdout": None, "final": None, "card": {"features": ["age_days"]}})
    with pytest.raises(InputError, match="other features"):
        read_model(other)


def test_the_card_says_what_it_was_trained_on_and_is_plain_json() -> None:
    card = train_model(examples(20), night=night(20)).card
    assert card["night"] == "2026-03-27"
    assert card["trained_on"] == {"from": "2026-03-01", "until": "2026-03-20", "examples": 600}
    assert card["holdout_trained_on"] == {"from": "2026-03-01", "until": "2026-03-07", "examples": 210}
    assert card["test_nights"][0] == "2026-03-21"
    assert json.loads(json.dumps(card)) == card


def test_expected_views_are_a_mean_even_where_the_tail_is_heavy() -> None:
    """A median, or the mean of a logarithm, would be far below the mean of such counts."""
    frame = examples(30, photos=60)
    model = train_model(frame, night=night(30))
    expected = expected_views(model.final, frame)
    assert expected.sum() == pytest.approx(frame[LABEL].sum(), rel=0.02)
    assert np.median(frame[LABEL]) < 0.5 * frame[LABEL].mean()


def test_predictions_are_never_negative_and_say_who_is_new() -> None:
    model = train_model(examples(20), night=night(20))
    rows = pd.concat(
        [features(("2026-03-27", "seen"), brightness=0.0), features(("2026-03-27", "fresh"), views_28d=0.0)]
    )
    predictions = predict(model, rows)
    assert list(predictions.columns) == ["day", "photo_id", "expected_views", "is_new", "model_version"]
    assert predictions[["photo_id", "is_new"]].to_numpy().tolist() == [["fresh", True], ["seen", False]]
    assert (predictions["expected_views"] >= 0).all()
    assert set(predictions["model_version"]) == {model.version}


def test_no_photos_get_no_predictions() -> None:
    model = train_model(examples(20), night=night(20))
    assert predict(model, features(("2026-03-27", "a")).iloc[:0]).empty


def test_a_first_night_is_learnt_from_twice_and_the_second_time_without_its_views() -> None:
    rows = pd.concat(
        [
            features(("2026-03-01", "first_night"), age_days=0.5),
            features(("2026-03-01", "older"), age_days=1.5),
            features(("2026-03-01", "unseen"), age_days=0.5, views_28d=0.0),
        ],
        ignore_index=True,
    )
    twice = with_arrivals(rows)
    assert twice["photo_id"].tolist() == ["first_night", "older", "unseen", "first_night"]
    assert twice["views_28d"].tolist() == [5.0, 5.0, 0.0, 0.0]
    assert twice["age_days"].tolist() == [0.5, 1.5, 0.5, 0.0]
