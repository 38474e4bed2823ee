"""Nonsense in EXIF is no date, no camera and no orientation."""

from __future__ import annotations

import io
from datetime import datetime

import pytest
from PIL import Image

from photo_popularity.domain.photo_exif import PhotoExif, camera_name, parse_date, read_exif


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2004:08:13 09:47:23", datetime(2004, 8, 13, 9, 47, 23)),
        # other programs' separators, trailing NUL
        ("2004-08-13T09:47:23\0", datetime(2004, 8, 13, 9, 47, 23)),
        (b"2004:08:13 09:47:23", datetime(2004, 8, 13, 9, 47, 23)),
        # a camera whose clock was never set
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("", None),
        (None, None),
        (20040813, None),
        # no such day, no such hour, no such year
        ("2023:02:29 00:00:00", None),
        ("2023:02:28 24:00:00", None),
        ("0001:01:01 00:00:00", None),
        ("2004:08:13", None),
    ],
)
def test_only_real_dates_are_dates(text: object, date: datetime | None) -> None:
    assert parse_date(text) == date


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("NIKON", "E900", "NIKON E900"),
        ("Canon", "Canon PowerShot SX60 HS", "Canon PowerShot SX60 HS"),
        ("SONY  ", "DCR-PC100  ", "SONY DCR-PC100"),
        # what follows a NUL is leftover memory
        ("Trust.\0\0\0Gemini11\0H", "Gemini11\0H", "Trust. Gemini11"),
        ("Acme\n\x1b[31m", None, "Acme [31m"),
        (None, None, None),
        ("   ", "", None),
        (7, ("a",), None),
        ("x" * 300, "y", "x" * 100),
    ],
)
def test_a_camera_is_one_short_printable_line(make: object, model: object, camera: str | None) -> None:
    assert camera_name(make, model) == camera


def opened(tags: dict[int, object], directory: int | None = None) -> Image.Image:
    exif = Image.Exif()
    exif.update(tags if directory is None else {directory: tags})
    target = io.BytesIO()
    Image.new("RGB", (4, 4)).save(target, "PNG", exif=exif)
    return Image.open(io.BytesIO(target.getvalue()))


def test_a_photo_without_exif_has_the_defaults() -> None:
    assert read_exif(Image.new("RGB", (4, 4))) == PhotoExif(1, None, None, False)


def test_gps_data_is_noticed_and_not_kept() -> None:
    assert read_exif(opened({1: "N", 2: (51.0, 1.0, 30.0)}, 0x8825)) == PhotoExif(has_gps=True)


def test_the_date_of_the_shot_wins_over_the_date_of_a_change() -> None:
    assert read_exif(opened({0x0132: "2020:01:01 00:00:00"})).taken_at == datetime(2020, 1, 1)
    both = opened({0x9003: "0000:00:00 00:00:00"}, 0x8769)
    both.getexif()[0x0132] = "2020:01:01 00:00:00"
    assert read_exif(both).taken_at is None


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_counts_as_none() -> None:
    target = io.BytesIO()
    Image.new("RGB", (4, 4)).save(target, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\xff\xff")
    assert read_exif(Image.open(io.BytesIO(target.getvalue()))) == PhotoExif()
