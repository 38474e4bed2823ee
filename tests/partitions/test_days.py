"""UTC days as partition keys."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from partitions.days import contiguous, day_partitions, days_between

days = st.dates(date(2000, 1, 1), date(2100, 1, 1))


def test_there_is_a_key_for_each_utc_day_that_has_ended() -> None:
    definition = day_partitions(date(2026, 10, 24))
    # the clock changes in Berlin on the 25th: a UTC day does not care
    now = datetime(2026, 10, 27, 0, 0, tzinfo=UTC)
    assert definition.get_partition_keys(now) == ["2026-10-24", "2026-10-25", "2026-10-26"]
    late = datetime(2026, 10, 26, 23, 59, tzinfo=UTC)
    assert definition.get_partition_keys(late) == ["2026-10-24", "2026-10-25"]


def test_days_between_are_all_of_them_and_none_when_they_stand_the_wrong_way_round() -> None:
    assert days_between(date(2026, 2, 27), date(2026, 3, 1)) == ["2026-02-27", "2026-02-28", "2026-03-01"]
    assert days_between(date(2026, 3, 1), date(2026, 3, 1)) == ["2026-03-01"]
    assert days_between(date(2026, 3, 2), date(2026, 3, 1)) == []


def test_days_are_put_into_runs_without_a_gap() -> None:
    keys = ["2026-03-01", "2026-01-05", "2026-02-28", "2026-01-07"]
    assert contiguous(keys) == [["2026-01-05"], ["2026-01-07"], ["2026-02-28", "2026-03-01"]]
    assert contiguous([]) == []


@given(st.sets(days, max_size=30))
def test_no_day_is_lost_and_two_runs_never_touch(given_days: set[date]) -> None:
    runs = contiguous(str(day) for day in given_days)
    assert [key for run in runs for key in run] == sorted(map(str, given_days))
    for run in runs:
        assert run == days_between(date.fromisoformat(run[0]), date.fromisoformat(run[-1]))
    for one, after in pairwise(runs):
        assert (date.fromisoformat(after[0]) - date.fromisoformat(one[-1])).days > 1
