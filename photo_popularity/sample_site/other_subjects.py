"""Pictures that show neither a cat nor a dog. One unit is one pixel of the finished image."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from photo_popularity.sample_site.backgrounds import (
    BLACK,
    BLOSSOMS,
    FLOORS,
    GRASSES,
    SKIES,
    WALLS,
    WHITE,
    Frame,
    draw_background,
    draw_beach,
    draw_blossom,
    draw_meadow,
    draw_room,
)
from photo_popularity.sample_site.canvas import mix


def draw_neither(frame: Frame, rng: Random) -> None:
    """Something else that people photograph, on a background that an animal could have too."""
    subjects: list[Callable[[Frame, Random], None]] = [
        _mountains,
        _car,
        _flower,
        _town,
        _boat,
        _cup,
        _teddy,
        _owl_tree,
    ]
    rng.choice(subjects)(frame, rng)


def _mountains(frame: Frame, rng: Random) -> None:
    canvas, w, h = frame.canvas, frame.width, frame.height
    upper, lower = rng.choice(SKIES)
    canvas.gradient(0, h, upper, lower)
    canvas.ellipse(rng.uniform(0.1, 0.9) * w, rng.uniform(0.1, 0.35) * h, h * 0.08, h * 0.08, (255, 240, 190))
    for _ in range(rng.randrange(2, 5)):
        x, peak, half = rng.uniform(0, w), h * rng.uniform(0.15, 0.45), w * rng.uniform(0.25, 0.5)
        rock = mix((96, 100, 124), lower, rng.uniform(0, 0.5))
        canvas.polygon([(x - half, h * 0.8), (x, peak), (x + half, h * 0.8)], rock)
        canvas.polygon(
            [
                (x - half * 0.25, peak + (h * 0.8 - peak) * 0.25),
                (x, peak),
                (x + half * 0.25, peak + (h * 0.8 - peak) * 0.25),
                (x, peak + h * 0.08),
            ],
            WHITE,
        )
    grass = rng.choice(GRASSES)
    canvas.gradient(h * 0.72, h, grass, mix(grass, BLACK, 0.3))
    for _ in range(rng.randrange(3, 9)):
        x, y, size = rng.uniform(0, w), rng.uniform(0.72, 0.98) * h, h * rng.uniform(0.08, 0.16)
        canvas.line([(x, y), (x, y - size)], (90, 64, 44), 4)
        for k in range(3):
            canvas.polygon(
                [
                    (x - size * (0.5 - k * 0.1), y - size * (0.3 + k * 0.3)),
                    (x + size * (0.5 - k * 0.1), y - size * (0.3 + k * 0.3)),
                    (x, y - size * (0.9 + k * 0.3)),
                ],
                (40, 96, 66),
            )


def _car(frame: Frame, rng: Random) -> None:
    draw_meadow(frame, rng)
    canvas, w, h = frame.canvas, frame.width, frame.height
    road = h * rng.uniform(0.75, 0.85)
    canvas.gradient(road, h, (92, 92, 98), (66, 66, 72))
    place = canvas.at(
        w * rng.uniform(0.4, 0.6),
        road,
        scale=min(w, h) * rng.uniform(0.16, 0.24),
        turn=rng.uniform(-4, 4),
        mirrored=rng.random() < 0.5,
    )
    color = rng.choice(BLOSSOMS)
    place.blob([(-1, -0.6), (-0.55, -1.25), (0.5, -1.25), (1.0, -0.6)], mix(color, BLACK, 0.1))
    place.blob([(-0.75, -0.62), (-0.45, -1.1), (0.4, -1.1), (0.75, -0.62)], (190, 220, 236))
    place.blob([(-1.8, -0.4), (-1.5, -0.68), (1.5, -0.68), (1.85, -0.35), (1.7, 0), (-1.75, 0)], color)
    for x in (-1.05, 1.05):
        place.ellipse(x, 0.02, 0.38, 0.38, BLACK)
        place.ellipse(x, 0.02, 0.18, 0.18, (200, 200, 206))
    place.ellipse(1.75, -0.38, 0.1, 0.12, (255, 240, 160))


def _flower(frame: Frame, rng: Random) -> None:
    draw_background(frame, rng)
    for _ in range(rng.randrange(1, 4)):
        x, y = frame.width * rng.uniform(0.25, 0.75), frame.height * rng.uniform(0.25, 0.6)
        frame.canvas.line(
            [(x, y), (x + rng.uniform(-20, 20), (y + frame.height) / 2), (x, frame.height)], (66, 130, 60), 7
        )
        size = min(frame.width, frame.height) * rng.uniform(0.09, 0.17)
        draw_blossom(
            frame.canvas.at(x, y, scale=size, turn=rng.uniform(0, 60)),
            rng.choice(BLOSSOMS),
            rng.randrange(5, 10),
        )


def _town(frame: Frame, rng: Random) -> None:
    canvas, w, h = frame.canvas, frame.width, frame.height
    upper, lower = rng.choice(SKIES)
    canvas.gradient(0, h, upper, lower)
    x = -10.0
    while x < w:
        width, top = rng.uniform(30, 80), h * rng.uniform(0.25, 0.7)
        wall = mix(rng.choice(WALLS), rng.choice(FLOORS), rng.uniform(0, 0.6))
        canvas.polygon([(x, h), (x, top), (x + width, top), (x + width, h)], wall)
        if rng.random() < 0.5:
            canvas.polygon(
                [(x - 4, top), (x + width / 2, top - width * 0.5), (x + width + 4, top)], (168, 74, 58)
            )
        for row in range(int((h - top) / 24)):
            for column in range(int(width / 18)):
                a, b = x + 6 + column * 18, top + 8 + row * 24
                lit = rng.choice([(250, 226, 140), (70, 80, 104)])
                canvas.polygon([(a, b), (a + 9, b), (a + 9, b + 13), (a, b + 13)], lit)
        x += width + rng.uniform(-6, 4)


def _boat(frame: Frame, rng: Random) -> None:
    draw_beach(frame, rng)
    w, h = frame.width, frame.height
    place = frame.canvas.at(
        w * rng.uniform(0.3, 0.7),
        h * 0.52,
        scale=min(w, h) * rng.uniform(0.15, 0.25),
        turn=rng.uniform(-6, 6),
    )
    place.line([(0, 0), (0, -1.8)], (90, 64, 44), 0.07)
    place.polygon([(0.08, -0.2), (0.08, -1.7), (1, -0.2)], WHITE)
    place.polygon([(-0.08, -0.2), (-0.08, -1.5), (-0.8, -0.2)], rng.choice(BLOSSOMS))
    place.polygon([(-1.1, 0), (1.2, 0), (0.8, 0.42), (-0.8, 0.42)], (150, 84, 54))


def _cup(frame: Frame, rng: Random) -> None:
    draw_room(frame, rng)
    w, h = frame.width, frame.height
    color = rng.choice(BLOSSOMS)
    place = frame.canvas.at(
        w * rng.uniform(0.35, 0.65),
        h * 0.6,
        scale=min(w, h) * rng.uniform(0.2, 0.3),
        mirrored=rng.random() < 0.5,
    )
    place.ellipse(0, 0.95, 1.3, 0.28, WHITE)
    place.line([(0.8, -0.3), (1.3, -0.2), (1.2, 0.4), (0.7, 0.5)], color, 0.18)
    place.blob([(-0.9, -0.6), (0.9, -0.6), (0.7, 0.7), (0, 0.95), (-0.7, 0.7)], color)
    place.ellipse(0, -0.6, 0.9, 0.22, WHITE)
    place.ellipse(0, -0.58, 0.78, 0.17, (92, 58, 40))
    for x in (-0.3, 0.1, 0.4):
        place.line(
            [(x, -0.9), (x + 0.12, -1.15), (x - 0.08, -1.4), (x + 0.05, -1.65)], mix(WHITE, BLACK, 0.15), 0.05
        )


def _teddy(frame: Frame, rng: Random) -> None:
    """A stuffed bear: the picture that is easily taken for an animal."""
    draw_background(frame, rng)
    w, h = frame.width, frame.height
    fur = rng.choice([(168, 116, 70), (206, 164, 110), (140, 110, 96)])
    place = frame.canvas.at(
        w * rng.uniform(0.35, 0.65),
        h * 0.4,
        scale=min(w, h) * rng.uniform(0.16, 0.24),
        turn=rng.uniform(-12, 12),
    )
    place.fluff(0, 1.7, 1.0, 1.1, fur, rng, 0.03)
    place.ellipse(0, 1.8, 0.6, 0.65, mix(fur, WHITE, 0.4))
    for side in (-1, 1):
        place.ellipse(side * 0.75, -0.75, 0.38, 0.38, fur)
        place.ellipse(side * 0.75, -0.75, 0.2, 0.2, mix(fur, WHITE, 0.4))
        place.ellipse(side * 1.05, 1.3, 0.3, 0.6, fur, turn=side * -30)
        place.ellipse(side * 0.75, 2.6, 0.45, 0.4, fur)
    place.fluff(0, 0, 1, 0.92, fur, rng, 0.03)
    place.ellipse(0, 0.35, 0.42, 0.34, mix(fur, WHITE, 0.5))
    place.ellipse(0, 0.2, 0.13, 0.1, BLACK)
    for side in (-1, 1):
        place.ellipse(side * 0.38, -0.12, 0.1, 0.1, BLACK)
        place.polygon([(0, 0.95), (side * 0.45, 0.75), (side * 0.45, 1.15)], (200, 50, 60))


def _owl_tree(frame: Frame, rng: Random) -> None:
    """An owl on a branch: ears, round eyes, no cat."""
    draw_meadow(frame, rng)
    w, h = frame.width, frame.height
    place = frame.canvas.at(
        w * rng.uniform(0.35, 0.65),
        h * 0.45,
        scale=min(w, h) * rng.uniform(0.17, 0.24),
        turn=rng.uniform(-8, 8),
    )
    place.line([(-4, 1.75), (0, 1.55), (4, 1.8)], (98, 70, 48), 0.3)
    feather = rng.choice([(150, 112, 80), (128, 120, 116), (190, 160, 120)])
    place.blob([(-0.9, -0.9), (0, -0.75), (0.9, -0.9), (1, 0.6), (0, 1.6), (-1, 0.6)], feather)
    place.ellipse(0, 0.6, 0.6, 0.75, mix(feather, WHITE, 0.45))
    for side in (-1, 1):
        place.ellipse(side * 0.4, -0.35, 0.4, 0.4, mix(feather, WHITE, 0.6))
        place.ellipse(side * 0.4, -0.35, 0.27, 0.27, (244, 190, 60))
        place.ellipse(side * 0.4, -0.35, 0.15, 0.15, BLACK)
        place.ellipse(side * 0.95, 0.5, 0.25, 0.8, mix(feather, BLACK, 0.2), turn=side * 10)
    place.polygon([(-0.12, -0.2), (0.12, -0.2), (0, 0.1)], (236, 160, 60))
