"""What visitors did with photos: from the lines of one log file to counts, and from counts of files to days.

Here is what counts as a view, a like, a download, a visitor. How a line is read belongs in `access_log`,
who is a robot in `robots`. Decided where the words leave room:

- A line counts for a photo when it is a person's view, like or download, or a robot's view. Every other
  good line (a robot's like or download, a 404, a HEAD) is a line about no photo: scanners cannot fill the
  table with names.
- Paths are percent-decoded once and matched whole, without the query. `/photos/a/b.jpg` is not directly below
  `/photos/`, nor is `/photos/a%2Fb.jpg`. Image extensions match in either case.
- Own hosts are compared exactly, without case, port and user: name `www.` too where the site uses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

import numpy as np
import pandas as pd

from photo_popularity.domain.access_log import Rejected, Request, read_lines
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.robots import RobotDetector

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "gif", "webp", "avif", "heic", "bmp", "tif", "tiff")
VIEW_STATUSES = frozenset({200, 206, 304})
MAX_QUARANTINED_CHARACTERS = 500
CACHED_VALUES = 65_536
SECONDS_PER_DAY = 86_400
COUNTS = ["views", "likes", "downloads", "bytes", "external_referrals", "robot_views"]

_SIGNAL_KEY = ["day", "photo_id"]
_SIGNALS = [*_SIGNAL_KEY, "lines", *COUNTS, "visitors", "salt_version"]
_BEHAVIOR = [*_SIGNAL_KEY, "views", "unique_visitors", *COUNTS[1:]]
_LIST_SETTINGS = {
    "own_hosts": (r"[\w.-]+|\[[0-9A-Fa-f:.]+\]", "a host without scheme, port and path"),
    "image_extensions": (r"[A-Za-z0-9]+", "letters and digits without a dot"),
    "robot_patterns": (r"(?s).*", "a regular expression"),
}
_HTTP_HOST = re.compile(rb"https?://(?:[^/?#@]*@)?(\[[^\]/?#]*\]|[^/?#:]+)", re.IGNORECASE)


@dataclass(frozen=True)
class BehaviorRules:
    """The site's own settings of what counts; InputError names the one that makes no sense.

    The patterns are regular expressions for a whole path, each with a group `photo_id`; a dot and one of
    `image_extensions` follow what `view_pattern` matches. `robot_patterns` come on top of the known robots.
    """

    view_pattern: str = r"/photos/(?P<photo_id>[^/]+)"
    like_pattern: str = r"/photos/(?P<photo_id>[^/]+)/like"
    download_pattern: str = r"/photos/(?P<photo_id>[^/]+)/download"
    own_hosts: tuple[str, ...] = ("photos.example",)
    image_extensions: tuple[str, ...] = IMAGE_EXTENSIONS
    robot_patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("view_pattern", "like_pattern", "download_pattern"):
            _check_pattern(name, getattr(self, name))
        for name, (allowed, wanted) in _LIST_SETTINGS.items():
            value = getattr(self, name)
            if not isinstance(value, tuple | list) or not all(re.fullmatch(allowed, item) for item in value):
                raise InputError(
                    f"{name} is {value!r}, but has to be a list, each {wanted}; correct the setting"
                )
        if not self.image_extensions:
            raise InputError("image_extensions is empty, so no view could ever count; name at least one")
        RobotDetector(self.robot_patterns)


@dataclass(frozen=True)
class LogScan:
    """What one log file holds: `lines` is `good` plus the rows of `quarantined`.

    `signals` and `quarantined` have the columns of log_signals and quarantined_lines without the file's name; the
    lines of `signals` sum up to `good`. The moments are those of the earliest and the latest good line, in UTC; None
    without one.
    """

    signals: pd.DataFrame
    quarantined: pd.DataFrame
    lines: int
    good: int
    first_moment: datetime | None
    last_moment: datetime | None


def visitor_hash(address: bytes, salt: str) -> int:
    """A client's pseudonym, an unsigned 64-bit number that cannot be reversed without the salt."""
    # blake2b takes keys of up to 64 bytes; a longer salt counts with all of it
    key = blake2b(salt.encode()).digest()
    return int.from_bytes(blake2b(address, digest_size=8, key=key).digest(), "big")


