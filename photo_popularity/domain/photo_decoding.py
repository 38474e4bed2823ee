"""Bytes of a photo file to a small RGB picture, within limits on memory and time.

Everything that Pillow can do to us belongs here: formats, limits, broken files, colour modes. What is measured on the
picture belongs to `photos`, what EXIF says to `photo_exif`.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from photo_popularity.domain.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

# EPS runs another program, and most of what else Pillow opens is no photo.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "AVIF", "JPEG2000", "PPM", "TGA", "PCX", "QOI")

# What Pillow raises for broken images: OSError (also UnidentifiedImageError, truncated data, codec errors),
# SyntaxError (PNG chunks), EOFError (frames), the rest out of unguarded parsing of headers, chunks and EXIF.
# DecompressionBombError is an Exception of its own and joins the tuple where Pillow is imported.
BROKEN = (
    OSError,
    SyntaxError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)

SIGNATURES = {
    b"\xff\xd8": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
}
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


@dataclass(frozen=True)
class PhotoLimits:
    """What a file may cost: larger ones are reported as problems before they are decoded.

    A JPEG that is not progressive is decoded at an eighth of its size where that suffices, so it may have more pixels.
    """

    file_bytes: int = 64 * 2**20
    pixels: int = 50_000_000
    scaled_jpeg_pixels: int = 150_000_000


@contextmanager
def open_photo(data: bytes, limits: PhotoLimits) -> Iterator[Image.Image]:
    """The photo opened but not decoded; whatever Pillow raises inside the block becomes an InputError.

    The sentence says nothing of the file's name, so that equal bytes have equal problems; callers add the name.
    """
    # Pillow is needed by the steps that open photos only
    from PIL import Image

    if not data:
        raise InputError("The file is empty; upload the photo again.")
    if len(data) > limits.file_bytes:
        raise InputError(
            f"The file has {len(data):,} bytes, more than the limit of {limits.file_bytes:,}; "
            "upload a smaller version."
        )
    Image.init()
    known = tuple(name for name in FORMATS if name in Image.OPEN)
    with warnings.catch_warnings():
        # Pillow warns of EXIF nonsense and of large sizes; what matters of it ends in the row
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data), formats=known) as image:
                _check_size(image, limits)
                yield image
        except (*BROKEN, Image.DecompressionBombError) as error:
            raise InputError(_problem(data, error, limits)) from error


def shrink(image: Image.Image, box: tuple[int, int, int, int], size: tuple[int, int]) -> Image.Image:
    """The part of an opened photo inside `box`, resized to `size`, in RGB; alpha lies on white."""
    from PIL import Image

    width, height = image.size
    # asks the JPEG decoder for 1/2, 1/4 or 1/8 of the size, no smaller than twice what is wanted
    image.draft(None, (2 * max(size), 2 * max(size)))
    image.load()
    ratio_x, ratio_y = image.size[0] / width, image.size[1] / height
    scaled_box = (box[0] * ratio_x, box[1] * ratio_y, box[2] * ratio_x, box[3] * ratio_y)
    source = image
    if image.mode in ("P", "PA"):
        source = image.convert("RGBA")
    elif image.mode == "1":
        source = image.convert("L")
    elif image.mode.startswith("I;16"):
        source = image.convert("I")
    elif "transparency" in image.info and image.mode in ("L", "RGB"):
        source = image.convert("LA" if image.mode == "L" else "RGBA")
    small = source.resize(size, Image.Resampling.BICUBIC, box=scaled_box, reducing_gap=2.0)
    return _to_rgb(small, sixteen_bits=image.mode.startswith("I;16"))


def _to_rgb(image: Image.Image, *, sixteen_bits: bool) -> Image.Image:
    from PIL import Image

    if image.mode in ("I", "F"):
        return _from_numbers(image, sixteen_bits=sixteen_bits)
    if image.mode in ("RGBA", "LA", "RGBa", "La"):
        opaque = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, opaque).convert("RGB")
    return image.convert("RGB")


def _from_numbers(image: Image.Image, *, sixteen_bits: bool) -> Image.Image:
    """Grey values of unknown range to 8 bits: Pillow itself would cut all above 255 to white."""
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)
    highest = float(values.max(initial=0.0))
    if sixteen_bits or 255 < highest <= 65_535:
        white = 65_535.0
    elif highest > 65_535:
        white = highest
    else:
        white = 1.0 if highest <= 1.0 else 255.0
    scaled = np.clip(values / white, 0.0, 1.0) * 255.0
    return Image.fromarray(scaled.round().astype(np.uint8)).convert("RGB")


def _check_size(image: Image.Image, limits: PhotoLimits) -> None:
    width, height = image.size
    scalable = image.format in ("JPEG", "MPO") and not image.info.get("progressive")
    limit = limits.scaled_jpeg_pixels if scalable else limits.pixels
    if width * height > limit:
        raise InputError(_too_large(width * height, limit))


def _too_large(pixels: int, limit: int) -> str:
    return (
        f"The photo claims {pixels:,} pixels, more than the limit of {limit:,}, and was not decoded; "
        "upload a smaller version."
    )


def _problem(data: bytes, error: Exception, limits: PhotoLimits) -> str:
    """One sentence for an exception of Pillow's: cause and next step."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, Image.DecompressionBombError):
        # Pillow's own guard speaks before ours can look at the size, and tells it in its sentence only
        claimed = re.search(r"\d+", str(error))
        return _too_large(int(claimed[0]) if claimed else limits.pixels + 1, limits.pixels)
    if isinstance(error, MemoryError):
        return "The photo needs more memory than there is; upload a smaller version."
    looks_like = next((name for start, name in SIGNATURES.items() if data.startswith(start)), None)
    if isinstance(error, UnidentifiedImageError):
        if data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS:
            return "The photo is HEIC (HEIF), which is not decoded here; convert it to JPEG."
        if looks_like:
            return f"The file starts like {looks_like}, but its header is damaged; upload the photo again."
        return f"The content is no image of a known format ({', '.join(FORMATS)}); upload it as JPEG or PNG."
    name = looks_like or "image"
    detail = " ".join(str(error).split())[:150].rstrip(". ") or type(error).__name__
    if isinstance(error, EOFError) or "truncated" in detail.lower():
        return f"The {name} is cut short ({detail}); upload the photo again."
    return f"The {name} is damaged or of an unusual kind ({detail}); upload it again, as JPEG or PNG."
