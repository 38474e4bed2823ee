"""Drawn pictures: their size, their variety, and what a camera adds to a file."""

from __future__ import annotations

import io
from datetime import datetime
from random import Random

import pytest
from PIL import Image

from photo_popularity.sample_site.drawing import KINDS, draw
from photo_popularity.sample_site.image_files import encode_photo


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_draws_the_same_picture_and_another_seed_another(kind: str) -> None:
    first, again, other = (draw(kind, Random(seed)).image for seed in ("a", "a", "b"))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_pictures_differ_in_light_colour_and_shape_and_keep_their_size() -> None:
    drawings = [draw(KINDS[k % 3], Random(k)) for k in range(30)]
    light = [drawing.brightness for drawing in drawings]
    colour = [drawing.saturation for drawing in drawings]
    assert max(light) - min(light) > 0.25
    assert max(colour) - min(colour) > 0.25
    assert {drawing.image.width < drawing.image.height for drawing in drawings} == {True, False}
    assert all(250 <= max(drawing.image.size) <= 480 for drawing in drawings)


def test_some_photos_have_camera_position_and_a_turn() -> None:
    image = Image.new("RGB", (64, 48))
    taken = datetime(2026, 10, 1, 12)
    tags = []
    for k in range(60):
        with Image.open(io.BytesIO(encode_photo(image, "jpg", taken, Random(k)))) as photo:
            tags.append((photo.getexif(), photo.size))
    assert 20 < sum(0x0110 in exif for exif, _ in tags) < 55
    assert any(exif.get_ifd(0x8825) for exif, _ in tags)
    turned = [size for exif, size in tags if exif.get(0x0112) in (6, 8)]
    assert turned
    assert set(turned) == {(48, 64)}
