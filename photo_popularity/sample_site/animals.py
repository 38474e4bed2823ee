"""Cats and dogs: coats, heads, poses. The origin is the head's centre, one unit half its width."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from photo_popularity.sample_site.canvas import Canvas, Color, Point, mix

WHITE, BLACK, PINK = (250, 247, 240), (28, 24, 26), (236, 150, 155)
CREAM, DARK_BROWN = (244, 226, 196), (70, 46, 34)
POSES = ("portrait", "sitting", "lying", "standing")
# left, top, right, bottom of what a pose covers
EXTENT: dict[str, tuple[float, float, float, float]] = {
    "portrait": (-1.5, -1.5, 1.5, 1.9),
    "sitting": (-1.7, -1.5, 1.9, 3.6),
    "lying": (-1.5, -1.5, 3.8, 2.2),
    "standing": (-1.4, -1.5, 4.0, 3.0),
}


@dataclass(frozen=True)
class Coat:
    """Colours of an animal and how they are spread."""

    base: Color
    light: Color
    marking: Color
    pattern: str


CAT_COATS = (
    Coat((222, 150, 78), CREAM, (180, 104, 44), "tabby"),
    Coat((140, 142, 150), (214, 214, 216), (78, 80, 90), "tabby"),
    Coat((52, 48, 52), WHITE, (30, 28, 30), "tuxedo"),
    Coat((232, 216, 190), (240, 228, 206), (92, 66, 52), "mask"),
    Coat((240, 236, 226), WHITE, (214, 132, 66), "patches"),
    Coat((128, 136, 150), (170, 176, 188), (104, 110, 124), "plain"),
    Coat((44, 40, 44), (62, 58, 60), (30, 28, 30), "plain"),
)
DOG_COATS = (
    Coat((206, 152, 88), CREAM, (168, 112, 58), "plain"),
    Coat((122, 78, 48), (214, 176, 134), (78, 48, 30), "plain"),
    Coat((240, 236, 228), WHITE, (120, 76, 46), "patches"),
    Coat((52, 46, 44), (198, 140, 82), (30, 26, 26), "tuxedo"),
    Coat((172, 136, 104), WHITE, (92, 66, 50), "mask"),
    Coat((238, 214, 170), WHITE, (204, 164, 108), "plain"),
    Coat((236, 234, 230), WHITE, (40, 36, 38), "spots"),
    Coat((224, 160, 86), WHITE, (190, 120, 50), "tuxedo"),
)


def draw_cat(place: Canvas, pose: str, rng: Random) -> None:
    """A cat in one of POSES."""
    coat = rng.choice(CAT_COATS)
    if pose == "portrait":
        _shoulders(place, coat, rng)
    else:
        tail: list[Point] = [(0, 0), (0.7, 0.3), (1.1, -0.5), (rng.uniform(0.7, 1.4), -1.4)]
        _body(place, pose, coat, tail, slim=0.92, rng=rng)
    _cat_head(place.at(0, 0, turn=rng.uniform(-9, 9)), coat, rng)


def draw_dog(place: Canvas, pose: str, rng: Random) -> None:
    """A dog in one of POSES."""
    coat = rng.choice(DOG_COATS)
    if pose == "portrait":
        _shoulders(place, coat, rng)
    else:
        wagging = rng.random() < 0.7
        tail: list[Point] = (
            [(0, 0), (0.45, -0.35), (0.6, -0.9)] if wagging else [(0, 0), (0.6, 0.2), (1, 0.1)]
        )
        _body(place, pose, coat, tail, slim=1.05, rng=rng)
    collar = rng.choice([(196, 48, 48), (46, 96, 178), (60, 140, 80)])
    place.line([(-0.6, 0.82), (0, 1.05), (0.6, 0.82)], collar, 0.2)
    place.ellipse(0, 1.18, 0.12, 0.12, (232, 196, 70))
    _dog_head(place.at(0, 0, turn=rng.uniform(-9, 9)), coat, rng)


def _shoulders(place: Canvas, coat: Coat, rng: Random) -> None:
    """What a portrait shows below the head; it reaches below the picture."""
    place.fluff(0, 2.3, 1.15, 1.7, mix(coat.base, BLACK, 0.12), rng, 0.02)
    place.fluff(0, 1.7, 0.55, 0.9, coat.light, rng, 0.06)


def _body(place: Canvas, pose: str, coat: Coat, tail: list[Point], *, slim: float, rng: Random) -> None:
    shadow = mix(coat.base, BLACK, 0.18)
    if pose == "sitting":
        place.at(0.7, 3.0).line(tail, shadow, 0.32)
        place.fluff(0, 2.15, 1.05 * slim, 1.35, coat.base, rng, 0.02)
        for side in (-1, 1):
            place.fluff(side * 0.8 * slim, 2.95, 0.5, 0.55, shadow, rng, 0.03)
        _marks(place.at(0, 2.1), coat, rng)
        place.fluff(0, 1.45, 0.5, 0.7, coat.light, rng, 0.06)
        for side in (-1, 1):
            place.line([(side * 0.32, 2.0), (side * 0.34, 3.2)], coat.base, 0.42)
            place.ellipse(side * 0.36, 3.33, 0.3, 0.2, coat.light)
        return
    length, top, legs = (1.75, 1.15, 0.0) if pose == "lying" else (1.6, 1.0, 1.35)
    place.at(1.2 + length, top).line(tail, shadow, 0.3)
    for x in (0.2, 0.75, 2.2, 2.7) if legs else ():
        color = shadow if x in (0.75, 2.2) else coat.base
        place.line([(x, top + 0.3), (x + rng.uniform(-0.12, 0.12), top + 0.5 + legs)], color, 0.42 * slim)
        place.ellipse(x - 0.08, top + 0.6 + legs, 0.3, 0.16, coat.light)
    place.fluff(1.4, top, length, 0.85 * slim, coat.base, rng, 0.02)
    _marks(place.at(1.6, top), coat, rng)
    if not legs:
        place.fluff(2.35, top + 0.3, 0.75, 0.6, shadow, rng, 0.03)
        for y in (0.62, 0.86):
            place.line([(0.3, top + y), (-0.9, top + y)], coat.base, 0.3)
            place.ellipse(-0.95, top + y, 0.24, 0.17, coat.light)


def _marks(place: Canvas, coat: Coat, rng: Random) -> None:
    """Stripes, patches or spots on a body around the origin."""
    if coat.pattern == "tabby":
        for k in range(-2, 3):
            place.line([(k * 0.3, -0.7), (k * 0.34, -0.35), (k * 0.3, -0.1)], coat.marking, 0.11)
    elif coat.pattern in ("patches", "spots"):
        small = coat.pattern == "spots"
        for _ in range(9 if small else 3):
            radius = rng.uniform(0.07, 0.14) if small else rng.uniform(0.25, 0.42)
            place.fluff(
                rng.uniform(-0.6, 0.6), rng.uniform(-0.45, 0.45), radius, radius, coat.marking, rng, 0.1
            )


def _cat_head(place: Canvas, coat: Coat, rng: Random) -> None:
    height, folded = rng.uniform(1.2, 1.45), rng.random() < 0.04
    ear = coat.marking if coat.pattern == "mask" else coat.base
    for side in (-1, 1):
        tip: Point = (side * 1.1, -0.75) if folded else (side * rng.uniform(0.72, 0.95), -height)
        place.polygon([(side * 0.98, -0.1), tip, (side * 0.15, -0.75)], ear)
        inner = [
            (0.28 * x + 0.72 * tip[0], 0.28 * y + 0.72 * tip[1])
            for x, y in ((side * 0.98, -0.1), (side * 0.15, -0.75))
        ]
        if not folded:
            place.polygon([(side * 0.82, -0.35), *inner, (side * 0.36, -0.7)], PINK)
    place.fluff(0, 0, 1.05, 0.86, coat.base, rng)
    _face_marks(place, coat, rng)
    for side in (-1, 1):
        place.fluff(side * 0.2, 0.38, 0.28, 0.22, coat.light, rng)
    _cat_eyes(place, rng)
    place.polygon([(-0.11, 0.2), (0.11, 0.2), (0, 0.33)], PINK)
    for side in (-1, 1):
        place.line([(0, 0.33), (side * 0.09, 0.47), (side * 0.24, 0.45)], DARK_BROWN, 0.035)
        for k in (-1, 0, 1):
            place.line(
                [(side * 0.36, 0.36 + 0.06 * k), (side * 1.35, 0.3 + 0.2 * k)], mix(WHITE, BLACK, 0.1), 0.022
            )


def _cat_eyes(place: Canvas, rng: Random) -> None:
    iris = rng.choice([(142, 186, 74), (226, 184, 60), (92, 160, 206), (196, 150, 62)])
    asleep = rng.random() < 0.12
    for side in (-1, 1):
        if asleep:
            place.line([(side * 0.24, -0.08), (side * 0.42, 0.03), (side * 0.6, -0.08)], BLACK, 0.06)
            continue
        place.ellipse(side * 0.42, -0.08, 0.26, 0.22, BLACK, turn=side * -12)
        place.ellipse(side * 0.42, -0.08, 0.22, 0.19, iris, turn=side * -12)
        place.ellipse(side * 0.42, -0.08, rng.choice([0.05, 0.08, 0.14]), 0.17, BLACK)
        place.ellipse(side * 0.42 + 0.06, -0.15, 0.045, 0.045, WHITE)


def _dog_head(place: Canvas, coat: Coat, rng: Random) -> None:
    prick = rng.random() < 0.1
    ear = (
        coat.marking if coat.pattern in ("patches", "mask", "spots", "plain") else mix(coat.base, BLACK, 0.15)
    )
    droop = rng.uniform(0.1, 0.45)
    for side in (-1, 1):
        if prick:
            place.polygon([(side * 0.9, -0.3), (side * 0.8, -1.35), (side * 0.22, -0.8)], ear)
            place.polygon(
                [(side * 0.78, -0.45), (side * 0.74, -1.1), (side * 0.4, -0.75)], mix(ear, PINK, 0.5)
            )
    place.fluff(0, -0.05, 0.92, 0.95, coat.base, rng)
    _face_marks(place, coat, rng)
    for side in (-1, 1):
        if not prick:
            place.blob(
                [
                    (side * 0.5, -0.88),
                    (side * 1.05, -0.6),
                    (side * 1.2, droop),
                    (side * 0.9, droop + 0.2),
                    (side * 0.78, -0.25),
                ],
                ear,
            )
    if rng.random() < 0.5:
        place.ellipse(0.05, 0.95, 0.17, 0.3, (226, 102, 116))
        place.line([(0.05, 0.8), (0.05, 1.1)], (190, 74, 92), 0.03)
    place.fluff(0, 0.45, 0.55, 0.44, coat.light, rng, 0.05)
    for side in (-1, 1):
        place.ellipse(side * 0.38, -0.18, 0.155, 0.165, BLACK)
        place.ellipse(side * 0.38, -0.18, 0.11, 0.12, (92, 56, 30))
        place.ellipse(side * 0.38, -0.18, 0.075, 0.085, BLACK)
        place.ellipse(side * 0.38 + 0.05, -0.24, 0.04, 0.04, WHITE)
        place.line(
            [(side * 0.22, -0.44), (side * 0.4, -0.5), (side * 0.55, -0.43)], mix(coat.base, BLACK, 0.4), 0.05
        )
        place.line([(0, 0.42), (side * 0.05, 0.62), (side * 0.32, 0.6)], DARK_BROWN, 0.045)
    place.ellipse(0, 0.24, 0.22, 0.16, BLACK)
    place.ellipse(-0.06, 0.18, 0.06, 0.03, (150, 145, 148))


def _face_marks(place: Canvas, coat: Coat, rng: Random) -> None:
    if coat.pattern == "tabby":
        for x in (-0.25, 0, 0.25):
            place.line([(x, -0.78), (x * 0.8, -0.45)], coat.marking, 0.1)
        for side in (-1, 1):
            place.line([(side * 0.95, 0.05), (side * 0.7, 0.12)], coat.marking, 0.07)
            place.line([(side * 0.9, 0.25), (side * 0.68, 0.28)], coat.marking, 0.07)
    elif coat.pattern == "mask":
        place.fluff(0, 0.18, 0.62, 0.5, coat.marking, rng, 0.06)
    elif coat.pattern == "tuxedo":
        place.fluff(0, 0.3, 0.42, 0.5, coat.light, rng, 0.06)
        place.polygon([(-0.12, 0), (0, -0.75), (0.12, 0)], coat.light)
    elif coat.pattern in ("patches", "spots"):
        side = rng.choice([-1, 1])
        place.fluff(side * 0.44, -0.25, 0.38, 0.4, coat.marking, rng, 0.07)
