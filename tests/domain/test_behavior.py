"""What counts as a view, a like, a download, a visitor, and how files are merged into days."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photo_popularity.domain import schemas, tables
from photo_popularity.domain.behavior import (
    COUNTS,
    BehaviorRules,
    LogScan,
    merge_signals,
    scan_log,
    visitor_hash,
)
from photo_popularity.domain.errors import InputError

PERSON = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
ROBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
NOTHING = dict.fromkeys(COUNTS, 0)


def line(
    request: str = "GET /photos/p1.jpg HTTP/1.1",
    *,
    status: int = 200,
    size: str = "100",
    referrer: str = "-",
    agent: str = PERSON,
    address: str = "10.0.0.1",
    time: str = "20/Sep/2026:12:00:00 +0000",
) -> bytes:
    return f'{address} - - [{time}] "{request}" {status} {size} "{referrer}" "{agent}"\n'.encode()


def scan(data: bytes, *, rules: BehaviorRules | None = None, salt: str = "s") -> LogScan:
    return scan_log(io.BytesIO(data), rules=rules or BehaviorRules(), salt=salt, salt_version=f"v-{salt}")


def only_row(data: bytes, **options: Any) -> dict[str, Any]:
    (row,) = scan(data, **options).signals.to_dict("records")
    return {str(key): value for key, value in row.items()}


@pytest.mark.parametrize(
    ("request_line", "status", "photo_id", "counted"),
    [
        ("GET /photos/p1.jpg HTTP/1.1", 200, "p1", "views"),
        ("GET /photos/p1.jpg?w=640 HTTP/2.0", 206, "p1", "views"),
        ("GET /photos/p1.JPEG HTTP/1.1", 304, "p1", "views"),
        ("GET /photos/my.cat.png HTTP/1.1", 200, "my.cat", "views"),
        ("GET /photos/my%20k%C3%A4tzchen.jpg HTTP/1.1", 200, "my kätzchen", "views"),
        ("POST /photos/p1/like HTTP/1.1", 204, "p1", "likes"),
        ("GET /photos/p1/download HTTP/1.1", 206, "p1", "downloads"),
        ("HEAD /photos/p1.jpg HTTP/1.1", 200, None, None),  # nothing was shown
        ("GET /photos/p1.jpg HTTP/1.1", 404, None, None),
        ("GET /photos/p1.jpg HTTP/1.1", 301, None, None),
        ("GET /photos/p1.jpg HTTP/1.1", 204, None, None),
        ("GET /photos/p1/download HTTP/1.1", 304, None, None),
        ("GET /photos/p1/like HTTP/1.1", 200, None, None),
        ("POST /photos/p1/like HTTP/1.1", 403, None, None),
        ("POST /photos/p1.jpg HTTP/1.1", 200, None, None),
        ("GET /photos/p1 HTTP/1.1", 200, None, None),  # the page, not the image
        ("GET /photos/p1.html HTTP/1.1", 200, None, None),
        ("GET /photos/.jpg HTTP/1.1", 200, None, None),
        ("GET /photos/2026/p1.jpg HTTP/1.1", 200, None, None),  # not directly below
        ("GET /photos/a%2Fp1.jpg HTTP/1.1", 200, None, None),
        ("GET /photos/%FF.jpg HTTP/1.1", 200, None, None),  # no text
        ("GET /photos/p%00.jpg HTTP/1.1", 200, None, None),
        ("GET /x/photos/p1.jpg HTTP/1.1", 200, None, None),
        ("-", 408, None, None),
    ],
)
def test_method_path_and_status_decide_what_counts(
    request_line: str, status: int, photo_id: str | None, counted: str | None
) -> None:
    row = only_row(line(request_line, status=status))
    assert row["lines"] == 1
    assert (None if pd.isna(row["photo_id"]) else row["photo_id"]) == photo_id
    counts = {name: row[name] for name in COUNTS if name != "bytes" and row[name]}
    assert counts == ({counted: 1} if counted else {})


def test_a_view_by_a_robot_counts_apart_and_nothing_else_of_it() -> None:
    for agent in (ROBOT, "-", ""):
        row = only_row(line(agent=agent, referrer="https://other.example/"))
        assert {name: row[name] for name in COUNTS} == NOTHING | {"robot_views": 1}
        assert list(row["visitors"]) == []


def test_likes_and_downloads_by_robots_are_lines_about_no_photo() -> None:
    data = line("POST /photos/p1/like HTTP/1.1", agent=ROBOT) + line(
        "GET /photos/p1/download HTTP/1.1", agent=ROBOT
    )
    row = only_row(data)
    assert pd.isna(row["photo_id"])
    assert {name: row[name] for name in COUNTS} == NOTHING
    assert row["lines"] == 2


def test_a_client_of_a_common_format_log_counts_as_a_person() -> None:
    data = b'10.0.0.1 - - [20/Sep/2026:12:00:00 +0000] "GET /photos/p1.jpg HTTP/1.0" 200 7\n'
    row = only_row(data)
    assert (row["views"], row["robot_views"], row["bytes"], row["external_referrals"]) == (1, 0, 7, 0)


@pytest.mark.parametrize(
    ("referrer", "external"),
    [
        ("https://other.example/page", 1),
        ("http://OTHER.example", 1),
        ("https://photos.example/photos/p1", 0),
        ("HTTPS://user@Photos.Example:8443/x", 0),
        ("https://photos.example.", 0),
        ("https://photos.example.evil.example/", 1),
        ("https://photos.example@evil.example/", 1),
        ("https://www.photos.example/", 1),  # not named as an own host
        ("https://[2001:db8::1]:8080/", 1),
        ("android-app://com.example/", 0),  # not http
        ("-", 0),
        ("", 0),
        ("https://", 0),
    ],
)
def test_an_external_referral_comes_from_another_host(referrer: str, external: int) -> None:
    assert only_row(line(referrer=referrer))["external_referrals"] == external


def test_bytes_are_those_of_views_by_people() -> None:
    data = line(size="5") + line(size="-", status=304) + line(size="90", agent=ROBOT)
    data += line("POST /photos/p1/like HTTP/1.1", size="800")
    assert only_row(data)["bytes"] == 5


def test_the_offset_decides_the_day() -> None:
    late = line(time="21/Sep/2026:01:30:00 +0200")
    result = scan(line(time="21/Sep/2026:02:30:00 +0200") + late)
    assert result.signals["day"].tolist() == [pd.Timestamp("2026-09-20"), pd.Timestamp("2026-09-21")]
    assert result.first_moment == datetime(2026, 9, 20, 23, 30, tzinfo=UTC)
    assert result.last_moment == datetime(2026, 9, 21, 0, 30, tzinfo=UTC)


def test_lines_are_good_or_quarantined() -> None:
    result = scan(line() + b"caf\xe9\\ \x00\n" + line("GET / HTTP/1.1") + b"x" * 600)
    assert (result.lines, result.good) == (4, 2)
    assert result.signals["lines"].sum() == 2
    assert result.quarantined.to_dict("records") == [
        {
            "line_number": 2,
            "reason": "not a Combined or Common log line",
            "line": "caf\\xe9\\ \\x00",
        },
        {"line_number": 4, "reason": "not a Combined or Common log line", "line": "x" * 500},
    ]


@pytest.mark.parametrize("data", [b"", b"nonsense\n", line("GET / HTTP/1.1"), line()])
def test_frames_fit_their_schemas_even_without_rows(data: bytes) -> None:
    result = scan(data)
    # storage adds the file's name
    tables.to_table(result.signals.assign(file="a.log"), schemas.LOG_SIGNALS, name="log_signals")
    quarantined = result.quarantined.assign(file="a.log")
    tables.to_table(quarantined, schemas.QUARANTINED_LINES, name="quarantined_lines")
    merged = merge_signals(result.signals, [pd.Timestamp("2026-09-20")])
    tables.to_table(merged, schemas.BEHAVIOR_SIGNALS, name="behavior_signals")
    assert len(merged) == (data == line())


def test_a_visitor_hash_depends_on_all_of_the_salt_and_fits_64_bits() -> None:
    long_salt = "s" * 200
    hashes = {visitor_hash(b"10.0.0.1", salt) for salt in ("", "a", "b", long_salt, long_salt + "x")}
    assert len(hashes) == 5
    assert all(0 <= one < 2**64 for one in hashes)
    assert visitor_hash(b"10.0.0.1", "a") != visitor_hash(b"10.0.0.2", "a")
    assert visitor_hash(b"10.0.0.1", "a") == 11_813_604_902_159_351_214  # stored, so it may not move


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


def test_rules_of_another_site_apply() -> None:
    rules = BehaviorRules(
        view_pattern=r"/i/\d{4}/(?P<photo_id>\w+)",
        like_pattern=r"/api/(?P<photo_id>\w+)/star",
        own_hosts=("Pics.example",),
        image_extensions=("img",),
        robot_patterns=("houseelf",),
    )
    assert only_row(line("GET /i/2026/p9.img HTTP/1.1"), rules=rules)["photo_id"] == "p9"
    assert only_row(line("POST /api/p9/star HTTP/1.1"), rules=rules)["likes"] == 1
    assert only_row(line("GET /i/2026/p9.img HTTP/1.1", agent="HouseElf/1"), rules=rules)["robot_views"] == 1
    assert only_row(line("GET /i/1/p9.img HTTP/1.1"), rules=rules)["views"] == 0
    own = line("GET /i/2026/p9.img HTTP/1.1", referrer="http://pics.example/")
    assert only_row(own, rules=rules)["external_referrals"] == 0


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


@given(st.binary(max_size=300).filter(lambda data: data[:1] not in b"P\x1f\x28\xfd"))
@settings(deadline=None)
def test_random_bytes_are_all_accounted_for(data: bytes) -> None:
    result = scan(data)
    assert result.lines == data.count(b"\n") + (data[-1:] not in (b"", b"\n"))
    assert result.good + len(result.quarantined) == result.lines


def scan_folder(folder: Path) -> dict[str, LogScan]:
    scans = {}
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        with path.open("rb") as stream:
            scans[path.name] = scan_log(stream, rules=BehaviorRules(), salt="s", salt_version="v")
    return scans


@pytest.mark.real_data
def test_the_real_site_has_the_counts_of_an_independent_calculation(real_data: Path) -> None:
    """The sums were calculated with SQL over the unzipped text; every row of the 32,535 was equal."""
    scans = scan_folder(real_data / "site" / "logs").values()
    assert sum(one.lines for one in scans) == 460_402
    assert sum(len(one.quarantined) for one in scans) == 1_455
    signals = pd.concat([one.signals for one in scans])
    merged = merge_signals(signals, list(signals["day"].unique()))
    assert len(merged) == 32_535
    assert merged.drop(columns=["day", "photo_id"]).sum().to_dict() == {
        "views": 263_713,
        "unique_visitors": 261_369,
        "likes": 17_359,
        "downloads": 5_198,
        "bytes": 24_756_250_815,
        "external_referrals": 65_462,
        "robot_views": 118_422,
    }


@pytest.mark.real_data
def test_real_logs_of_every_origin_are_accounted_for(real_data: Path) -> None:
    folder = real_data / "logs"
    scans = scan_folder(folder)
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            text = gzip.decompress(data) if path.suffix == ".gz" else data
            one = scans[path.name]
            assert one.lines == text.count(b"\n") + (text[-1:] not in (b"", b"\n"))
            assert one.good + len(one.quarantined) == one.lines
            assert one.signals["lines"].sum() == one.good
    assert len(scans["netsparker_2016-12-22.log.gz"].quarantined) == 7_314
    assert len(scans["apache_logs_2015-05.log.gz"].quarantined) == 1
