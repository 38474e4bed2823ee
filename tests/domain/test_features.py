"""Features: literal sites in, literal numbers out, and nothing from the future."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from photo_popularity.domain.features import FEATURES, as_uploaded, build_features, is_new

DAY = pd.Timestamp("2026-03-10")


def photos(*rows: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(
        [
            {
                "owner_id": "ann",
                "title": "A cat",
                "album": "cats",
                "file": f"{row['photo_id']}.jpg",
                "width": 400,
                "height": 200,
                "updated_at": row["uploaded_at"],
                "deleted_at": None,
                "owner_joined_at": "2026-03-01",
            }
            | row
            for row in rows
        ]
    )
    for name in ("uploaded_at", "updated_at", "deleted_at", "owner_joined_at"):
        frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    frame.insert(0, "day", frame["uploaded_at"].dt.tz_localize(None).dt.floor("D"))
    return frame


def behavior(*rows: tuple[str, str, int]) -> pd.DataFrame:
    """(day, photo, views); each view is one visitor's, every tenth view a like, and there is one robot a day."""
    return pd.DataFrame(
        {
            "day": pd.Series([row[0] for row in rows], dtype="datetime64[us]"),
            "photo_id": pd.Series([row[1] for row in rows], dtype="str"),
            "views": pd.Series([row[2] for row in rows], dtype="int64"),
            "unique_visitors": pd.Series([row[2] for row in rows], dtype="int64"),
            "likes": pd.Series([row[2] // 10 for row in rows], dtype="int64"),
            "downloads": pd.Series([0 for _ in rows], dtype="int64"),
            "bytes": pd.Series([1000 for _ in rows], dtype="int64"),
            "external_referrals": pd.Series([1 for _ in rows], dtype="int64"),
            "robot_views": pd.Series([1 for _ in rows], dtype="int64"),
        }
    )


def content(*files: str) -> pd.DataFrame:
    measured = {"brightness": 0.5, "contrast": 0.25, "saturation": 0.75, "warmth": -0.1, "sharpness": 0.03}
    return pd.DataFrame(
        [{"file": file, "width": 40, "height": 20, "has_gps": True, **measured} for file in files],
        columns=["file", "width", "height", "has_gps", *measured],
    )


def scores(*files: str) -> pd.DataFrame:
    chances = {"p_cat": 0.7, "p_dog": 0.2, "p_neither": 0.1}
    return pd.DataFrame([{"file": file, **chances} for file in files], columns=["file", *chances])


def features_of(
    frame: pd.DataFrame, views: pd.DataFrame, *, days: list[pd.Timestamp] | None = None
) -> pd.DataFrame:
    return build_features(
        days or [DAY], photos=frame, content=content(), scores=scores(), behavior=views
    ).set_index("photo_id")


def test_a_photo_has_one_row_for_each_day_it_is_alive_at_the_end_of() -> None:
    site = photos(
        {"photo_id": "last_minute", "uploaded_at": "2026-03-10T23:59:59"},
        {"photo_id": "tomorrow", "uploaded_at": "2026-03-11T00:00:00"},
        {"photo_id": "deleted", "uploaded_at": "2026-03-09", "deleted_at": "2026-03-10T12:00:00"},
        {"photo_id": "dies_at_midnight", "uploaded_at": "2026-03-09", "deleted_at": "2026-03-11"},
    )
    days = [pd.Timestamp("2026-03-09"), DAY, pd.Timestamp("2026-03-11")]
    rows = build_features(days, photos=site, content=content(), scores=scores(), behavior=behavior())
    assert list(zip(rows["day"].dt.day, rows["photo_id"], strict=True)) == [
        (9, "deleted"),
        (9, "dies_at_midnight"),
        (10, "dies_at_midnight"),
        (10, "last_minute"),
        (11, "last_minute"),
        (11, "tomorrow"),
    ]


def test_columns_are_day_photo_and_the_listed_features_as_floats() -> None:
    site = photos({"photo_id": "a", "uploaded_at": "2026-03-10"})
    for days in ([DAY], []):
        rows = build_features(days, photos=site, content=content(), scores=scores(), behavior=behavior())
        assert list(rows.columns) == ["day", "photo_id", *FEATURES]
        assert str(rows["day"].dtype) == "datetime64[us]"
        assert {str(rows[name].dtype) for name in FEATURES} == {"float64"}


def test_upload_time_becomes_age_hour_weekday_and_tenure() -> None:
    # the 9th of March 2026 is a Monday
    row = features_of(photos({"photo_id": "a", "uploaded_at": "2026-03-09T06:00:00"}), behavior()).loc["a"]
    assert row["age_days"] == 1.75
    assert (row["upload_hour_sin"], row["upload_hour_cos"]) == pytest.approx((1.0, 0.0))
    assert (row["upload_weekday_sin"], row["upload_weekday_cos"]) == (0.0, 1.0)
    assert row["owner_tenure_days"] == 8.25


def test_an_unknown_joining_date_leaves_the_tenure_unknown() -> None:
    site = photos({"photo_id": "a", "uploaded_at": "2026-03-09", "owner_joined_at": None})
    assert features_of(site, behavior())["owner_tenure_days"].isna().all()


def test_views_are_summed_over_1_3_7_and_28_days_and_older_ones_are_forgotten() -> None:
    views = behavior(
        ("2026-02-10", "a", 1000),  # 28 days before the day: outside
        ("2026-02-11", "a", 100),
        ("2026-03-03", "a", 40),
        ("2026-03-04", "a", 20),
        ("2026-03-08", "a", 3),
        ("2026-03-09", "a", 2),
    )
    row = features_of(photos({"photo_id": "a", "uploaded_at": "2026-01-01"}), views).loc["a"]
    assert [row[name] for name in ("views_1d", "views_3d", "views_7d", "views_28d")] == [0, 5, 25, 165]
    assert row["likes_28d"] == 16
    assert row["like_rate"] == pytest.approx(16 / 165)
    assert row["external_referrals_28d"] == 5
    assert row["robot_views_28d"] == 5
    assert row["unique_visitors_7d"] == 25
    assert row["days_since_view"] == 1
    assert row["trend"] == pytest.approx(np.log((5 / 3 + 1) / (20 / 4 + 1)))


def test_a_photo_without_behaviour_has_zeros_and_unknown_rates() -> None:
    row = features_of(photos({"photo_id": "a", "uploaded_at": "2026-03-09"}), behavior()).loc["a"]
    assert [row[name] for name in ("views_1d", "views_28d", "likes_28d", "robot_views_28d")] == [0, 0, 0, 0]
    assert row[["like_rate", "days_since_view", "owner_views_per_photo_day"]].isna().all()


def test_a_photo_in_the_logs_that_the_database_does_not_know_is_ignored() -> None:
    site = photos({"photo_id": "a", "uploaded_at": "2026-03-09"})
    with_stranger = features_of(site, behavior(("2026-03-10", "a", 3), ("2026-03-10", "stranger", 99)))
    assert list(with_stranger.index) == ["a"]
    assert with_stranger.loc["a", "site_views_1d"] == 3


def test_owner_features_leave_the_photo_itself_out() -> None:
    site = photos(
        {"photo_id": "a", "uploaded_at": "2026-03-09"},
        {"photo_id": "b", "uploaded_at": "2026-03-07"},
        {"photo_id": "c", "uploaded_at": "2026-03-10"},
        {"photo_id": "of_bob", "uploaded_at": "2026-03-10", "owner_id": "bob"},
    )
    views = behavior(("2026-03-09", "a", 10), ("2026-03-08", "b", 6), ("2026-03-10", "b", 2))
    rows = features_of(site, views)
    assert rows.loc["a", "owner_views_per_photo_day"] == pytest.approx(8 / 5)
    assert rows.loc["b", "owner_views_per_photo_day"] == pytest.approx(10 / 3)
    assert rows.loc["c", "owner_views_per_photo_day"] == pytest.approx(18 / 6)
    assert rows.loc["c", "owner_first_week_views"] == pytest.approx((10 + 8) / 2)
    assert rows.loc["c", "owner_photos"] == 2
    assert rows.loc["of_bob", "owner_photos"] == 0
    assert rows.loc[["of_bob"], "owner_relative_views"].isna().all()


def test_outlook_is_the_views_by_age_of_the_site_scaled_by_how_the_photo_did() -> None:
    # every photo has 8 views on its first day and 4 on its second; "twice" has double that
    site = photos(
        {"photo_id": "usual", "uploaded_at": "2026-03-09"},
        {"photo_id": "twice", "uploaded_at": "2026-03-09"},
        {"photo_id": "fresh", "uploaded_at": "2026-03-10"},
    )
    views = behavior(
        ("2026-03-09", "usual", 4),
        ("2026-03-10", "usual", 2),
        ("2026-03-09", "twice", 14),
        ("2026-03-10", "twice", 4),
        ("2026-03-10", "fresh", 6),
    )
    rows = features_of(site, views)
    # mean at age 0: (4 + 14 + 6) / 3 = 8; at age 1: (2 + 4) / 2 = 3, and 3 is the best guess for later ages
    assert rows.loc["usual", "age_outlook"] == pytest.approx(7 * 3)
    assert rows.loc["twice", "relative_views"] == pytest.approx((18 + 1) / (8 + 3 + 1))
    assert rows.loc["twice", "outlook"] == pytest.approx(21 * 19 / 12)


def test_content_and_scores_join_by_file_and_are_unknown_where_missing() -> None:
    site = photos(
        {"photo_id": "seen", "uploaded_at": "2026-03-09"},
        {"photo_id": "unread", "uploaded_at": "2026-03-09", "width": None, "height": None},
        {"photo_id": "small", "uploaded_at": "2026-03-09", "width": None, "height": 0},
    )
    rows = build_features(
        [DAY],
        photos=site,
        content=content("seen.jpg", "small.jpg", "elsewhere.jpg"),
        scores=scores("seen.jpg"),
        behavior=behavior(),
    ).set_index("photo_id")
    seen = rows.loc["seen"]
    assert [seen[n] for n in ("brightness", "sharpness", "has_gps", "p_cat")] == [0.5, 0.03, 1.0, 0.7]
    assert (seen["aspect_ratio"], seen["megapixels"]) == (2.0, 0.08)
    assert rows.loc["small", "megapixels"] == pytest.approx(0.0008)
    assert rows.loc["unread", ["brightness", "has_gps", "p_cat", "aspect_ratio", "megapixels"]].isna().all()


def test_new_means_no_view_yet_and_not_merely_quiet_for_a_month() -> None:
    site = photos(
        {"photo_id": "unseen", "uploaded_at": "2026-03-01"},
        {"photo_id": "seen", "uploaded_at": "2026-03-01"},
        {"photo_id": "long_quiet", "uploaded_at": "2026-01-01"},
    )
    rows = features_of(site, behavior(("2026-03-02", "seen", 1)))
    assert is_new(rows).to_dict() == {"unseen": True, "seen": False, "long_quiet": False}


def test_as_uploaded_knows_nothing_of_the_photo_that_the_logs_say() -> None:
    site = photos({"photo_id": "a", "uploaded_at": "2026-03-10T06:00:00"})
    seen = features_of(site, behavior(("2026-03-10", "a", 50)))
    unseen = features_of(site, behavior())
    assert is_new(as_uploaded(seen)).all()
    own = [name for name in FEATURES if not name.startswith(("site_", "age_outlook", "outlook", "age_days"))]
    masked, truth = as_uploaded(seen)[own], unseen[own].assign(trend=0.0, relative_views=1.0)
    pd.testing.assert_frame_equal(masked, truth)
    assert as_uploaded(seen)["age_days"].item() == 0
    assert as_uploaded(seen)["outlook"].item() == seen["age_outlook"].item()


def test_nothing_that_happens_after_a_day_changes_its_features() -> None:
    """The leak test: plant every kind of future that the sources can bring, and compare."""
    past = [
        {"photo_id": f"p{n}", "uploaded_at": f"2026-03-{1 + n:02d}T08:00:00", "owner_id": f"o{n % 3}"}
        for n in range(9)
    ]
    seen = [(f"2026-03-{d:02d}", f"p{n}", 5 + n + d) for n in range(9) for d in range(1 + n, 11)]
    days = [pd.Timestamp("2026-03-05"), DAY]
    honest = features_of(photos(*past), behavior(*seen), days=days).reset_index()

    edited = [dict(row) for row in past]
    edited[0]["deleted_at"] = "2026-03-11T00:00:00"
    edited[1] |= {"title": "Not a cat", "album": "dogs", "updated_at": "2026-03-12"}
    newcomers = [
        {"photo_id": f"a_future_{n}", "uploaded_at": f"2026-03-{11 + n}", "owner_id": "o0"} for n in range(3)
    ]
    views = [(f"2026-03-{d}", photo, 10_000) for d in range(11, 18) for photo in ("p0", "p5", "a_future_0")]
    planted = features_of(photos(*newcomers, *edited), behavior(*views, *seen), days=days).reset_index()
    pd.testing.assert_frame_equal(planted, honest)

    later = features_of(
        photos(*past), behavior(*seen), days=[*days, pd.Timestamp("2026-03-17")]
    ).reset_index()
    pd.testing.assert_frame_equal(later[later["day"] <= DAY].reset_index(drop=True), honest)


def test_a_site_without_photos_has_no_features() -> None:
    nobody = photos({"photo_id": "a", "uploaded_at": "2026-04-01"})
    assert features_of(nobody, behavior(("2026-03-10", "a", 3))).empty
    assert features_of(nobody.iloc[:0], behavior()).empty


def test_a_day_by_itself_has_the_features_it_has_among_others() -> None:
    """To the last bit: a day made again alone must not look changed."""
    at = [f"2026-02-{10 + n}T{(7 * n) % 24:02}:{(11 * n) % 60:02}:17.12345{n}Z" for n in range(15)]
    site = photos(*({"photo_id": f"p{n}", "owner_id": f"o{n % 4}", "uploaded_at": at[n]} for n in range(15)))
    views = behavior(*((f"2026-02-{d}", f"p{n}", d * n % 13) for n in range(15) for d in range(10 + n, 28)))
    days = [pd.Timestamp(f"2026-02-{day}") for day in range(10, 29)]
    together = features_of(site, views, days=days).reset_index()
    for day in days:
        alone = features_of(site, views, days=[day]).reset_index()
        among = together[together["day"] == day].reset_index(drop=True)
        pd.testing.assert_frame_equal(among, alone, check_exact=True)
