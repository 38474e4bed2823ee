"""Who uploads which photo when: owners and photos as plain records, before anything is drawn or viewed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from random import Random

from photo_popularity.sample_site import law
from photo_popularity.sample_site.drawing import KINDS

ID_LETTERS = "bcdfghjkmnpqrstvwxz23456789"
NAMES = (
    "Miso",
    "Luna",
    "Balou",
    "Nala",
    "Oskar",
    "Pixel",
    "Momo",
    "Rocky",
    "Biscuit",
    "Tofu",
    "Sir Fluff",
    "Kiwi",
)
TITLES = {
    "cat": (
        "{name} in the sun",
        'She said "no", {name} said yes',
        "{name}, again, on the keyboard",
        "Box = mine 🐱",
        "{name}",
    ),
    "dog": (
        "{name} found a stick",
        "Walk, walk, walk!\nAnd then: a walk",
        '"Good boy", they said',
        "{name} 🐶🎾",
        "Muddy paws, happy {name}",
    ),
    "neither": (
        "Sunday, no pets",
        'From the "other" album',
        "Weekend\nin the hills 🌄",
        "Still life, with coffee",
        "Colours",
    ),
}
ALBUMS = ("best of", "autumn, 2026", "home", "on the road", None)


@dataclass(frozen=True)
class SampleScale:
    """How large a sample site is; days are UTC days of complete logs."""

    first_day: date = date(2026, 9, 25)
    days: int = 45
    photos_a_day: int = 8
    earlier_photos: int = 60
    owners: int = 40
    drawings_a_class: int = 80

    @property
    def log_days(self) -> list[date]:
        """The days that the logs cover from midnight to midnight."""
        return [self.first_day + timedelta(days=k) for k in range(self.days)]

    def as_json(self) -> dict[str, int | str]:
        """The scale as it is kept in a file."""
        return {**asdict(self), "first_day": str(self.first_day)}


@dataclass(frozen=True)
class Owner:
    """A user of the site; `strength` and `cat_share` belong to the law, not to the database."""

    owner_id: str
    joined_at: datetime
    strength: float
    activity: float
    cat_share: float


@dataclass(frozen=True)
class Photo:
    """A row of the database with what the law knows beyond it."""

    photo_id: str
    owner: Owner
    animal: str
    luck: float
    title: str | None
    album: str | None
    extension: str
    uploaded_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None

    @property
    def file_name(self) -> str:
        """Path below the photo folder."""
        return f"{self.uploaded_at:%Y/%m/%d}/{self.photo_id}.{self.extension}"


def make_owners(rng: Random, scale: SampleScale) -> list[Owner]:
    """Owners who joined in the two years before the logs begin."""
    start = datetime.combine(scale.first_day, datetime.min.time(), UTC)
    return [
        Owner(
            owner_id=f"u{number:04d}",
            joined_at=start - timedelta(days=rng.randrange(35, 730), seconds=rng.randrange(86_400)),
            strength=rng.gauss(0, law.OWNER_SIGMA),
            activity=math.exp(rng.gauss(0, 0.6)),
            cat_share=rng.betavariate(1.2, 1.2),
        )
        for number in range(scale.owners)
    ]


def make_photos(rng: Random, owners: list[Owner], scale: SampleScale) -> list[Photo]:
    """Photos in order of upload: some before the logs begin, then `photos_a_day` or more on every day."""
    seen: set[str] = set()
    photos = [_photo(rng, owners, day, seen) for day in _upload_days(rng, scale)]
    photos.sort(key=lambda photo: (photo.uploaded_at, photo.photo_id))
    end = datetime.combine(scale.log_days[-1], datetime.min.time(), UTC)
    return [_after_upload(rng, photo, end) for photo in photos]


def _upload_days(rng: Random, scale: SampleScale) -> Iterator[date]:
    for _ in range(scale.earlier_photos):
        yield scale.first_day - timedelta(days=rng.randrange(1, 31))
    for day in scale.log_days:
        for _ in range(scale.photos_a_day + rng.randrange(2)):
            yield day


def _photo(rng: Random, owners: list[Owner], day: date, seen: set[str]) -> Photo:
    owner = rng.choices(owners, weights=[owner.activity for owner in owners])[0]
    pet = "cat" if rng.random() < owner.cat_share else "dog"
    animal = rng.choices((pet, *KINDS), weights=(60, 10, 10, 20))[0]
    photo_id = ""
    while not photo_id or photo_id in seen:
        photo_id = "".join(rng.choices(ID_LETTERS, k=6))
    seen.add(photo_id)
    uploaded_at = datetime.combine(day, datetime.min.time(), UTC) + timedelta(seconds=_second_of_day(rng))
    title = rng.choice(TITLES[animal]).format(name=rng.choice(NAMES))
    return Photo(
        photo_id=photo_id,
        owner=owner,
        animal=animal,
        luck=rng.gauss(0, law.LUCK_SIGMA),
        title=title if rng.random() > 0.05 else None,
        album=rng.choice(ALBUMS),
        extension="png" if rng.random() < 0.04 else "jpg",
        uploaded_at=uploaded_at,
        updated_at=uploaded_at,
    )


def _second_of_day(rng: Random) -> int:
    """People upload at all hours, most between 6 and 22."""
    hour = rng.randrange(24) if rng.random() < 0.3 else rng.randrange(6, 22)
    return hour * 3600 + rng.randrange(3600)


def _after_upload(rng: Random, photo: Photo, end: datetime) -> Photo:
    """A few photos are edited or deleted some days after their upload, before the logs end."""
    chance, later = rng.random(), photo.uploaded_at + timedelta(seconds=rng.randrange(86_400, 20 * 86_400))
    if later >= end or chance > 0.12:
        return photo
    if chance < 0.03:
        return replace(photo, updated_at=later, deleted_at=later)
    return replace(photo, updated_at=later, title=f"{photo.title or 'Untitled'} (edited)")
