"""What is known of a photo at the end of a day, as numbers: the one list of feature columns, and the making.

A feature of day D uses nothing later than D, and no title and no album, which somebody could have edited since. Labels, models and metrics do not belong here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from photo_popularity.domain.site_history import Array, SiteHistory, read_site_history

BEHAVIOR_WINDOW_DAYS = 28
OLDEST_AGE_DAYS = 28
CONTENT_COLUMNS = (
    "width",
    "height",
    "brightness",
    "contrast",
    "saturation",
    "warmth",
    "sharpness",
    "has_gps",
)
SCORE_COLUMNS = ("p_cat", "p_dog", "p_neither")

UPLOAD_FEATURES = {
    "age_days": "Days from the upload to the end of the day",
    "upload_hour_sin": "Hour of the upload in UTC on a circle: sine",
    "upload_hour_cos": "Hour of the upload in UTC on a circle: cosine",
    "upload_weekday_sin": "Weekday of the upload in UTC on a circle: sine",
    "upload_weekday_cos": "Weekday of the upload in UTC on a circle: cosine",
}
OWNER_FEATURES = {
    "owner_tenure_days": "Days from the owner's joining to the upload",
    "owner_photos": "The owner's other photos that had existed during the last 28 days",
    "owner_views_per_photo_day": "Views per day of the owner's other photos, last 28 days",
    "owner_first_week_views": "Mean views in the first 7 days of the owner's other photos, last 28 days",
    "owner_relative_views": "Views of the owner's other photos over what the site has at their ages (ratio)",
}
SITE_FEATURES = {
    "site_views_per_photo_day": "Views per photo and day on the whole site, last 28 days",
    "site_views_1d": "Views on the whole site on the day",
    "age_outlook": "Views that 7 more days bring a photo of this age, by the site's last 28 days",
}
BEHAVIOR_FEATURES = {
    "views_1d": "Views on the day",
    "views_3d": "Views in the last 3 days",
    "views_7d": "Views in the last 7 days",
    "views_28d": "Views in the last 28 days",
    "unique_visitors_7d": "Distinct visitors of each day, summed over the last 7 days",
    "likes_28d": "Likes in the last 28 days",
    "downloads_28d": "Downloads in the last 28 days",
    "external_referrals_28d": "Views that came from other sites in the last 28 days",
    "robot_views_28d": "Views by robots in the last 28 days",
    "like_rate": "Likes per view in the last 28 days; unknown without views",
    "trend": "Log ratio of daily views in the last 3 days to those in the 4 days before, each plus one",
    "days_since_view": "Days since the last day with a view, at most 28; unknown without views",
    "relative_views": "Views over what the site's photos of the same ages had, each plus one (ratio)",
    "outlook": "age_outlook times relative_views: views to expect if the photo goes on as it did",
}
CONTENT_FEATURES = {
    "aspect_ratio": "Width over height",
    "megapixels": "Width times height in millions of pixels",
    "brightness": "Mean luminance, 0 to 1",
    "contrast": "Spread of luminance, 0 to 1",
    "saturation": "Mean saturation, 0 to 1",
    "warmth": "Mean red minus mean blue, -1 to 1",
    "sharpness": "Strength of edges, 0 or more",
    "has_gps": "1 when EXIF holds a position, else 0",
    "p_cat": "Probability that the photo shows a cat",
    "p_dog": "Probability that the photo shows a dog",
    "p_neither": "Probability that the photo shows neither",
}
FEATURES: dict[str, str] = {
    **UPLOAD_FEATURES,
    **OWNER_FEATURES,
    **SITE_FEATURES,
    **BEHAVIOR_FEATURES,
    **CONTENT_FEATURES,
}


def build_features(
    days: Sequence[pd.Timestamp],
    *,
    photos: pd.DataFrame,
    content: pd.DataFrame,
    scores: pd.DataFrame,
    behavior: pd.DataFrame,
) -> pd.DataFrame:
    """A row of features for each of `days` and each photo alive at the end of that day.

    `photos`, `content` and `scores` may hold later rows, `behavior` other days; each day D sees only uploads
    and behaviour up to D, of the 28 days that end with D. What is unknown is NaN.
    """
    # each day from its own window: the same to the last bit, whichever days are made together
    window = pd.Timedelta(days=BEHAVIOR_WINDOW_DAYS - 1)
    histories = (
        read_site_history(photos, behavior, first=day - window, last=day)
        for day in sorted({pd.Timestamp(day) for day in days})
    )
    looks = _numbers_by_file(content, CONTENT_COLUMNS).join(
        _numbers_by_file(scores, SCORE_COLUMNS), how="outer"
    )
    return _frame([_features_of_last_day(site, looks) for site in histories])


def is_new(features: pd.DataFrame) -> pd.Series:
    """Whether a photo has had no view by people yet.

    An older photo without views in the whole window of behaviour is not new: its earlier views are unknown.
    """
    return (features["views_28d"] == 0) & (features["age_days"] <= BEHAVIOR_WINDOW_DAYS)


def as_uploaded(features: pd.DataFrame) -> pd.DataFrame:
    """The same photos as they stood at the moment of their upload, when the logs knew nothing of them.

    Meant for the night of their upload day: what is known of owner and site stays as at the end of that day.
    """
    known_of_it = dict.fromkeys(BEHAVIOR_FEATURES, 0.0) | {
        "age_days": 0.0,
        "relative_views": 1.0,
        "like_rate": np.nan,
        "days_since_view": np.nan,
    }
    rows = features.copy()
    for name, value in known_of_it.items():
        rows[name] = value
    rows["outlook"] = rows["age_outlook"]
    return rows


def _frame(parts: list[pd.DataFrame]) -> pd.DataFrame:
    columns = ["day", "photo_id", *FEATURES]
    if not parts:
        empty = pd.DataFrame({name: pd.Series(dtype="float64") for name in FEATURES})
        empty.insert(0, "photo_id", pd.Series(dtype="str"))
        empty.insert(0, "day", pd.Series(dtype="datetime64[us]"))
        return empty
    return pd.concat(parts, ignore_index=True)[columns]


def _upload_features(site: SiteHistory) -> dict[str, Array]:
    photos = site.photos
    uploaded = photos["uploaded_at"]
    hour = ((uploaded - uploaded.dt.normalize()) / pd.Timedelta(days=1)).to_numpy(np.float64) * 2 * np.pi
    weekday = uploaded.dt.day_of_week.to_numpy(dtype=np.float64) * 2 * np.pi / 7
    joined = pd.to_datetime(photos["owner_joined_at"], utc=True)
    return {
        "upload_hour_sin": np.sin(hour),
        "upload_hour_cos": np.cos(hour),
        "upload_weekday_sin": np.sin(weekday),
        "upload_weekday_cos": np.cos(weekday),
        "owner_tenure_days": ((uploaded - joined) / pd.Timedelta(days=1)).to_numpy(np.float64),
    }


def _numbers_by_file(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    numbers = {name: pd.to_numeric(frame[name].astype(object), errors="coerce") for name in columns}
    by_file = pd.DataFrame(numbers, dtype="float64").set_index(frame["file"])
    return by_file[~by_file.index.duplicated()]


def _content_features(photos: pd.DataFrame, looks: pd.DataFrame) -> dict[str, Array]:
    looked = looks.reindex(photos["file"])
    size = {}
    for name in ("width", "height"):
        declared = pd.to_numeric(photos[name].astype(object), errors="coerce").to_numpy(np.float64)
        size[name] = np.where(declared > 0, declared, looked[name].to_numpy())
    with np.errstate(divide="ignore", invalid="ignore"):
        aspect_ratio = np.where(size["height"] > 0, size["width"] / size["height"], np.nan)
    shown = {name: looked[name].to_numpy() for name in looked.columns.difference(["width", "height"])}
    return {"aspect_ratio": aspect_ratio, "megapixels": size["width"] * size["height"] / 1e6, **shown}


def _features_of_last_day(site: SiteHistory, looks: pd.DataFrame) -> pd.DataFrame:
    existed, end = site.existed, len(site.existed)
    age = np.clip(np.arange(end)[:, None] - site.uploaded_on, 0, OLDEST_AGE_DAYS)
    views = np.where(existed, site.signals["views"], 0.0)
    curve = _views_by_age(views, existed, age)
    typical = np.where(existed, curve[age], 0.0).sum(axis=0)
    ages_to_come = np.minimum(age[-1][:, None] + np.arange(1, 8), OLDEST_AGE_DAYS)
    values = {
        **_upload_features(site),
        **_content_features(site.photos, looks),
        "age_days": end - site.alive_from,
        "site_views_per_photo_day": np.full(age.shape[1], views.sum() / max(existed.sum(), 1)),
        "site_views_1d": np.full(age.shape[1], views[-1].sum()),
        "age_outlook": curve[ages_to_come].sum(axis=1),
        **_owner_features(site, views, existed=existed, age=age, typical=typical),
        **_behavior_features(site.signals, typical),
    }
    values["outlook"] = values["age_outlook"] * values["relative_views"]
    alive = (site.alive_from < end) & (site.alive_until >= end)
    frame = pd.DataFrame({name: values[name][alive] for name in FEATURES}, dtype="float64")
    frame.insert(0, "photo_id", pd.Series(site.photos["photo_id"].to_numpy()[alive], dtype="str"))
    frame.insert(0, "day", pd.Series([site.last_day] * len(frame), dtype="datetime64[us]"))
    return frame


def _views_by_age(views: Array, existed: NDArray[np.bool_], age: NDArray[np.int64]) -> Array:
    """Mean views per photo and day at each whole age in days; unseen ages take their neighbour's."""
    seen = np.bincount(age[existed], minlength=OLDEST_AGE_DAYS + 1)
    total = np.bincount(age[existed], weights=views[existed], minlength=OLDEST_AGE_DAYS + 1)
    mean = pd.Series(np.where(seen > 0, total / np.maximum(seen, 1), np.nan))
    return np.asarray(mean.ffill().bfill().fillna(0.0), dtype=np.float64)


