"""What counts as a view, a like, a download, a robot and another site, by the rules of a site.

How a line is read belongs in `access_log`, who is a robot in `robots`, counting in `log_scan`. Decided where the words
leave room:

- A line counts for a photo when it is a person's view, like or download, or a robot's view. Every other
  good line (a robot's like or download, a 404, a HEAD) is a line about no photo: scanners cannot fill the
  table with names.
- Paths are percent-decoded once and matched whole, without the query. `/photos/a/b.jpg` is not directly below
  `/photos/`, nor is `/photos/a%2Fb.jpg`. Image extensions match in either case.
- Own hosts are compared exactly, without case, port and user: name `www.` too where the site uses it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import unquote_to_bytes

from photo_popularity.domain.errors import InputError
from photo_popularity.domain.robots import RobotDetector

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "gif", "webp", "avif", "heic", "bmp", "tif", "tiff")
VIEW_STATUSES = frozenset({200, 206, 304})
CACHED_VALUES = 65_536
COUNTS = ["views", "likes", "downloads", "bytes", "external_referrals", "robot_views"]

_LIST_SETTINGS = {
    "own_hosts": (r"[\w.-]+|\[[0-9A-Fa-f:.]+\]", "a host without scheme, port and path"),
    "image_extensions": (r"[A-Za-z0-9]+", "letters and digits without a dot"),
    "robot_patterns": (r"(?s).*", "a regular expression"),
}
_PATTERNS = ("view_pattern", "like_pattern", "download_pattern")
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
        for name in _PATTERNS:
            _check_pattern(name, getattr(self, name))
        for name, (allowed, wanted) in _LIST_SETTINGS.items():
            value = getattr(self, name)
            if not isinstance(value, tuple | list) or not all(re.fullmatch(allowed, item) for item in value):
                raise InputError(
                    f"{name} is {value!r}, but has to be a list, each {wanted}; correct the setting"
                )
            object.__setattr__(self, name, tuple(value))
        if not self.image_extensions:
            raise InputError("image_extensions is empty, so no view could ever count; name at least one")
        RobotDetector(self.robot_patterns)


class Meanings:
    """What the texts of a line mean by the rules of a site; each is looked into once while it is remembered."""

    def __init__(self, rules: BehaviorRules) -> None:
        extensions = "|".join(rules.image_extensions)
        view = re.compile(rf"(?:{rules.view_pattern})\.(?i:{extensions})")
        like, download = re.compile(rules.like_pattern), re.compile(rules.download_pattern)
        self._deeds = {b"GET": (("view", view), ("download", download)), b"POST": (("like", like),)}
        self._own_hosts = {host.lower().rstrip(".").encode() for host in rules.own_hosts}
        self.is_robot = RobotDetector(rules.robot_patterns).is_robot
        remembered = lru_cache(maxsize=CACHED_VALUES)
        self.deed = remembered(self._find_deed)
        self.is_external = remembered(self._find_external)

    def _find_deed(self, method: bytes, path: bytes) -> tuple[str, str]:
        """The deed (view, like or download) that a request for a path asks for, and the photo; empty when none.

        The path is as it came, without its query.
        """
        patterns = self._deeds.get(method)
        if patterns is None or (text := _decoded(path)) is None:
            return "", ""
        for deed, pattern in patterns:
            if (match := pattern.fullmatch(text)) and (photo_id := match["photo_id"]):
                return deed, photo_id
        return "", ""

    def _find_external(self, referrer: bytes | None) -> bool:
        """Whether a referrer is a page of another site."""
        match = _HTTP_HOST.match(referrer or b"")
        return match is not None and match[1].lower().rstrip(b".") not in self._own_hosts


def counts(deed: str, status: int) -> bool:
    """Whether a deed counts when it was answered with a status."""
    return status in VIEW_STATUSES if deed == "view" else 200 <= status < 300


def visitor_hash(address: bytes, salt: str) -> int:
    """A client's pseudonym, an unsigned 64-bit number that cannot be reversed without the salt."""
    return int.from_bytes(blake2b(address, digest_size=8, key=visitor_key(salt)).digest(), "big")


def visitor_key(salt: str) -> bytes:
    """The key of the visitors' hashes; blake2b takes 64 bytes, and a longer salt counts with all of it."""
    return blake2b(salt.encode()).digest()


def _decoded(path: bytes) -> str | None:
    """The path as the server understood it, None when it is no printable text."""
    try:
        text = (unquote_to_bytes(path) if b"%" in path else path).decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def _check_pattern(name: str, pattern: str) -> None:
    try:
        compiled = re.compile(pattern)
    except (re.error, TypeError) as error:
        raise InputError(
            f"{name} {pattern!r} is not a regular expression ({error}); correct it in the settings"
        ) from error
    if "photo_id" not in compiled.groupindex:
        raise InputError(f"{name} {pattern!r} has no group (?P<photo_id>...); add it in the settings")
