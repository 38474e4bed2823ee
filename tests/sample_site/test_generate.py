"""A whole small site: the same bytes for a seed, all or nothing, and a truth that an independent count confirms."""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image, UnidentifiedImageError

from photo_popularity.domain.errors import InputError
from photo_popularity.sample_site import law
from photo_popularity.sample_site.generate import generate_site
from photo_popularity.sample_site.site import SampleSite
from photo_popularity.sample_site.visitors import ROBOT_AGENTS
from tests.sample_site.conftest import SMALL

LINE = re.compile(
    r'(\S+) - - \[([^\]]+)\] "(\S+) (\S+) HTTP/1\.1" (\d+) (\d+|-) "([^"]*)" "((?:[^"\\]|\\.)*)"'
)
SUBJECT = re.compile(r"/photos/(\w+)(\.jpg|\.png|/like|/download)(?:\?w=640)?")


def _bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _lines(site: SampleSite) -> list[str]:
    files = sorted((site.folder / "logs").iterdir())
    texts = [gzip.decompress(path.read_bytes()).decode("latin-1") for path in files]
    return [line for text in texts for line in text.split("\n")[:-1]]


def test_a_seed_gives_the_same_bytes_anywhere_and_another_seed_others(
    small_site: SampleSite, tmp_path: Path
) -> None:
    again = _bytes_of(generate_site(tmp_path / "again", seed=7, scale=SMALL).folder)
    assert again == _bytes_of(small_site.folder)
    generate_site(tmp_path / "again", seed=8, scale=SMALL)
    other = _bytes_of(tmp_path / "again")
    assert other["site.sqlite"] != again["site.sqlite"]
    assert json.loads(other["sample_site.json"])["recipe"]["seed"] == 8
    assert [p.name for p in tmp_path.iterdir()] == ["again"]


def test_a_complete_site_is_left_alone_and_says_so(small_site: SampleSite) -> None:
    said: list[str] = []
    before = (small_site.folder / "site.sqlite").stat().st_mtime_ns
    again = generate_site(small_site.folder, seed=7, scale=SMALL, progress=said.append)
    assert not again.is_fresh
    assert said == [f"{small_site.folder}: the sample site of seed 7 is complete, nothing to do"]
    assert (small_site.folder / "site.sqlite").stat().st_mtime_ns == before


