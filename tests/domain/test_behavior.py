"""How the counts of files are merged into days."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photo_popularity.domain.behavior import merge_signals
from photo_popularity.domain.behavior_rules import COUNTS
from photo_popularity.domain.errors import InputError
from tests.log_lines import PERSON, ROBOT, line, scan

NOTHING = dict.fromkeys(COUNTS, 0)


def test_a_client_in_two_files_is_one_visitor() -> None:
    first = scan(line(address="10.0.0.1") + line(address="10.0.0.2"))
    second = scan(line(address="10.0.0.2") + line(address="::1") + line(address="::1"))
    merged = merge_signals(pd.concat([first.signals, second.signals]), [pd.Timestamp("2026-09-20")])
    assert merged.to_dict("records") == [
        {
            "day": pd.Timestamp("2026-09-20"),
            "photo_id": "p1",
            "views": 5,
            "unique_visitors": 3,
            "likes": 0,
            "downloads": 0,
            "bytes": 500,
            "external_referrals": 0,
            "robot_views": 0,
        }
    ]


def test_only_the_asked_days_are_merged_and_lines_about_no_photo_make_no_row() -> None:
    signals = scan(
        line(time="19/Sep/2026:12:00:00 +0000")
        + line()
        + line("GET /photos/a1.jpg HTTP/1.1", agent=ROBOT)
        + line("GET / HTTP/1.1", time="21/Sep/2026:12:00:00 +0000")
    ).signals
    asked = [pd.Timestamp(day) for day in ("2026-09-20", "2026-09-21", "2026-09-22")]
    merged = merge_signals(signals, asked)
    assert merged[["day", "photo_id", "views", "robot_views"]].values.tolist() == [
        [pd.Timestamp("2026-09-20"), "a1", 0, 1],
        [pd.Timestamp("2026-09-20"), "p1", 1, 0],
    ]
    assert merge_signals(signals, []).empty


def test_a_photo_without_any_count_has_no_row() -> None:
    signals = scan(line()).signals.assign(**NOTHING)
    assert merge_signals(signals, [pd.Timestamp("2026-09-20")]).empty


def test_files_of_one_day_with_different_salts_are_refused_by_name() -> None:
    first, second = scan(line()).signals, scan(line(), salt="t").signals
    both = pd.concat([first.assign(file="1.log"), second.assign(file="2.log")])
    with pytest.raises(InputError, match=r"2026-09-20: .*1\.log has v-s, 2\.log has v-t"):
        merge_signals(both, [pd.Timestamp("2026-09-20")])
    assert merge_signals(both, [pd.Timestamp("2026-09-21")]).empty


LINES = st.builds(
    line,
    st.sampled_from(
        [
            "GET /photos/p1.jpg HTTP/1.1",
            "GET /photos/p2.jpg HTTP/1.1",
            "POST /photos/p2/like HTTP/1.1",
            "GET /photos/p3/download HTTP/1.1",
            "GET / HTTP/1.1",
        ]
    ),
    agent=st.sampled_from([PERSON, ROBOT]),
    address=st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1"]),
    time=st.sampled_from(
        ["20/Sep/2026:12:00:00 +0000", "21/Sep/2026:01:00:00 +0200", "21/Sep/2026:12:00:00 +0000"]
    ),
) | st.just(b"nonsense\n")


@given(st.lists(LINES, max_size=30), st.lists(st.integers(0, 30), max_size=3))
@settings(deadline=None)
def test_merging_any_split_of_a_file_equals_scanning_it_whole(lines: list[bytes], cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), 30]
    parts = [scan(b"".join(lines[start:end])) for start, end in pairwise(bounds)]
    whole = scan(b"".join(lines))
    days = [pd.Timestamp("2026-09-20"), pd.Timestamp("2026-09-21")]
    pd.testing.assert_frame_equal(
        merge_signals(pd.concat([part.signals for part in parts]), days), merge_signals(whole.signals, days)
    )
    assert sum(part.lines for part in parts) == whole.lines == len(lines)
    assert whole.good + len(whole.quarantined) == whole.lines
    assert whole.signals["lines"].sum() == whole.good
