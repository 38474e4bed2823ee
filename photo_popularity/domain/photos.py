"""What one photo file holds: the row of photo_content, and the pixels that classifiers see.

How a file is opened within limits is in `photo_decoding`; what the photo shows is for `classification` to say.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from photo_popularity.domain.content import version_of
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.photo_decoding import PhotoLimits, open_photo, shrink
from photo_popularity.domain.photo_exif import PhotoExif, read_exif

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

DEFAULT_LIMITS = PhotoLimits()
MEASURED_PIXELS = 128
# resizing differs in the last bits between processors; equal photos must have equal rows
MEASUREMENT_DIGITS = 6
SIDEWAYS = range(5, 9)
MOST_FRAMES = 2**31 - 1


@dataclass(frozen=True)
class Measurements:
    """Numbers of the whole picture, from a thumbnail; their ranges stand with the table's schema."""

    brightness: float | None = None
    contrast: float | None = None
    saturation: float | None = None
    warmth: float | None = None
    sharpness: float | None = None


@dataclass(frozen=True)
class Header:
    """What is known before the picture is decoded; width and height as displayed, with the orientation applied."""

    format: str | None = None
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    orientation: int | None = None
    taken_at: datetime | None = None
    camera: str | None = None
    has_gps: bool | None = None


def read_photo(data: bytes, *, limits: PhotoLimits = DEFAULT_LIMITS) -> dict[str, object]:
    """The photo_content row of a file, without its name.

    Never fails for what the bytes are: `problem` then says why, the measurements are None, and the header's columns
    are None where the header could not be read either.
    """
    header, measurements, problem = Header(), Measurements(), None
    try:
        with open_photo(data, limits) as image:
            header = _read_header(image)
            picture = _thumbnail(image)
        measurements = _measure(picture)
    except InputError as error:
        problem = str(error)
    return {
        "content_version": version_of(data),
        "bytes": len(data),
        **asdict(header),
        **asdict(measurements),
        "problem": problem,
    }


def load_pixels(data: bytes, *, size: int, limits: PhotoLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """The middle square of a photo as displayed: uint8 of shape (size, size, 3), RGB.

    Raises InputError for a photo that can't be read.
    """
    import numpy as np

    with open_photo(data, limits) as image:
        orientation = read_exif(image).orientation
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        square = shrink(image, (left, top, left + side, top + side), (size, size))
        upright = _turn(square, 1 if image.format == "TIFF" else orientation)
    return np.asarray(upright, dtype=np.uint8)


def _read_header(image: Image.Image) -> Header:
    exif: PhotoExif = read_exif(image)
    width, height = image.size
    # Pillow turns TIFF by itself, header included
    if exif.orientation in SIDEWAYS and image.format != "TIFF":
        width, height = height, width
    frames = min(int(getattr(image, "n_frames", 1)), MOST_FRAMES)
    return Header(format=image.format, width=width, height=height, frames=frames, **asdict(exif))


def _thumbnail(image: Image.Image) -> Image.Image:
    width, height = image.size
    ratio = min(1.0, MEASURED_PIXELS / max(width, height))
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    return shrink(image, (0, 0, width, height), size)


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    """The picture as displayed, from EXIF 2.32, tag Orientation."""
    from PIL import Image

    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _measure(picture: Image.Image) -> Measurements:
    """Luminance by ITU-R BT.601; sharpness is the spread of its Laplacian."""
    import numpy as np

    pixels = np.asarray(picture, dtype=np.float64) / 255.0
    luminance = pixels @ np.array([0.299, 0.587, 0.114])
    highest, lowest = pixels.max(axis=2), pixels.min(axis=2)
    saturation = (highest - lowest) / np.where(highest > 0, highest, 1.0)
    inner = luminance[1:-1, 1:-1]
    laplacian = (
        luminance[:-2, 1:-1] + luminance[2:, 1:-1] + luminance[1:-1, :-2] + luminance[1:-1, 2:] - 4 * inner
    )
    return Measurements(
        brightness=_rounded(luminance.mean()),
        # half black and half white has the largest spread, 0.5
        contrast=_rounded(2 * luminance.std()),
        saturation=_rounded(saturation.mean()),
        warmth=_rounded(pixels[..., 0].mean() - pixels[..., 2].mean()),
        sharpness=_rounded(laplacian.std()) if laplacian.size else 0.0,
    )


def _rounded(value: float) -> float:
    # adding zero turns -0.0 into 0.0
    return round(float(value), MEASUREMENT_DIGITS) + 0.0