def test_a_folder_with_other_files_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="no sample site"):
        generate_site(tmp_path, seed=7, scale=SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(message: str) -> None:
        if "access logs" in message:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_site(tmp_path / "site", seed=7, scale=SMALL, progress=fail)
    assert list(tmp_path.iterdir()) == []


def test_the_truth_is_what_a_naive_count_of_the_lines_finds(small_site: SampleSite) -> None:
    counts: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    visitors = defaultdict(set)
    lines = _lines(small_site)
    for line in lines:
        match = LINE.fullmatch(line)
        subject = match and SUBJECT.fullmatch(match[4])
        if not match or not subject or "31/Sep" in match[2]:
            continue
        address, when, method, _, status, size, source, agent = match.groups()
        day = datetime.strptime(when, "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC).date()
        photo, what = subject.groups()
        key, is_robot = (str(day), photo), agent in ROBOT_AGENTS
        is_view = method == "GET" and what in (".jpg", ".png") and status in ("200", "206", "304")
        if is_view and is_robot:
            counts[key]["robot_views"] += 1
        elif is_view:
            counts[key]["views"] += 1
            counts[key]["bytes"] += 0 if size == "-" else int(size)
            is_web = source.startswith(("http://", "https://"))
            counts[key]["external_referrals"] += is_web and not source.startswith("https://photos.example/")
            visitors[key].add(address)
        elif what in ("/like", "/download") and not is_robot:
            counts[key][f"{what[1:]}s"] += 1
    columns = ("views", "likes", "downloads", "bytes", "external_referrals", "robot_views")
    counted = {
        key: {"unique_visitors": len(visitors[key]), **{name: row[name] for name in columns}}
        for key, row in counts.items()
    }
    truth = {(str(row.pop("day")), str(row.pop("photo_id"))): row for row in map(dict, small_site.truth())}
    assert truth == counted
    assert len(lines) == small_site.lines


def test_traffic_has_robots_returning_visitors_both_families_of_addresses_and_dirt(
    small_site: SampleSite,
) -> None:
    lines, truth = _lines(small_site), small_site.truth()
    views = sum(int(row["views"]) for row in truth)
    assert 0.15 < sum(int(row["robot_views"]) for row in truth) / views < 0.5
    assert sum(int(row["unique_visitors"]) for row in truth) < views
    assert {line.split(":")[0].split(".")[0] for line in lines if " - - [" in line} >= {"10", "2001"}
    assert 0 < small_site.malformed_lines / len(lines) < 0.01
    for part in ('"-" ""', r"\"Cat lover\"", '"HEAD ', '" 404 ', "android-app://", r'"\x16\x03'):
        assert any(part in line for line in lines), part


def test_views_follow_the_law_on_average(small_site: SampleSite) -> None:
    expected = small_site.expected_views()
    seen = sum(int(row["views"]) for row in small_site.truth() if row["photo_id"] != "norow1")
    total = sum(expected.values())
    assert abs(seen - total) < 4 * total**0.5  # four standard deviations of a Poisson count


def test_nobody_predicts_better_than_the_law(small_site: SampleSite) -> None:
    """The week before is a poor guess of a week in which every photo grows older."""
    views = {(str(row["day"]), str(row["photo_id"])): int(row["views"]) for row in small_site.truth()}
    expected = small_site.expected_views()
    day = SMALL.log_days[4]
    photos = sorted({photo for when, photo in expected if when == day + timedelta(days=1)})
    before, after = [-3, -2, -1, 0], [1, 2, 3, 4]

    def counted(offsets: list[int], photo: str) -> int:
        return sum(views.get((str(day + timedelta(days=k)), photo), 0) for k in offsets)

    truth = [counted(after, photo) for photo in photos]
    best = [sum(expected.get((day + timedelta(days=k), photo), 0) for k in after) for photo in photos]
    by_law, by_past = law.scores(best, truth), law.scores([counted(before, p) for p in photos], truth)
    assert by_law.spearman > by_past.spearman + 0.05
    assert by_law.mae_log1p < by_past.mae_log1p - 0.1


def test_the_database_and_the_files_agree_but_for_the_one_of_each_that_is_missing(
    small_site: SampleSite,
) -> None:
    with closing(sqlite3.connect(small_site.folder / "site.sqlite")) as connection:
        rows = {name for (name,) in connection.execute("SELECT file_name FROM photos")}
        orphans = connection.execute(
            "SELECT count(*) FROM photos WHERE owner_id NOT IN (SELECT owner_id FROM users)"
        ).fetchone()
    photos = small_site.folder / "photos"
    files = {path.relative_to(photos).as_posix() for path in photos.rglob("*.*")}
    assert [Path(name).stem for name in files - rows] == ["norow1"]
    assert [Path(name).stem for name in rows - files] == ["nofile1"]
    assert orphans == (0,)


def test_three_photo_files_are_not_what_their_names_say(small_site: SampleSite) -> None:
    problems = []
    for path in sorted((small_site.folder / "photos").rglob("*.jpg")):
        try:
            with Image.open(path) as image:
                image.load()
                problems += [str(image.format)] if image.format != "JPEG" else []
        except UnidentifiedImageError:
            problems.append("unreadable")
        except OSError:
            problems.append("truncated")
    assert sorted(problems) == ["GIF", "truncated", "unreadable"]


def test_training_drawings_are_no_photos_of_the_site(small_site: SampleSite) -> None:
    files = _bytes_of(small_site.folder)
    training = [data for name, data in files.items() if name.startswith("classifier_training/")]
    photos = {data for name, data in files.items() if name.startswith("photos/")}
    assert len(training) == 3 * SMALL.drawings_a_class
    assert photos.isdisjoint(training)
