"""The scan of log files alone, as a program: what it writes where, and what it does with files that it cannot read."""

from __future__ import annotations

import csv
import gzip
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from photo_popularity.domain import log_scanner
from photo_popularity.domain.access_log import EMPTY, FOREIGN
from photo_popularity.domain.behavior_rules import BehaviorRules
from photo_popularity.scan_logs import scan_files
from tests.log_lines import ROBOT, line

HEADER = "day,photo_id,views,unique_visitors,likes,downloads,bytes,external_referrals,robot_views"
OTHER_DAY = "21/Sep/2026:12:00:00 +0000"


PROGRAM = "from photo_popularity.cli import main; main()"


def scan_logs(
    *arguments: str,
    home: Path,
    data: bytes = b"",
    stdout: Any = subprocess.PIPE,
    code: str = PROGRAM,
    **variables: str,
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", code, "scan-logs", *arguments],
        input=data,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        env={"PHOTO_POPULARITY_HOME": str(home), "PATH": "", **variables},
        cwd=Path(__file__).parents[1],
    )


@pytest.fixture
def logs(tmp_path: Path) -> list[str]:
    """Two files, the second of them gzip, that share a visitor, and hold lines that are none."""
    first = line() + line(agent=ROBOT) + b"nonsense\n\n"
    second = line() + line(address="::1") + line("POST /photos/p1/like HTTP/1.1", time=OTHER_DAY)
    (tmp_path / "first.log").write_bytes(first)
    (tmp_path / "second.log.gz").write_bytes(gzip.compress(second))
    return [str(tmp_path / "first.log"), str(tmp_path / "second.log.gz")]


