"""Backgrounds of pictures: rooms, meadows, beaches, lights. One unit is one pixel of the finished image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from photo_popularity.sample_site.canvas import Canvas, Color, mix

WHITE, BLACK = (250, 248, 242), (34, 32, 38)
WALLS: tuple[Color, ...] = (
    (214, 190, 160),
    (168, 190, 200),
    (196, 206, 176),
    (222, 176, 160),
    (188, 172, 200),
    (232, 220, 196),
)
FLOORS: tuple[Color, ...] = ((150, 108, 72), (176, 140, 100), (120, 96, 84), (140, 132, 126))
SKIES: tuple[tuple[Color, Color], ...] = (
    ((86, 150, 220), (200, 226, 244)),
    ((248, 176, 120), (250, 224, 180)),
    ((120, 130, 170), (220, 190, 196)),
    ((150, 166, 180), (214, 220, 222)),
)
GRASSES: tuple[Color, ...] = ((96, 156, 70), (124, 168, 80), (80, 130, 78), (170, 164, 90))
BLOSSOMS: tuple[Color, ...] = (
    (226, 70, 90),
    (244, 190, 50),
    (236, 130, 190),
    (150, 96, 210),
    (250, 250, 240),
    (240, 120, 50),
)


@dataclass(frozen=True)
class Frame:
    """A canvas with its size in pixels."""

    canvas: Canvas
    width: int
    height: int


def draw_background(frame: Frame, rng: Random, *, outdoors: float = 0.5) -> None:
    """A meadow or a beach with probability `outdoors`, else a room or lights out of focus."""
    near, far = (draw_meadow, draw_beach) if rng.random() < outdoors else (draw_room, _lights)
    (near if rng.random() < 0.7 else far)(frame, rng)


def draw_room(frame: Frame, rng: Random) -> None:
    """A wall and a floor, maybe with a window and a rug."""
    canvas, w, h = frame.canvas, frame.width, frame.height
    wall, floor = rng.choice(WALLS), rng.choice(FLOORS)
    edge = h * rng.uniform(0.55, 0.8)
    canvas.gradient(0, edge, mix(wall, WHITE, 0.15), wall)
    canvas.gradient(edge, h, floor, mix(floor, BLACK, 0.25))
    if rng.random() < 0.5:
        x, y, size = rng.uniform(0, w * 0.7), h * rng.uniform(0.02, 0.15), min(w, h) * rng.uniform(0.25, 0.4)
        canvas.polygon([(x, y), (x + size, y), (x + size, y + size), (x, y + size)], WHITE)
        pane = rng.choice([(160, 206, 240), (60, 70, 110), (240, 190, 140)])
        for i in (0, 1):
            for j in (0, 1):
                a, b, side = x + size * (0.06 + 0.47 * i), y + size * (0.06 + 0.47 * j), size * 0.41
                canvas.polygon([(a, b), (a + side, b), (a + side, b + side), (a, b + side)], pane)
    if rng.random() < 0.6:
        rug = rng.choice(BLOSSOMS)
        x, y, r = w * rng.uniform(0.2, 0.8), h * rng.uniform(0.85, 0.98), w * rng.uniform(0.3, 0.5)
        for k, share in enumerate((1, 0.75, 0.5)):
            canvas.ellipse(x, y, r * share, r * share * 0.3, mix(rug, WHITE, 0.35 if k % 2 else 0))


def draw_meadow(frame: Frame, rng: Random) -> None:
    """Grass under a sky."""
    canvas, w, h = frame.canvas, frame.width, frame.height
    upper, lower = rng.choice(SKIES)
    grass, edge = rng.choice(GRASSES), frame.height * rng.uniform(0.3, 0.65)
    canvas.gradient(0, edge + 20, upper, lower)
    for _ in range(rng.randrange(4)):
        x, y, r = rng.uniform(0, w), rng.uniform(0, edge * 0.6), w * rng.uniform(0.05, 0.1)
        for dx in (-1, 0, 1):
            canvas.ellipse(x + dx * r, y + abs(dx) * r * 0.2, r, r * 0.6, mix(lower, WHITE, 0.7))
    hill = [(x * w / 6, edge + rng.uniform(-0.05, 0.05) * h) for x in range(-1, 8)]
    canvas.blob([*hill, (w * 1.3, h * 1.3), (-w * 0.3, h * 1.3)], grass)
    canvas.gradient(edge + h * 0.1, h, grass, mix(grass, BLACK, 0.2))
    for _ in range(70):
        x, y = rng.uniform(0, w), rng.uniform(edge + h * 0.08, h)
        canvas.line(
            [(x, y), (x + rng.uniform(-3, 3), y - rng.uniform(4, 10))],
            mix(grass, rng.choice([BLACK, WHITE]), 0.25),
            1,
        )
    for _ in range(rng.randrange(14)):
        draw_blossom(
            canvas.at(rng.uniform(0, w), rng.uniform(edge + h * 0.12, h), scale=rng.uniform(3, 6)),
            rng.choice(BLOSSOMS),
        )


def draw_beach(frame: Frame, rng: Random) -> None:
    """Sky, sea and sand."""
    canvas, w, h = frame.canvas, frame.width, frame.height
    upper, lower = rng.choice(SKIES)
    sea, sand = rng.uniform(0.3, 0.45) * h, rng.uniform(0.55, 0.7) * h
    canvas.gradient(0, sea, upper, lower)
    canvas.gradient(sea, sand + 8, (50, 120, 160), (130, 190, 200))
    canvas.gradient(sand, h, (238, 216, 168), (214, 184, 132))
    canvas.line([(k * w / 5, sand + rng.uniform(-5, 5)) for k in range(6)], WHITE, 4)


def _lights(frame: Frame, rng: Random) -> None:
    canvas, w, h = frame.canvas, frame.width, frame.height
    dark, glow = rng.choice(WALLS), rng.choice(BLOSSOMS)
    dark = mix(dark, BLACK, rng.uniform(0.2, 0.7))
    canvas.gradient(0, h, dark, mix(dark, glow, 0.3))
    for _ in range(24):
        canvas.ellipse(
            rng.uniform(0, w),
            rng.uniform(0, h),
            r := rng.uniform(6, 26),
            r,
            mix(dark, glow, rng.uniform(0.15, 0.5)),
        )


def draw_blossom(place: Canvas, color: Color, petals: int = 6) -> None:
    """A flower around the origin, two units wide or so."""
    for k in range(petals):
        angle = 2 * math.pi * k / petals
        place.ellipse(math.cos(angle), math.sin(angle), 0.75, 0.45, color, turn=math.degrees(angle))
    place.ellipse(0, 0, 0.5, 0.5, (246, 204, 70))