def scan_log(stream: BinaryIO, *, rules: BehaviorRules, salt: str, salt_version: str) -> LogScan:
    """The signals and the quarantined lines of one log file, plain or gzip."""
    deed_of = _deed_classifier(rules)
    is_external = _external_referrer(rules.own_hosts)
    visitor = lru_cache(maxsize=CACHED_VALUES)(lambda address: visitor_hash(address, salt))
    tallies: dict[tuple[int, str | None], _Tally] = {}
    quarantined: list[tuple[int, str, str]] = []
    good, first, last = 0, None, None
    for line in read_lines(stream):
        if isinstance(line, Rejected):
            quarantined.append((line.line_number, line.reason, _printable(line.line)))
            continue
        good += 1
        moment = line.epoch_seconds
        first = moment if first is None or moment < first else first
        last = moment if last is None or moment > last else last
        deed, photo_id = deed_of(line)
        key = (moment // SECONDS_PER_DAY, photo_id)
        tally = tallies.get(key)
        if tally is None:
            tally = tallies[key] = _Tally()
        tally.lines += 1
        if deed == "view":
            tally.views += 1
            tally.bytes += line.size
            tally.external_referrals += is_external(line.referrer)
            tally.visitors.add(visitor(line.address))
        elif deed == "robot view":
            tally.robot_views += 1
        elif deed == "like":
            tally.likes += 1
        elif deed == "download":
            tally.downloads += 1
    return LogScan(
        signals=_signals_frame(tallies, salt_version=salt_version),
        quarantined=_quarantined_frame(quarantined),
        lines=good + len(quarantined),
        good=good,
        first_moment=None if first is None else datetime.fromtimestamp(first, UTC),
        last_moment=None if last is None else datetime.fromtimestamp(last, UTC),
    )


def merge_signals(signals: pd.DataFrame, days: Sequence[pd.Timestamp]) -> pd.DataFrame:
    """The behavior_signals of some days, from the log_signals of every file that holds lines of them.

    Visitors are exact: a client in two files counts once. A photo without any count that day has no row, nor
    has a day without signals. Raises InputError when the files of a day were hashed with different salts.
    """
    chosen = signals[signals["day"].isin(list(days))]
    _check_one_salt_a_day(chosen)
    # one photo_id column may hold only nulls, which have another type
    photos = chosen[chosen["photo_id"].notna()].astype({"photo_id": "str"}).reset_index(drop=True)
    by_photo = photos.groupby(_SIGNAL_KEY, sort=True)
    merged = by_photo[COUNTS].sum()
    merged["unique_visitors"] = _distinct_in_groups(
        photos["visitors"], by_photo.ngroup().to_numpy(), len(merged)
    )
    merged = merged[(merged[COUNTS] > 0).any(axis=1)].reset_index()
    types = dict.fromkeys(_BEHAVIOR[2:], "int64")
    return merged[_BEHAVIOR].astype({"day": "datetime64[us]", **types})


@dataclass(slots=True)
class _Tally:
    """What one file holds about one photo on one day."""

    lines: int = 0
    views: int = 0
    likes: int = 0
    downloads: int = 0
    bytes: int = 0
    external_referrals: int = 0
    robot_views: int = 0
    visitors: set[int] = field(default_factory=set)


def _deed_classifier(rules: BehaviorRules) -> Callable[[Request], tuple[str, str | None]]:
    """A function that says what a request did to which photo; the photo is None when nothing counts."""
    extensions = "|".join(rules.image_extensions)
    view = re.compile(rf"(?:{rules.view_pattern})\.(?i:{extensions})")
    like, download = re.compile(rules.like_pattern), re.compile(rules.download_pattern)
    is_robot = RobotDetector(rules.robot_patterns).is_robot

    @lru_cache(maxsize=CACHED_VALUES)
    def subject(method: bytes, target: bytes) -> tuple[str, str | None]:
        path = _decoded_path(target)
        if path is None:
            return "", None
        deeds = {b"GET": (("view", view), ("download", download)), b"POST": (("like", like),)}
        for deed, pattern in deeds.get(method, ()):
            match = pattern.fullmatch(path)
            if match and match["photo_id"]:
                return deed, match["photo_id"]
        return "", None

    def deed_of(request: Request) -> tuple[str, str | None]:
        if request.method is None or request.target is None or not 200 <= request.status <= 304:
            return "", None
        deed, photo_id = subject(request.method, request.target)
        counts = request.status in VIEW_STATUSES if deed == "view" else request.status < 300
        if photo_id is None or not counts:
            return "", None
        if not is_robot(request.agent):
            return deed, photo_id
        return ("robot view", photo_id) if deed == "view" else ("", None)

    return deed_of


def _decoded_path(target: bytes) -> str | None:
    """The path as the server understood it, None when it is no printable text."""
    path = target.partition(b"?")[0]
    try:
        text = (unquote_to_bytes(path) if b"%" in path else path).decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def _external_referrer(own_hosts: tuple[str, ...]) -> Callable[[bytes | None], bool]:
    own = {host.lower().rstrip(".").encode() for host in own_hosts}

    @lru_cache(maxsize=CACHED_VALUES)
    def is_external(referrer: bytes | None) -> bool:
        match = _HTTP_HOST.match(referrer or b"")
        return match is not None and match[1].lower().rstrip(b".") not in own

    return is_external


def _printable(line: bytes) -> str:
    start = line[:MAX_QUARANTINED_CHARACTERS]
    text = "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in start)
    return text[:MAX_QUARANTINED_CHARACTERS]


def _signals_frame(tallies: dict[tuple[int, str | None], _Tally], *, salt_version: str) -> pd.DataFrame:
    ordered = sorted(tallies.items(), key=lambda item: (item[0][0], item[0][1] is None, item[0][1] or ""))
    rows = [
        (
            np.datetime64(day, "D"),
            photo_id,
            tally.lines,
            *(getattr(tally, name) for name in COUNTS),
            np.array(sorted(tally.visitors), dtype=np.uint64),
            salt_version,
        )
        for (day, photo_id), tally in ordered
    ]
    texts = dict.fromkeys(["photo_id", "salt_version"], "str")
    numbers = dict.fromkeys(["lines", *COUNTS], "int64")
    return pd.DataFrame(rows, columns=_SIGNALS).astype({"day": "datetime64[us]", **texts, **numbers})


def _quarantined_frame(rows: list[tuple[int, str, str]]) -> pd.DataFrame:
    types = {"line_number": "int64", "reason": "str", "line": "str"}
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _distinct_in_groups(lists: pd.Series, groups: np.ndarray, group_count: int) -> np.ndarray:
    """How many distinct values the lists of each group hold together."""
    if lists.empty:
        return np.zeros(group_count, dtype=np.int64)
    values = np.concatenate([np.asarray(one, dtype=np.uint64) for one in lists])
    owners = np.repeat(groups, lists.map(len).to_numpy(dtype=np.int64))
    order = np.lexsort((values, owners))
    values, owners = values[order], owners[order]
    is_first = np.ones(len(values), dtype=bool)
    is_first[1:] = (values[1:] != values[:-1]) | (owners[1:] != owners[:-1])
    return np.bincount(owners[is_first], minlength=group_count)


def _check_one_salt_a_day(signals: pd.DataFrame) -> None:
    salts = signals.groupby("day")["salt_version"].nunique()
    if (salts <= 1).all():
        return
    day = salts[salts > 1].index[0]
    files = signals[signals["day"] == day].groupby("salt_version")["file"].first()
    examples = ", ".join(f"{file} has {salt}" for salt, file in files.items())
    raise InputError(
        f"{day:%Y-%m-%d}: its log files were hashed with different salts ({examples}), so visitors cannot be "
        "counted; materialize log_signals of the older ones again"
    )


def _check_pattern(name: str, pattern: str) -> None:
    try:
        compiled = re.compile(pattern)
    except (re.error, TypeError) as error:
        raise InputError(
            f"{name} {pattern!r} is not a regular expression ({error}); correct it in the settings"
        ) from error
    if "photo_id" not in compiled.groupindex:
        raise InputError(f"{name} {pattern!r} has no group (?P<photo_id>...); add it in the settings")
