"""Generates a whole sample site into a folder: all or nothing, and the same bytes for the same seed.

Here the parts meet; what photos look like, who looks at them and how lines are written is not here.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

from photo_popularity.domain.errors import InputError
from photo_popularity.sample_site import law
from photo_popularity.sample_site.database import PhotoRow, write_database
from photo_popularity.sample_site.drawing import KINDS, Drawing, draw
from photo_popularity.sample_site.image_files import broken_files, encode_photo
from photo_popularity.sample_site.log_files import LogFile, write_log_files
from photo_popularity.sample_site.population import Photo, SampleScale, make_owners, make_photos
from photo_popularity.sample_site.site import LAW, MARKER, TRUTH, SampleSite, read_site
from photo_popularity.sample_site.traffic import Request, SeenPhoto, Truth, requests_of_day
from photo_popularity.sample_site.visitors import Crowd

# raise it with every change of what is generated: sites of another version are generated anew
GENERATOR_VERSION = "1"
PEOPLE = 2500
FILE_WITHOUT_ROW, ROW_WITHOUT_FILE = "norow1", "nofile1"
COUNTS = ("views", "likes", "downloads", "bytes", "external_referrals", "robot_views")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class _DrawnPhoto:
    photo: Photo
    width: int
    height: int
    bytes: int
    traits: law.PhotoTraits


def generate_site(
    folder: Path,
    *,
    seed: int = 0,
    scale: SampleScale | None = None,
    progress: Progress | None = None,
) -> SampleSite:
    """Generate the site of a seed into `folder`, or find it complete there.

    A site of another seed, scale or version is replaced. Raises InputError when something else is there.
    """
    tell, scale = progress or (lambda _: None), scale or SampleScale()
    recipe = {"seed": seed, "version": GENERATOR_VERSION, **scale.as_json()}
    marker = folder / MARKER
    if marker.exists():
        stored = json.loads(marker.read_text())
        if stored["recipe"] == recipe:
            tell(f"{folder}: the sample site of seed {seed} is complete, nothing to do")
            return read_site(folder, is_fresh=False)
    elif folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: holds files that are no sample site; name an empty or a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.parent / f".{folder.name}.partial-{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir()
        counts = _write_site(aside, seed, scale, tell)
        days = [str(scale.log_days[0]), str(scale.log_days[-1])]
        document = {"recipe": recipe, "log_days": days, "counts": counts}
        (aside / MARKER).write_text(json.dumps(document, indent=1) + "\n")
        _promote(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return read_site(folder, is_fresh=True)


def _promote(aside: Path, folder: Path) -> None:
    """Put the finished folder in its place; an earlier site moves away first: a rename can't replace it."""
    if folder.exists():
        old = aside.with_name(f"{aside.name}-old")
        folder.rename(old)
        aside.rename(folder)
        shutil.rmtree(old)
    else:
        aside.rename(folder)


def _write_site(folder: Path, seed: int, scale: SampleScale, tell: Progress) -> dict[str, int]:
    owners = make_owners(Random(f"{seed}/owners"), scale)
    photos = make_photos(Random(f"{seed}/photos"), owners, scale)
    drawn = []
    for number, photo in enumerate(photos):
        if number % 100 == 0:
            tell(f"drawing photos: {number} of {len(photos)}")
        drawn.append(_write_photo(folder / "photos", seed, photo))
    draw_labelled_pictures(
        folder / "classifier_training", seed=seed, pictures_a_class=scale.drawings_a_class, tell=tell
    )
    _write_odd_files(folder / "photos", seed, drawn)
    rows = [PhotoRow(one.photo, one.width, one.height) for one in drawn]
    write_database(folder / "site.sqlite", owners, [*rows, _row_without_file(drawn)])
    tell(f"writing access logs of {scale.days} days")
    truth: Truth = {}
    requests = _requests(seed, scale, drawn, truth)
    files = write_log_files(folder / "logs", requests, Random(f"{seed}/lines"))
    _write_law(folder / LAW, seed, scale, drawn)
    _write_truth(folder / TRUTH, truth, files)
    lines, malformed = sum(file.lines for file in files), sum(file.malformed for file in files)
    tell(f"{len(drawn)} photos of {len(owners)} owners, {lines} log lines in {len(files)} files")
    return {"photos": len(drawn), "lines": lines, "malformed_lines": malformed}