def _owner_features(
    site: SiteHistory, views: Array, *, existed: NDArray[np.bool_], age: NDArray[np.int64], typical: Array
) -> dict[str, Array]:
    """The owner's other photos, each photo left out of its own owner's numbers."""

    def of_others(of_photo: NDArray[np.int64] | NDArray[np.bool_] | Array) -> Array:
        counts = np.asarray(of_photo, dtype=np.float64)
        return np.asarray(np.bincount(site.owner, weights=counts)[site.owner] - counts, dtype=np.float64)

    present = np.asarray(existed.any(axis=0))
    photo_days = of_others(existed.sum(axis=0))
    recent = (age[-1] < BEHAVIOR_WINDOW_DAYS) & present
    first_week = np.asarray(np.where(recent & (age < 7), views, 0.0).sum(axis=0))
    others_views, others_recent = of_others(views.sum(axis=0)), of_others(recent)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_photo_day = np.where(photo_days > 0, others_views / photo_days, np.nan)
        mean_first_week = np.where(others_recent > 0, of_others(first_week) / others_recent, np.nan)
    ratio = (others_views + 1) / (of_others(typical) + 1)
    return {
        "owner_photos": of_others(present),
        "owner_views_per_photo_day": per_photo_day,
        "owner_first_week_views": mean_first_week,
        "owner_relative_views": np.where(photo_days > 0, ratio, np.nan),
    }


def _behavior_features(recent: dict[str, Array], typical: Array) -> dict[str, Array]:
    views = recent["views"]
    totals = {name: signal.sum(axis=0) for name, signal in recent.items()}
    last_3, last_7 = views[-3:].sum(axis=0), views[-7:].sum(axis=0)
    has_views = totals["views"] > 0
    since = np.argmax(views[::-1] > 0, axis=0).astype(np.float64)
    return {
        "views_1d": views[-1],
        "views_3d": last_3,
        "views_7d": last_7,
        "views_28d": totals["views"],
        "unique_visitors_7d": recent["unique_visitors"][-7:].sum(axis=0),
        "likes_28d": totals["likes"],
        "downloads_28d": totals["downloads"],
        "external_referrals_28d": totals["external_referrals"],
        "robot_views_28d": totals["robot_views"],
        "like_rate": np.where(has_views, totals["likes"] / np.maximum(totals["views"], 1), np.nan),
        "trend": np.log((last_3 / 3 + 1) / ((last_7 - last_3) / 4 + 1)),
        "days_since_view": np.where(has_views, since, np.nan),
        "relative_views": (totals["views"] + 1) / (typical + 1),
    }
