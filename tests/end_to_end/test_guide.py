"""The guide, as a reader follows it: its lines are put where it says into a copy of the project, which is then run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.photo_site import PhotoSite, make_site, train_small_classifier

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guides" / "a-folder-of-your-own.md"
PACKAGES = ("assets", "deploy", "partitions", "photo_popularity", "resources")
LINES_AT_MOST = 30
# where a reader puts an entry of a list, or a line of a class: before this one
PLACES = {
    "    receipts: str": '    photos: str = ""\n',
    "    receipt_totals,": "    photo_metadata,\n",
    "from assets.receipt_totals": "from assets.training_examples ",
}


def lines_of_code() -> list[tuple[str, str]]:
    """Each block of the guide with the module that the text before it names."""
    found, module = [], ""
    for text, code in re.findall(r"(.*?)```(?:python|text)\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL):
        named = re.findall(r"`([a-z_/]+\.py)`", text)
        module = named[-1] if named else module
        found.append((module, code))
    return found


def follow(project: Path) -> None:
    """Do to the project what the guide says."""
    for module, code in lines_of_code():
        path = project / module
        text = path.read_text() if path.exists() else ""
        place = next((before for start, before in PLACES.items() if code.startswith(start)), None)
        if place is not None:
            assert place in text
            path.write_text(text.replace(place, code + place, 1))
        else:
            path.write_text(f"{text}\n{code}" if text else code)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / "project" / package)
    follow(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def site(tmp_path: Path) -> PhotoSite:
    site = make_site(tmp_path / "site")
    train_small_classifier(tmp_path / "drawings", site.folder / "classifier.skops")
    return site


def command(project: Path, *arguments: str, receipts: Path) -> str:
    environment: Mapping[str, str] = {
        **os.environ,
        "PYTHONPATH": str(project),
        "PHOTO_POPULARITY_HOME": str(project.parent / "home"),
        "PHOTO_POPULARITY_RECEIPTS": str(receipts),
    }
    ran = subprocess.run(
        [sys.executable, "-c", "from photo_popularity.cli import main; main()", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_guide_takes_less_than_30_lines() -> None:
    written = [line for _, code in lines_of_code() for line in code.splitlines() if line.strip()]
    assert 10 < len(written) < LINES_AT_MOST


def test_a_folder_of_receipts_is_a_data_entity_once_the_guide_is_followed(
    project: Path, site: PhotoSite, tmp_path: Path
) -> None:
    receipts = tmp_path / "receipts"
    receipts.mkdir()
    for number in range(5):
        (receipts / f"{number}.txt").write_text(f"coffee 3.50\ncake {number}.25\n")

    def totals() -> dict[str, float]:
        sql = "SELECT file, total FROM receipt_totals"
        rows = json.loads(command(project, "query", sql, "--format", "json", receipts=receipts))
        return {row["file"]: row["total"] for row in rows}

    def executions() -> list[tuple[str, str]]:
        sql = "SELECT partition, status FROM executions WHERE asset = 'receipt_totals' ORDER BY started_at, partition"
        rows = json.loads(command(project, "query", sql, "--format", "json", receipts=receipts))
        return [(row["partition"], row["status"]) for row in rows]

    said = command(project, "run", "--site", str(site.folder), receipts=receipts)
    assert re.search(r"receipts +5 receipts +5 new", said)
    assert totals() == {f"{number}.txt": 3.75 + number for number in range(5)}

    first = executions()
    (receipts / "0.txt").write_text("tea 2.00\n")
    (receipts / "1.txt").rename(receipts / "renamed.txt")
    (receipts / "2.txt").unlink()
    (receipts / "4.txt").write_text("cake for free\n")
    command(project, "run", receipts=receipts)
    assert executions()[len(first) :] == [("0.txt", "succeeded"), ("4.txt", "quarantined")]
    assert totals() == {"0.txt": 2.0, "3.txt": 6.75, "renamed.txt": 4.75}
