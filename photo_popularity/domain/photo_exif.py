"""What EXIF says of a photo: orientation, date, camera, whether it has GPS data. Never the position itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from photo_popularity.domain.photo_decoding import BROKEN

if TYPE_CHECKING:
    from PIL import Image

ORIENTATION, MAKE, MODEL, CHANGED_AT = 0x0112, 0x010F, 0x0110, 0x0132
EXIF_DIRECTORY, GPS_DIRECTORY = 0x8769, 0x8825
TAKEN_AT, DIGITIZED_AT = 0x9003, 0x9004
PLAUSIBLE_YEARS = range(1900, 2101)
CAMERA_CHARACTERS = 100
DATE = re.compile(r"(\d{4})[:\-/.](\d{2})[:\-/.](\d{2})[ T](\d{2}):(\d{2}):(\d{2})")


@dataclass(frozen=True)
class PhotoExif:
    """The part of EXIF that the pipeline uses; the defaults are those of a photo without EXIF."""

    orientation: int = 1
    taken_at: datetime | None = None
    camera: str | None = None
    has_gps: bool = False


def read_exif(image: Image.Image) -> PhotoExif:
    """The EXIF data of an opened photo; read it before decoding, because decoding a TIFF drops the orientation.

    A tag that is absent or nonsense has its default.
    """
    try:
        exif = image.getexif()
        details = exif.get_ifd(EXIF_DIRECTORY)
        gps = exif.get_ifd(GPS_DIRECTORY)
    except BROKEN:
        # a photo with broken EXIF is still a good photo: it counts as one without EXIF
        return PhotoExif()
    # the first date that is there decides: a later edit says nothing of a camera whose clock was not set
    dates = (details.get(TAKEN_AT), details.get(DIGITIZED_AT), exif.get(CHANGED_AT))
    orientation = exif.get(ORIENTATION)
    return PhotoExif(
        orientation=orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1,
        taken_at=parse_date(next((date for date in dates if date), None)),
        camera=camera_name(exif.get(MAKE), exif.get(MODEL)),
        has_gps=bool(gps),
    )


def parse_date(value: object) -> datetime | None:
    """An EXIF date by the camera's clock, without zone; None for "0000:00:00 00:00:00", blanks and other nonsense."""
    match = DATE.match(_text(value))
    if not match:
        return None
    numbers = [int(group) for group in match.groups()]
    if numbers[0] not in PLAUSIBLE_YEARS:
        return None
    try:
        return datetime(*numbers)  # type: ignore[arg-type]  # six numbers: no zone among them
    except ValueError:
        return None


def camera_name(make: object, model: object) -> str | None:
    """Make and model in one line, the make once: `camera_name("Canon", "Canon EOS 5D")` is "Canon EOS 5D"."""
    maker, name = _text(make), _text(model)
    if not name.lower().startswith(maker.lower()):
        name = f"{maker} {name}".strip()
    return name[:CAMERA_CHARACTERS] or None


def _text(value: object) -> str:
    """The printable text of a tag up to its first NUL, with single blanks."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if not isinstance(value, str):
        return ""
    printable = "".join(c if c.isprintable() else " " for c in value.split("\0")[0])
    return " ".join(printable.split())
