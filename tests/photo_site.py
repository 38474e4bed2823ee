"""A photo site of a few photos and 24 days, made by the test: a folder of drawn photos, access logs, an SQLite database."""

from __future__ import annotations

import io
import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

from photo_popularity.sample_site.database import SCHEMA
from photo_popularity.sample_site.drawing import KINDS, draw
from resources.environment import Environment
from resources.settings import Settings

FIRST_DAY, LAST_DAY = date(2026, 10, 1), date(2026, 10, 24)
# each log file holds a day from this time on: two UTC days
ROTATED_AT = time(6)
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@dataclass(frozen=True)
class PhotoSite:
    """The site in a folder; its methods change it as its users would."""

    folder: Path

    @property
    def photos(self) -> Path:
        return self.folder / "photos"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def photo_file(self, photo_id: str) -> Path:
        """Where the file of one of the first photos lies."""
        return next(self.photos.rglob(f"{photo_id}.jpg"))

    def log_file(self, day: date) -> Path:
        return self.logs / f"access.log-{day:%Y%m%d}"

    def write_photo(self, file: str, *, seed: int = 0) -> Path:
        """A drawn photo; another seed is another picture."""
        path = self.photos / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawing(seed))
        return path

    def add_row(self, photo_id: str, uploaded_at: datetime, *, file: str, owner: str = "ann") -> None:
        self.change(
            "INSERT INTO photos VALUES (?, ?, ?, ?, ?, 64, 48, ?, ?, NULL)",
            (photo_id, owner, f"Title of {photo_id}", "pets", file, str(uploaded_at), str(uploaded_at)),
        )

    def change(self, statement: str, values: tuple[object, ...] = ()) -> None:
        """Run one statement on the site's database."""
        with closing(sqlite3.connect(self.folder / "site.sqlite")) as connection, connection:
            connection.execute(statement, values)

    def environment(self, home: Path, **settings: str) -> Environment:
        """A local environment on this site."""
        given = {
            "photos": str(self.photos),
            "logs": str(self.logs),
            "database": f"sqlite:///{self.folder / 'site.sqlite'}",
            "classifier": str(self.folder / "classifier.skops"),
            "first_day": str(FIRST_DAY),
        }
        return Environment("local", "ann", home, Settings(**(given | settings)))  # type: ignore[arg-type]


def make_site(folder: Path, *, photos: int = 8, days: int = 24) -> PhotoSite:
    """Photos p1, p2, ... uploaded on the first days, each viewed some times a day; the classifier is not part of it."""
    site = PhotoSite(folder)
    site.logs.mkdir(parents=True)
    with closing(sqlite3.connect(folder / "site.sqlite")) as connection, connection:
        connection.executescript(SCHEMA)
        connection.execute("INSERT INTO users VALUES ('ann', '2025-01-01 00:00:00')")
    uploads = {}
    for number in range(1, photos + 1):
        uploaded = datetime.combine(FIRST_DAY + timedelta(days=number // 2), time(9))
        uploads[f"p{number}"] = uploaded
        file = f"{uploaded:%Y/%m/%d}/p{number}.jpg"
        site.write_photo(file, seed=number)
        site.add_row(f"p{number}", uploaded, file=file)
    for offset in range(days):
        day = FIRST_DAY + timedelta(days=offset)
        site.log_file(day).write_text("".join(lines_of_a_file(day, uploads)))
    return site


def lines_of_a_file(day: date, uploads: dict[str, datetime]) -> list[str]:
    """The lines from 06:00 on of the day to 06:00 of the next: more views for a photo of a higher number."""
    rng = random.Random(str(day))
    start = datetime.combine(day, ROTATED_AT)
    lines = [log_line(start, "/"), log_line(start + timedelta(hours=23, minutes=59), "/")]
    for number, (photo_id, uploaded) in enumerate(uploads.items(), start=1):
        for _ in range(rng.randrange(number, 2 * number + 2)):
            moment = start + timedelta(seconds=rng.randrange(86_000))
            if moment > uploaded:
                address = f"10.0.0.{rng.randrange(1, 9)}"
                lines.append(log_line(moment, f"/photos/{photo_id}.jpg", address=address))
    return lines


def log_line(
    moment: datetime, path: str, *, address: str = "10.0.0.1", status: int = 200, agent: str = BROWSER
) -> str:
    """One line in Combined format, UTC."""
    return (
        f'{address} - - [{moment:%d/%b/%Y:%H:%M:%S} +0000] "GET {path} HTTP/1.1" {status} 500 "-" "{agent}"\n'
    )


def drawing(seed: int) -> bytes:
    """The bytes of a small drawn photo."""
    kind = sorted(KINDS)[seed % len(KINDS)]
    image = draw(kind, random.Random(seed)).image.convert("RGB").resize((64, 48))
    sink = io.BytesIO()
    image.save(sink, format="JPEG", quality=80)
    return sink.getvalue()


def train_small_classifier(folder: Path, output: Path) -> None:
    """A real classifier, trained in a second on a few drawings."""
    from photo_popularity.domain.classifier_training import train_classifier

    for kind in KINDS:
        (folder / kind).mkdir(parents=True)
    for seed in range(8 * len(KINDS)):
        (folder / sorted(KINDS)[seed % len(KINDS)] / f"{seed}.jpg").write_bytes(drawing(seed))
    output.write_bytes(train_classifier(folder).data)