def _write_photo(folder: Path, seed: int, photo: Photo) -> _DrawnPhoto:
    rng = Random(f"{seed}/photo/{photo.photo_id}")
    drawing = draw(photo.animal, rng)
    data = encode_photo(
        drawing.image, photo.extension, photo.uploaded_at - timedelta(seconds=rng.randrange(90_000)), rng
    )
    _write(folder / photo.file_name, data)
    width, height = drawing.image.size
    return _DrawnPhoto(photo, width, height, len(data), _traits(photo, drawing))


def _traits(photo: Photo, drawing: Drawing) -> law.PhotoTraits:
    return law.PhotoTraits(
        animal=photo.animal,
        owner_strength=photo.owner.strength,
        luck=photo.luck,
        brightness=drawing.brightness,
        saturation=drawing.saturation,
        aspect=drawing.image.width / drawing.image.height,
        uploaded_at=photo.uploaded_at,
        deleted_at=photo.deleted_at,
    )


def draw_labelled_pictures(folder: Path, *, seed: int, pictures_a_class: int, tell: Progress) -> None:
    """Draw pictures for training a classifier into `folder/cat`, `folder/dog` and `folder/neither`."""
    for kind in KINDS:
        tell(f"drawing {pictures_a_class} labelled pictures: {kind}")
        for number in range(pictures_a_class):
            rng = Random(f"{seed}/training/{kind}/{number}")
            data = encode_photo(draw(kind, rng).image, "jpg", datetime(2026, 1, 1, 12), rng)
            _write(folder / kind / f"{kind}_{number:03d}.jpg", data)


def _write_odd_files(folder: Path, seed: int, drawn: list[_DrawnPhoto]) -> None:
    """A file without a row, and photos of the database whose files are broken or of another format."""
    image = draw("cat", Random(f"{seed}/odd")).image
    middle = [one for one in drawn if one.photo.extension == "jpg"][len(drawn) // 2 :]
    for one, data in zip(middle[::10], broken_files(image).values(), strict=False):
        _write(folder / one.photo.file_name, data)
    first = drawn[0].photo.uploaded_at
    _write(
        folder / f"{first:%Y/%m/%d}/{FILE_WITHOUT_ROW}.jpg",
        encode_photo(image, "jpg", first, Random(f"{seed}/odd file")),
    )


def _row_without_file(drawn: list[_DrawnPhoto]) -> PhotoRow:
    return PhotoRow(
        replace(drawn[len(drawn) // 3].photo, photo_id=ROW_WITHOUT_FILE, title="Where is the file?"), 400, 300
    )


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _requests(seed: int, scale: SampleScale, drawn: list[_DrawnPhoto], truth: Truth) -> Iterator[Request]:
    seen = [
        SeenPhoto(
            one.photo.photo_id,
            one.photo.extension,
            one.bytes,
            partial(law.expected_views, one.traits),
            one.photo.deleted_at,
        )
        for one in drawn
    ]
    # people look at it all the same: the logs know a photo that the database does not
    seen.append(SeenPhoto(FILE_WITHOUT_ROW, "jpg", 20_000, lambda _: 1.0))
    crowd = Crowd(Random(f"{seed}/crowd"), PEOPLE)
    for day in scale.log_days:
        yield from requests_of_day(seed, day, seen, crowd, truth)


def _write_law(path: Path, seed: int, scale: SampleScale, drawn: list[_DrawnPhoto]) -> None:
    expected = {
        str(day): {
            one.photo.photo_id: round(views, 6)
            for one in drawn
            if (views := law.expected_views(one.traits, day)) > 0
        }
        for day in scale.log_days
    }
    photos = {one.photo.photo_id: asdict(one.traits) for one in drawn}
    document = {
        "seed": seed,
        "formula": law.__doc__,
        "parameters": law.parameters(),
        "photos": photos,
        "expected_views": expected,
    }
    path.write_text(json.dumps(document, default=str, separators=(",", ":")) + "\n")


def _write_truth(path: Path, truth: Truth, files: list[LogFile]) -> None:
    columns = ["day", "photo_id", "views", "unique_visitors", *COUNTS[1:]]
    rows = [
        [
            str(day),
            photo_id,
            counts.views,
            len(counts.addresses),
            *(getattr(counts, name) for name in COUNTS[1:]),
        ]
        for (day, photo_id), counts in sorted(truth.items())
    ]
    log_files = [asdict(file) for file in files]
    path.write_text(
        json.dumps({"columns": columns, "rows": rows, "log_files": log_files}, separators=(",", ":")) + "\n"
    )
