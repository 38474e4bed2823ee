"""The settings of what counts, and the hash that stands for a client."""

from __future__ import annotations

from typing import Any

import pytest

from photo_popularity.domain.behavior_rules import BehaviorRules, visitor_hash
from photo_popularity.domain.errors import InputError


def test_a_visitor_hash_depends_on_all_of_the_salt_and_fits_64_bits() -> None:
    long_salt = "s" * 200
    hashes = {visitor_hash(b"10.0.0.1", salt) for salt in ("", "a", "b", long_salt, long_salt + "x")}
    assert len(hashes) == 5
    assert all(0 <= one < 2**64 for one in hashes)
    assert visitor_hash(b"10.0.0.1", "a") != visitor_hash(b"10.0.0.2", "a")
    assert visitor_hash(b"10.0.0.1", "a") == 11_813_604_902_159_351_214  # stored, so it may not move


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"view_pattern": "/photos/("}, r"view_pattern '/photos/\(' is not a regular expression"),
        ({"like_pattern": "/photos/([^/]+)/like"}, "like_pattern .* has no group"),
        ({"own_hosts": "photos.example"}, "own_hosts is 'photos.example', but has to be a list"),
        ({"own_hosts": ("https://photos.example",)}, "own_hosts .* without scheme"),
        ({"image_extensions": (".jpg",)}, "image_extensions .* without a dot"),
        ({"image_extensions": ()}, "image_extensions is empty"),
        ({"robot_patterns": ("a(",)}, r"robot pattern 'a\('"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BehaviorRules(**settings_)
