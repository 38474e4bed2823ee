"""What counts as a view, a like, a download, a visitor in one log file; both scanners have to say so."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photo_popularity.domain import schemas, tables
from photo_popularity.domain.access_log import FOREIGN
from photo_popularity.domain.behavior import merge_signals
from photo_popularity.domain.behavior_rules import COUNTS, BehaviorRules
from tests.log_lines import ROBOT, Scanned, line, only_row, scan

NOTHING = dict.fromkeys(COUNTS, 0)


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
        {"line_number": 2, "reason": FOREIGN, "line": "caf\\xe9\\ \\x00", "lines": 1},
        {"line_number": 4, "reason": FOREIGN, "line": "x" * 500, "lines": 1},
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


@given(st.binary(max_size=300).filter(lambda data: data[:1] not in b"P\x1f\x28\xfd"))
@settings(deadline=None)
def test_random_bytes_are_all_accounted_for(data: bytes) -> None:
    result = scan(data)
    assert result.lines == data.count(b"\n") + (data[-1:] not in (b"", b"\n"))
    assert result.good + len(result.quarantined) == result.lines


def scan_folder(folder: Path) -> dict[str, Scanned]:
    scans = {}
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        scans[path.name] = scan(path.read_bytes())
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
