"""Which of Dagster's dynamic partitions there are, and where they stand: a run takes a contiguous range of them."""

from __future__ import annotations

from collections.abc import Sequence, Set

import dagster as dg

KEYS_PER_CALL = 10_000


def align_keys(
    instance: dg.DagsterInstance, file_set: str, keys: Set[str], *, present: Sequence[str]
) -> list[str]:
    """Make these the keys of the set in Dagster, where there are those `present`; returns the new ones, in order."""
    for key in set(present) - keys:
        instance.delete_dynamic_partition(file_set, key)
    return _add(instance, file_set, sorted(keys - set(present)))


def place_together(instance: dg.DagsterInstance, file_set: str, keys: Sequence[str]) -> tuple[str, str]:
    """Make the keys one contiguous range of the set, moving them to the end unless they are one already.

    Dagster runs a contiguous range of keys in insertion order, never an arbitrary list. What happened to a key
    belongs to its name and is not touched by the move. Returns the first and the last key of the range.
    """
    present, wanted = instance.get_dynamic_partitions(file_set), set(keys)
    places = [place for place, key in enumerate(present) if key in wanted]
    if len(places) == len(wanted) and places[-1] - places[0] + 1 == len(places):
        return present[places[0]], present[places[-1]]
    for place in places:
        instance.delete_dynamic_partition(file_set, present[place])
    _add(instance, file_set, keys)
    return keys[0], keys[-1]


def _add(instance: dg.DagsterInstance, file_set: str, keys: Sequence[str]) -> list[str]:
    for start in range(0, len(keys), KEYS_PER_CALL):
        instance.add_dynamic_partitions(file_set, keys[start : start + KEYS_PER_CALL])
    return list(keys)