def test_the_counts_go_to_standard_output_and_the_summary_to_standard_error(
    tmp_path: Path, logs: list[str]
) -> None:
    done = scan_logs(*logs, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines() == [
        HEADER,
        '2026-09-20,"p1",3,2,0,0,300,0,1',
        '2026-09-21,"p1",0,0,1,0,0,0,0',
    ]
    summary = done.stderr.decode().splitlines()
    assert summary[0].startswith("2 files, 7 lines: 5 good, 2 quarantined; 2 rows for 2 days, ")
    assert sorted(summary[1:]) == [f"  1 line: {EMPTY}", f"  1 line: {FOREIGN}"]


def test_parquet_holds_the_same_rows_as_csv(tmp_path: Path, logs: list[str]) -> None:
    [as_csv, as_parquet] = [scan_logs(*logs, "--format", form, home=tmp_path) for form in ("csv", "parquet")]
    rows = pq.read_table(io.BytesIO(as_parquet.stdout)).to_pylist()
    assert [{name: str(value) for name, value in row.items()} for row in rows] == list(
        csv.DictReader(io.StringIO(as_csv.stdout.decode()))
    )


def test_parquet_is_in_one_group_of_rows(monkeypatch: pytest.MonkeyPatch, logs: list[str]) -> None:
    """Each further group makes the file larger and slower to read."""
    monkeypatch.setattr(log_scanner, "BATCH_ROWS", 1)
    scanned = scan_files(logs, rules=BehaviorRules(), quarantine=None)
    sink = io.BytesIO()
    scanned.write("parquet", sink)
    assert pq.ParquetFile(sink).metadata.num_row_groups == 1
    assert pq.ParquetFile(sink).metadata.num_rows > 1


def test_a_photo_id_is_quoted_for_it_may_hold_anything(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(line("GET /photos/a,%22b%22.jpg HTTP/1.1") + line())
    done = scan_logs(str(tmp_path / "a.log"), home=tmp_path)
    assert [row["photo_id"] for row in csv.DictReader(io.StringIO(done.stdout.decode()))] == ['a,"b"', "p1"]


def test_quarantined_lines_are_written_with_their_place_and_reason(tmp_path: Path, logs: list[str]) -> None:
    out = tmp_path / "quarantine.csv"
    assert scan_logs(*logs, "--quarantine", str(out), home=tmp_path).returncode == 0
    with out.open(newline="") as stream:
        assert list(csv.DictReader(stream)) == [
            {"file": logs[0], "line_number": "3", "reason": FOREIGN, "line": "nonsense"},
            {"file": logs[0], "line_number": "4", "reason": EMPTY, "line": ""},
        ]


def test_standard_input_is_a_file_too(tmp_path: Path, logs: list[str]) -> None:
    done = scan_logs("-", home=tmp_path, data=Path(logs[1]).read_bytes())
    assert b'2026-09-20,"p1",2,2,0,0,200,0,0\n' in done.stdout


def test_the_settings_of_the_site_apply(tmp_path: Path, logs: list[str]) -> None:
    done = scan_logs(*logs, home=tmp_path, PHOTO_POPULARITY_VIEW_PATTERN="/pictures/(?P<photo_id>[^/]+)")
    assert done.stdout.decode().splitlines() == [HEADER, '2026-09-21,"p1",0,0,1,0,0,0,0']


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_counted(
    tmp_path: Path, logs: list[str]
) -> None:
    (tmp_path / "packed.log").write_bytes(b"\xfd7zXZ\x00")
    missing, folder, packed = (str(tmp_path / name) for name in ("missing.log", ".", "packed.log"))
    done = scan_logs(missing, logs[0], folder, packed, logs[1], home=tmp_path)
    assert done.returncode == 1
    assert b'2026-09-20,"p1",3,2,0,0,300,0,1\n' in done.stdout
    *_, first, second, third = done.stderr.decode().splitlines()
    assert first == f"photo-popularity: {missing}: No such file or directory"
    assert second == f"photo-popularity: {folder}: Is a directory"
    assert third.startswith(f"photo-popularity: {packed}: the file is compressed with xz; unpack it, or ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "json"], "--format 'json' is not known; use one of csv, parquet"),
        (
            ["--quarantine", "/nowhere/q.csv"],
            "--quarantine /nowhere/q.csv: No such file or directory; name a ",
        ),
    ],
)
def test_an_option_that_makes_no_sense_is_one_sentence(
    tmp_path: Path, logs: list[str], arguments: list[str], message: str
) -> None:
    done = scan_logs(*logs, *arguments, home=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().startswith(f"photo-popularity: {message}")


def test_a_log_is_never_overwritten_by_its_own_quarantine(tmp_path: Path, logs: list[str]) -> None:
    (tmp_path / "link.csv").symlink_to(logs[0])
    before = Path(logs[0]).read_bytes()
    done = scan_logs(*logs, "--quarantine", str(tmp_path / "link.csv"), home=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"is one of the logs; name another file" in done.stderr
    assert Path(logs[0]).read_bytes() == before


def test_a_full_disk_is_one_sentence(tmp_path: Path, logs: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = scan_logs(*logs, home=tmp_path, stdout=full)
    assert done.returncode == 2
    assert done.stderr.decode() == "photo-popularity: the counts cannot be written: No space left on device\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the peak stands in Linux's /proc")
def test_a_file_without_a_good_line_takes_little_memory_and_time(tmp_path: Path) -> None:
    """Somebody else's file is a common mistake; an object for each of its lines took gigabytes."""
    (tmp_path / "newlines").write_bytes(b"\n" * 20_000_000)
    code = (
        "import sys; from photo_popularity.cli import main\n"
        "try: main()\n"
        "finally: print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0], file=sys.stderr)"
    )
    done = scan_logs(str(tmp_path / "newlines"), home=tmp_path, code=code)
    *_, reason, kibibytes = done.stderr.decode().splitlines()
    assert reason == f"  20,000,000 lines: {EMPTY}"
    assert int(kibibytes) < 300_000


def test_nothing_heavy_is_imported(tmp_path: Path, logs: list[str]) -> None:
    """Its start must not take as long as the scan of a gigabyte."""
    program = (
        "import sys; from photo_popularity.cli import main\n"
        "try: main()\n"
        "finally: sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "scan-logs", *logs],
        capture_output=True,
        text=True,
        check=True,
        env={"PHOTO_POPULARITY_HOME": str(tmp_path), "PATH": ""},
        cwd=Path(__file__).parents[1],
    )
    heavy = {"dagster", "duckdb", "numba", "pandas", "pydantic", "rich", "sklearn", "sqlalchemy", "upath"}
    assert heavy & set(done.stderr.split()) == set()


def test_what_was_found_of_each_file_is_told(logs: list[str]) -> None:
    scanned = scan_files(logs, rules=BehaviorRules(), quarantine=None)
    assert [(file.lines, file.good) for file in scanned.files] == [(4, 2), (3, 3)]
    assert scanned.reasons == {EMPTY: 1, FOREIGN: 1}
