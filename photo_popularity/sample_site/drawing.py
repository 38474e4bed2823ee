"""From a kind ('cat', 'dog', 'neither') and a seed to a picture as a camera would have taken it.

Composes what backgrounds.py, animals.py and other_subjects.py draw, adds light, colour cast, blur and noise, and
measures what the law asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from photo_popularity.sample_site.animals import EXTENT, POSES, draw_cat, draw_dog
from photo_popularity.sample_site.backgrounds import Frame, draw_background
from photo_popularity.sample_site.canvas import Canvas
from photo_popularity.sample_site.other_subjects import draw_neither

KINDS = ("cat", "dog", "neither")
# cats are photographed at home, dogs on walks: a classifier may learn that, as it does on real photos
OUTDOORS = {"cat": 0.15, "dog": 0.88}
SHAPES = ((4, 3), (3, 2), (1, 1), (3, 4), (2, 3), (16, 9))


@dataclass(frozen=True)
class Drawing:
    """A picture with the mean luminance and the mean saturation of its pixels, 0 to 1."""

    image: Image.Image
    brightness: float
    saturation: float


def draw(kind: str, rng: Random) -> Drawing:
    """A picture of that kind, between 256 and 480 pixels on its longer side."""
    across, down = rng.choices(SHAPES, weights=(5, 4, 3, 3, 2, 1))[0]
    unit = rng.randrange(256, 481) / max(across, down)
    frame_size = round(across * unit), round(down * unit)
    frame = Frame(Canvas.of_size(*frame_size), *frame_size)
    if kind == "neither":
        draw_neither(frame, rng)
    else:
        draw_background(frame, rng, outdoors=OUTDOORS[kind])
        _place_animal(frame, kind, rng)
    image = _photograph(frame.canvas.finished(), rng)
    return Drawing(image, *measure(image))


def measure(image: Image.Image) -> tuple[float, float]:
    """Mean luminance and mean saturation, 0 to 1."""
    luminance = np.asarray(image.convert("L"), np.float32).mean() / 255
    saturation = np.asarray(image.convert("HSV").getchannel("S"), np.float32).mean() / 255
    return float(luminance), float(saturation)


def _place_animal(frame: Frame, kind: str, rng: Random) -> None:
    pose = rng.choices(POSES, weights=(9, 4, 1, 1))[0]
    left, top, right, bottom = EXTENT[pose]
    fit = min(frame.width / (right - left), frame.height / (bottom - top))
    scale = fit * rng.uniform(0.9, 1.08)
    x = frame.width / 2 - scale * (left + right) / 2 + rng.uniform(-0.035, 0.035) * frame.width
    y = frame.height / 2 - scale * (top + bottom) / 2 + rng.uniform(-0.03, 0.04) * frame.height
    if pose == "portrait":
        y = frame.height - scale * bottom
    mirrored = rng.random() < 0.5
    if mirrored:
        x = frame.width - x
    place = frame.canvas.at(x, y, scale=scale, turn=rng.gauss(0, 3), mirrored=mirrored)
    (draw_cat if kind == "cat" else draw_dog)(place, pose, rng)


def _photograph(image: Image.Image, rng: Random) -> Image.Image:
    """Light from one side, exposure, colour, a cast, sometimes out of focus, always a little noise."""
    image = ImageEnhance.Color(image).enhance(rng.uniform(0.25, 1.5))
    if rng.random() < 0.35:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.4)))
    pixels = np.asarray(image, np.float32)
    height, width = pixels.shape[:2]
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = 1 + rng.uniform(-0.2, 0.2) * across + rng.uniform(-0.2, 0.1) * down
    light -= rng.uniform(0, 0.18) * (across**2 + down**2)
    cast = np.array([1 + rng.uniform(-0.06, 0.08), 1, 1 + rng.uniform(-0.1, 0.06)], np.float32)
    exposure = np.float32(rng.choices((1.0, 0.7, 1.3), weights=(6, 2, 2))[0] * rng.uniform(0.82, 1.15))
    noise = np.random.default_rng(rng.getrandbits(64)).standard_normal((height, width), np.float32)
    pixels = (
        pixels * (light * exposure)[:, :, None] * cast + (noise * np.float32(rng.uniform(2, 7)))[:, :, None]
    )
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
