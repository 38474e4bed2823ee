"""Drawings as files: JPEG and PNG with what a camera writes, and the broken files that every site has."""

from __future__ import annotations

import io
from datetime import datetime
from random import Random

from PIL import Image

CAMERAS = (("Fujifilm", "X-T5"), ("Apple", "iPhone 15"), ("Google", "Pixel 8"), ("Canon", "EOS R6"))
MAKE, MODEL, DATE_TIME, ORIENTATION, EXIF_IFD, GPS_IFD = 0x010F, 0x0110, 0x0132, 0x0112, 0x8769, 0x8825
DATE_TIME_ORIGINAL = 0x9003
# how the pixels lie in the file for an EXIF orientation that turns them upright again
TURNED = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


def encode_photo(image: Image.Image, extension: str, taken_at: datetime, rng: Random) -> bytes:
    """The bytes of a photo file; two of three JPEG have EXIF, some of those a position or an orientation."""
    sink = io.BytesIO()
    if extension == "png":
        image.save(sink, "PNG", compress_level=4)
        return sink.getvalue()
    exif, quality = Image.Exif(), rng.choice((62, 75, 85, 90))
    if rng.random() < 0.66:
        orientation = rng.choices((1, 3, 6, 8), weights=(85, 3, 8, 4))[0]
        if orientation in TURNED:
            image = image.transpose(TURNED[orientation])
        exif = _exif(orientation, taken_at, rng)
    image.save(sink, "JPEG", quality=quality, exif=exif)
    return sink.getvalue()


def broken_files(image: Image.Image) -> dict[str, bytes]:
    """Files named .jpg that are something else, by what is wrong with them."""
    jpeg, gif = io.BytesIO(), io.BytesIO()
    image.save(jpeg, "JPEG", quality=85)
    image.resize((128, 96)).convert("P").save(gif, "GIF")
    return {
        "text": b"This was meant to be a photo of my cat.\n",
        "gif": gif.getvalue(),
        "truncated": jpeg.getvalue()[: len(jpeg.getvalue()) * 2 // 5],
    }


def _exif(orientation: int, taken_at: datetime, rng: Random) -> Image.Exif:
    exif = Image.Exif()
    exif[MAKE], exif[MODEL] = rng.choice(CAMERAS)
    exif[DATE_TIME] = f"{taken_at:%Y:%m:%d %H:%M:%S}"
    exif[ORIENTATION] = orientation
    exif.get_ifd(EXIF_IFD)[DATE_TIME_ORIGINAL] = f"{taken_at:%Y:%m:%d %H:%M:%S}"
    if rng.random() < 0.3:
        minutes = float(rng.randrange(60))
        exif.get_ifd(GPS_IFD).update({1: "N", 2: (52.0, minutes, 0.0), 3: "E", 4: (13.0, minutes, 0.0)})
    return exif
