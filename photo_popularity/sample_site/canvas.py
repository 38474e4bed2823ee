"""A canvas with places: shapes are given in units of a place, however it is moved, turned or scaled.

Knows nothing of cats, dogs or photos.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from random import Random

from PIL import Image, ImageDraw

Color = tuple[int, int, int]
Point = tuple[float, float]

# drawn larger and scaled down at the end: that is what makes the edges smooth
SUPERSAMPLING = 2


def mix(first: Color, second: Color, share: float) -> Color:
    """A colour between two; share 0 is the first, 1 the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


class Canvas:
    """A place on an image: its origin, its unit and its turn are one affine map of the complex plane."""

    def __init__(self, image: Image.Image, origin: complex, unit: complex, mirrored: bool) -> None:
        self._image = image
        self._draw = ImageDraw.Draw(image)
        self._origin, self._unit, self._mirrored = origin, unit, mirrored

    @classmethod
    def of_size(cls, width: int, height: int) -> Canvas:
        """An empty canvas whose unit is one pixel of the finished image."""
        image = Image.new("RGB", (width * SUPERSAMPLING, height * SUPERSAMPLING))
        return cls(image, 0j, complex(SUPERSAMPLING), mirrored=False)

    def at(self, x: float, y: float, *, scale: float = 1, turn: float = 0, mirrored: bool = False) -> Canvas:
        """A place at (x, y), `turn` degrees clockwise, whose unit is `scale` units of this one."""
        step = cmath.rect(scale, math.radians(turn))
        unit = self._unit * (step.conjugate() if self._mirrored else step)
        return Canvas(self._image, self._pixel(complex(x, y)), unit, self._mirrored != mirrored)

    def finished(self) -> Image.Image:
        """The image at its real size."""
        width, height = self._image.size
        return self._image.reduce(SUPERSAMPLING) if width and height else self._image

    def polygon(self, points: Sequence[Point], fill: Color) -> None:
        """A filled polygon."""
        self._fill([complex(x, y) for x, y in points], fill)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Color, turn: float = 0) -> None:
        """A filled ellipse."""
        self._fill(self._outline(x, y, rx, ry, turn, 36), fill)

    def fluff(
        self, x: float, y: float, rx: float, ry: float, fill: Color, rng: Random, depth: float = 0.04
    ) -> None:
        """A filled ellipse with an edge of fur; `depth` is the length of the hair against the radius."""
        centre = complex(x, y)
        hairs = self._outline(x, y, rx, ry, 0, 90)
        self._fill([centre + (z - centre) * (1 + rng.uniform(-depth, depth)) for z in hairs], fill)

    def blob(self, points: Sequence[Point], fill: Color) -> None:
        """A filled shape with a smooth outline through the points."""
        ring = [complex(x, y) for x, y in points]
        self._fill(_smooth([ring[-1], *ring, ring[0], ring[1]]), fill)

    def line(self, points: Sequence[Point], fill: Color, width: float) -> None:
        """A smooth line with round ends through the points."""
        path = [complex(x, y) for x, y in points]
        if len(path) > 2:
            path = _smooth([path[0], *path, path[-1]])
        pixels = [self._pixel(z) for z in path]
        thick = max(abs(self._unit) * width, 1.0)
        self._draw.line([(z.real, z.imag) for z in pixels], fill=fill, width=round(thick), joint="curve")
        if thick > 4:
            for end in (pixels[0], pixels[-1]):
                radius = thick / 2
                box = (end.real - radius, end.imag - radius, end.real + radius, end.imag + radius)
                self._draw.ellipse(box, fill=fill)

    def gradient(self, top: float, bottom: float, upper: Color, lower: Color) -> None:
        """A vertical gradient over the whole width of the image, between two heights of this place."""
        first, last = round(self._pixel(complex(0, top)).imag), round(self._pixel(complex(0, bottom)).imag)
        for row in range(first, last + 1):
            color = mix(upper, lower, (row - first) / max(last - first, 1))
            self._draw.line([(0, row), (self._image.width, row)], fill=color)

    def _outline(self, x: float, y: float, rx: float, ry: float, turn: float, count: int) -> list[complex]:
        rotation = cmath.rect(1, math.radians(turn))
        angles = (2 * math.pi * k / count for k in range(count))
        return [complex(x, y) + rotation * complex(rx * math.cos(a), ry * math.sin(a)) for a in angles]

    def _pixel(self, z: complex) -> complex:
        return self._origin + self._unit * (complex(-z.real, z.imag) if self._mirrored else z)

    def _fill(self, points: Sequence[complex], fill: Color) -> None:
        pixels = [self._pixel(z) for z in points]
        self._draw.polygon([(z.real, z.imag) for z in pixels], fill=fill)


def _smooth(path: Sequence[complex], steps: int = 8) -> list[complex]:
    """Catmull-Rom spline through all points but the first and the last."""
    curve: list[complex] = []
    for a, b, c, d in zip(path, path[1:], path[2:], path[3:], strict=False):
        for k in range(steps):
            t = k / steps
            curve.append(
                0.5
                * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
            )
    return [*curve, path[-2]]
