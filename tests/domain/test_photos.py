"""A photo file becomes one row whatever its bytes are, and the pixels of classifiers show what a person sees."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from photo_popularity.domain.errors import InputError
from photo_popularity.domain.photo_decoding import PhotoLimits
from photo_popularity.domain.photos import load_pixels, read_photo
from photo_popularity.domain.schemas import PHOTO_CONTENT

RED, BLUE, WHITE, BLACK = (255, 0, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
MEASUREMENTS = ("brightness", "contrast", "saturation", "warmth", "sharpness")


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def plain(colour: Any, mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new(mode, size, colour)


def red_left_blue_right(size: tuple[int, int] = (40, 20)) -> Image.Image:
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image


def with_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(red_left_blue_right(), exif=exif)


def measured(image: Image.Image, **options: Any) -> list[Any]:
    row = read_photo(encoded(image, **options))
    assert row["problem"] is None
    return [row[name] for name in MEASUREMENTS]


def test_the_row_has_the_columns_of_photo_content_without_the_name_that_storage_adds() -> None:
    assert ["file", *read_photo(b"")] == list(PHOTO_CONTENT.columns)


def test_a_photo_has_a_full_row() -> None:
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010F: "Acme", 0x0110: "Acme One", 0x0132: "2026:10:01 12:30:00"})
    data = encoded(plain(WHITE), "JPEG", exif=exif)
    row = read_photo(data)
    assert row == {
        "content_version": row["content_version"],
        "bytes": len(data),
        "format": "JPEG",
        "width": 30,
        "height": 40,
        "frames": 1,
        "orientation": 6,
        "taken_at": datetime(2026, 10, 1, 12, 30),
        "camera": "Acme One",
        "has_gps": False,
        "brightness": 1.0,
        "contrast": 0.0,
        "saturation": 0.0,
        "warmth": 0.0,
        "sharpness": 0.0,
        "problem": None,
    }


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        # brightness, contrast, saturation, warmth, sharpness
        (plain(WHITE), [1.0, 0.0, 0.0, 0.0, 0.0]),
        (plain(BLACK), [0.0, 0.0, 0.0, 0.0, 0.0]),
        (plain(RED), [0.299, 0.0, 1.0, 1.0, 0.0]),
        (plain(BLUE), [0.114, 0.0, 1.0, -1.0, 0.0]),
        # transparent red lies on white
        (plain((255, 0, 0, 0), "RGBA"), [1.0, 0.0, 0.0, 0.0, 0.0]),
        # 16 bits: half of 65,535, not cut to white at 255
        (Image.fromarray(np.full((9, 9), 32_768, np.uint16)), [0.501961, 0.0, 0.0, 0.0, 0.0]),
        (plain(1, "1"), [1.0, 0.0, 0.0, 0.0, 0.0]),
        (plain(RED).convert("P"), [0.299, 0.0, 1.0, 1.0, 0.0]),
        # smaller than the sharpness filter
        (plain(WHITE, size=(1, 1)), [1.0, 0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_measurements_of_plain_pictures_are_known(image: Image.Image, expected: list[float]) -> None:
    assert measured(image) == pytest.approx(expected, abs=1e-6)


def test_half_black_half_white_has_full_contrast_and_edges_have_sharpness() -> None:
    halves = plain(BLACK, size=(40, 40))
    halves.paste(WHITE, (0, 0, 20, 40))
    brightness, contrast, _, _, sharpness = measured(halves)
    assert (brightness, contrast) == (0.5, 1.0)
    assert sharpness > 0.2


def test_cmyk_is_converted() -> None:
    row = read_photo(encoded(plain((0, 255, 255, 0), "CMYK"), "JPEG", quality=95))
    assert row["warmth"] == pytest.approx(1.0, abs=0.03)


def test_the_format_is_what_the_content_says() -> None:
    row = read_photo(encoded(plain(RED), "GIF"))
    assert (row["format"], row["problem"]) == ("GIF", None)


def test_an_animation_has_frames() -> None:
    data = encoded(plain(RED), "GIF", save_all=True, append_images=[plain(BLUE), plain(WHITE)])
    row = read_photo(data)
    assert (row["frames"], row["warmth"]) == (3, 1.0)


def cut_short() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    data = encoded(Image.fromarray(noise), "JPEG")
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "The file is empty; upload the photo again."),
        (b"<html>404</html>", "The content is no image of a known format .*; upload it as JPEG or PNG."),
        (b"\xff\xd8 and no more", "The file starts like JPEG, but its header is damaged; .*again."),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "The photo is HEIC .*; convert it to JPEG."),
        (cut_short(), r"The JPEG is cut short \(.*\); upload the photo again."),
        (b"\0" * 101, "The file has 101 bytes, more than the limit of 100; upload a smaller version."),
    ],
)
def test_a_file_that_cannot_be_read_says_why_and_what_to_do(data: bytes, problem: str) -> None:
    limits = PhotoLimits(file_bytes=100) if len(data) == 101 else PhotoLimits()
    row = read_photo(data, limits=limits)
    assert re.fullmatch(problem, str(row["problem"]))
    with pytest.raises(InputError, match=problem):
        load_pixels(data, size=8, limits=limits)
    assert [row[name] for name in MEASUREMENTS] == [None] * 5


def test_a_cut_photo_keeps_what_its_header_said() -> None:
    row = read_photo(cut_short())
    assert (row["format"], row["width"], row["height"], row["brightness"]) == ("JPEG", 200, 200, None)


def test_more_pixels_than_the_limit_are_not_decoded() -> None:
    row = read_photo(encoded(plain(RED, size=(100, 51))), limits=PhotoLimits(pixels=5_000))
    assert str(row["problem"]).startswith(
        "The photo claims 5,100 pixels, more than the limit of 5,000, and was"
    )


def test_only_a_jpeg_that_decodes_small_may_be_larger() -> None:
    limits = PhotoLimits(pixels=5_000, scaled_jpeg_pixels=10_000)
    large = plain(RED, size=(100, 80))
    assert read_photo(encoded(large, "JPEG"), limits=limits)["problem"] is None
    progressive = read_photo(encoded(large, "JPEG", progressive=True), limits=limits)
    assert "8,000 pixels" in str(progressive["problem"])


@pytest.mark.parametrize("data", [b"", b"no image", with_orientation(6), cut_short()])
def test_the_same_bytes_have_the_same_row_whatever_else_was_read_before(data: bytes) -> None:
    """A renamed file reuses what is known of its bytes, so nothing but them may be told."""
    first = read_photo(data)
    read_photo(encoded(plain(RED), "GIF"))
    assert read_photo(bytes(bytearray(data))) == first


@pytest.mark.parametrize(
    ("orientation", "left", "top", "size"),
    [
        # the stored picture is red on the left, blue on the right
        (1, RED, None, (40, 20)),
        (2, BLUE, None, (40, 20)),
        (3, BLUE, None, (40, 20)),
        (4, RED, None, (40, 20)),
        (5, None, RED, (20, 40)),
        (6, None, RED, (20, 40)),
        (7, None, BLUE, (20, 40)),
        (8, None, BLUE, (20, 40)),
        # nonsense counts as 1
        (9, RED, None, (40, 20)),
    ],
)
def test_size_and_pixels_are_as_displayed(
    orientation: int, left: Any, top: Any, size: tuple[int, int]
) -> None:
    data = with_orientation(orientation)
    row = read_photo(data)
    assert (row["width"], row["height"]) == size
    pixels = load_pixels(data, size=8)
    if left:
        assert tuple(pixels[4, 0]) == left
    else:
        assert tuple(pixels[0, 4]) == top


def test_a_turned_tiff_is_not_turned_twice() -> None:
    data = encoded(red_left_blue_right(), "TIFF", tiffinfo={0x0112: 6})
    row = read_photo(data)
    assert (row["width"], row["height"], row["orientation"]) == (20, 40, 6)
    assert tuple(load_pixels(data, size=8)[0, 4]) == RED


def test_pixels_are_the_middle_square() -> None:
    image = plain(WHITE, size=(300, 100))
    image.paste(RED, (100, 0, 200, 100))
    pixels = load_pixels(encoded(image), size=16)
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8
    # at the very edge resizing takes a little from beyond it
    assert (pixels[:, 2:-2] == np.array(RED, dtype=np.uint8)).all()


def test_nothing_is_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = read_photo(encoded(plain(RED, size=(9_500, 9_500)), "JPEG"))
    assert row["problem"] is None


@pytest.mark.real_data
@pytest.mark.parametrize("folder", ["corrupt", "exif"])
def test_real_photos_are_read_as_expected(real_data: Path, folder: str) -> None:
    with (real_data / folder / "expected.csv").open(newline="") as lines:
        expected = list(csv.DictReader(lines))
    assert len(expected) >= 30
    for photo in expected:
        row = read_photo((real_data / folder / "files" / photo["file"]).read_bytes())
        readable = photo["pillow_outcome"].startswith("ok")
        assert (row["problem"] is None) == readable, photo["file"]
        assert (row["brightness"] is not None) == readable, photo["file"]
        if readable:
            assert described(row) == expectation(photo), photo["file"]


def described(row: dict[str, Any]) -> list[Any]:
    keys = ("format", "width", "height", "frames", "orientation", "has_gps", "taken_at")
    return [row[key] for key in keys]


def expectation(photo: dict[str, str]) -> list[Any]:
    orientation = int(photo["orientation"] or 1)
    width, height = int(photo["w"]), int(photo["h"])
    if orientation >= 5:
        width, height = height, width
    date = photo["datetime_original"]
    taken_at = datetime.fromisoformat(date.replace(":", "-", 2)) if date[:4].strip(": 0") else None
    return [photo["format"], width, height, int(photo["frames"]), orientation, photo["gps"] == "1", taken_at]


READ_ALL = """
import pathlib, sys, warnings
warnings.simplefilter("error")
from photo_popularity.domain.photos import read_photo
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    read_photo(path.read_bytes())
status = pathlib.Path("/proc/self/status").read_text()
print(status.partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.real_data
@pytest.mark.skipif(sys.platform != "linux", reason="the peak stands in Linux's /proc")
def test_the_corrupt_photos_cost_neither_memory_nor_time_nor_words(real_data: Path) -> None:
    files = str(real_data / "corrupt" / "files")
    result = subprocess.run(
        [sys.executable, "-c", READ_ALL, files], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stderr == ""
    # not ru_maxrss, with which a process starts at the peak of its parent
    assert int(result.stdout) < 2**20
