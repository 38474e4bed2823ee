"""The scenario table of the design, over real files and a real instance, counted in executions.

A and B work on each of 20 files, B on what A has made, and C combines them all in one partition. Twice: on the photo
pipeline (A `photo_content`, B `cat_dog_scores`, C `photo_features`), driven by its sensors alone, with every photo uploaded
on the one day that there is; and on a pipeline of texts, with a partition a file and with a partition a folder. An edit of
code is one of the source's text: in a copy of the checkout, which another process then runs.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

import photo_popularity
from partitions.file_sets import by_file, by_folder
from photo_popularity.definitions import PIPELINE, build_defs
from photo_popularity.sample_site.database import SCHEMA
from resources.installation import Installation, install
from tests.night_fixtures import QUIETLY, quiet
from tests.photo_site import PhotoSite, drawing, lines_of_a_file, train_small_classifier
from tests.text_pipeline import TextPlace, kept_instance, text_assets, text_tables

CHECKOUT = Path(__file__).resolve().parents[1]
COPIED = ("assets", "deploy", "partitions", "photo_popularity", "resources", "tests")
FILES = 20
# what is younger may still be being written
LONG_AGO = 1_700_000_000

PHOTOS, BY_FILE, BY_FOLDER = "photos", "texts by file", "texts by folder"
GRAINS = {BY_FILE: by_file, BY_FOLDER: by_folder}
STEPS = {
    PHOTOS: ("photo_content", "cat_dog_scores", "photo_features"),
    **dict.fromkeys(GRAINS, ("word_counts", "long_texts", "text_totals")),
}
SENSORS = ("photo_files_sensor", "log_files_sensor", "photo_database_sensor", "changed_days_sensor")


@dataclass(frozen=True)
class Scene:
    """20 files below `root`, everything that is made of them, and a copy of the checkout, whose code is edited."""

    pipeline: str
    root: Path
    checkout: Path

    @property
    def folder(self) -> Path:
        return self.site.photos if self.pipeline == PHOTOS else self.root / "texts"

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*.*") if path.is_file())

    @property
    def site(self) -> PhotoSite:
        return PhotoSite(self.root / "site")

    @property
    def day(self) -> date:
        """The one day that the logs cover, and on which every photo was uploaded."""
        [log] = self.site.logs.iterdir()
        return date.fromisoformat(log.name.removeprefix("access.log-"))

    @property
    def installation(self) -> Installation:
        if self.pipeline == PHOTOS:
            return install(self.site.environment(self.root / "home", first_day=str(self.day)), PIPELINE)
        with kept_instance(self.root) as instance:
            return self._texts(instance).installation

    @property
    def combined(self) -> int:
        """How many of the files have gone into what is made of all of them."""
        asset, installation = STEPS[self.pipeline][2], self.installation
        outputs = installation.catalog.current(asset)
        assert len(outputs) == 1
        table = installation.storage.read_table(asset, outputs)
        assert isinstance(table, pd.DataFrame)
        return int(table["brightness"].count() if self.pipeline == PHOTOS else table["texts"].sum())

    @property
    def wanted(self) -> int:
        """How many files should: of photos those that the site's database has too."""
        if self.pipeline != PHOTOS:
            return len(self.files)
        with closing(sqlite3.connect(self.site.folder / "site.sqlite")) as connection:
            known = {file for (file,) in connection.execute("SELECT file_name FROM photos")}
        return len(known.intersection(map(self.key, self.files)))

    def key(self, file: Path) -> str:
        return str(file.relative_to(self.folder))

    def write(self, file: Path, data: bytes) -> None:
        """Write a file that has been quiet for long; other bytes come at another time."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        os.utime(file, (LONG_AGO, LONG_AGO + zlib.crc32(data) % 1_000_000))

    def edit(self, module: str, before: str, after: str) -> None:
        """Edit the source text of a module."""
        source = self.checkout / module
        if not source.exists():
            for folder in COPIED:
                shutil.copytree(CHECKOUT / folder, self.checkout / folder)
        text = source.read_text()
        assert text.count(before) == 1
        source.write_text(text.replace(before, after))

    def settle(self) -> None:
        """Look at the files and run what is out of date until nothing is, with the code as it was edited."""
        if not self.checkout.exists():
            self.settle_here()
            return
        done = subprocess.run(
            [sys.executable, "-m", "tests.test_scenarios", self.pipeline, self.root, self.checkout],
            cwd=self.checkout,
            env={**os.environ, "PYTHONPATH": str(self.checkout)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3_000:]

    def settle_here(self) -> None:
        """The same in this process, with the code that it has."""
        with kept_instance(self.root) as instance:
            if self.pipeline == PHOTOS:
                self._settle_photos(instance)
            else:
                self._texts(instance).settle()

    def _texts(self, instance: dg.DagsterInstance) -> TextPlace:
        grain = GRAINS.get(self.pipeline, by_file)
        return TextPlace.at(self.root, instance, assets=text_assets(grain))

    def _settle_photos(self, instance: dg.DagsterInstance) -> None:
        """Tick the sensors in turn, and run what they request, until none requests anything."""
        definitions = build_defs(
            self.installation.environment, installation=self.installation, loggers={"quiet": quiet}
        )
        cursors: dict[str, str | None] = dict.fromkeys(SENSORS)
        while sum(_tick(definitions, instance, sensor, cursors) for sensor in SENSORS):
            pass


def _tick(
    definitions: dg.Definitions, instance: dg.DagsterInstance, name: str, cursors: dict[str, str | None]
) -> int:
    """Tick a sensor and run what it requests, as the daemon would; how many runs."""
    sensor = definitions.resolve_sensor_def(name)
    with dg.build_sensor_context(
        instance=instance, cursor=cursors[name], sensor_name=name, definitions=definitions
    ) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    cursors[name] = result.cursor or cursors[name]
    for request in result.run_requests or ():
        ran = definitions.resolve_job_def(str(request.job_name)).execute_in_process(
            instance=instance,
            asset_selection=list(request.asset_selection or ()),
            tags=dict(request.tags),
            run_config=QUIETLY,
            raise_on_error=False,
        )
        # one day is too little to learn from
        assert {event.step_key for event in ran.all_events if event.is_step_failure} <= {"popularity_model"}
    return len(result.run_requests or ())


def make_photos(scene: Scene) -> None:
    """A site whose photos were all uploaded on one day, the only one that its logs cover."""
    site = scene.site
    site.logs.mkdir(parents=True)
    with closing(sqlite3.connect(site.folder / "site.sqlite")) as connection, connection:
        connection.executescript(SCHEMA)
        connection.execute("INSERT INTO users VALUES ('ann', '2025-01-01 00:00:00')")
    # the log of a day ends on the next, which has to be over too
    day = datetime.now(UTC).date() - timedelta(days=2)
    uploads = {f"p{number:02}": datetime.combine(day, time(9)) for number in range(1, FILES + 1)}
    for number, (photo_id, uploaded_at) in enumerate(uploads.items(), start=1):
        file = f"{number % 4}/{photo_id}.jpg"
        scene.write(site.photos / file, drawing(number))
        site.add_row(photo_id, uploaded_at, file=file)
    scene.write(site.logs / f"access.log-{day}", "".join(lines_of_a_file(day, uploads)).encode())
    train_small_classifier(scene.root / "drawings", site.folder / "classifier.skops")


def make_texts(scene: Scene) -> None:
    """Files of 1 to 20 words in four folders."""
    for number in range(1, FILES + 1):
        scene.write(scene.folder / f"{number % 4}/{number:02}.txt", b" ".join([b"word"] * number))


@pytest.fixture(autouse=True, scope="module")
def _tables() -> Iterator[None]:
    with text_tables():
        yield


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a scene on which everything was made, made once for each pipeline."""
    made: dict[str, Path] = {}

    def folder(pipeline: str) -> Path:
        if pipeline not in made:
            scene = Scene(pipeline, tmp_path_factory.mktemp("scene"), Path("nowhere"))
            make_photos(scene) if pipeline == PHOTOS else make_texts(scene)
            scene.settle()
            made[pipeline] = scene.root
        return made[pipeline]

    return folder


# what happens, in the order of the table

Happens = Callable[[Scene], None]


def touched(scene: Scene) -> None:
    for file in scene.files:
        file.touch()
        os.utime(file, (LONG_AGO - 60, LONG_AGO - 60))


def changed(scene: Scene) -> None:
    new = drawing(1_000) if scene.pipeline == PHOTOS else b"word " * 50
    scene.write(scene.files[3], new)


def other_words(scene: Scene) -> None:
    scene.write(scene.files[3], scene.files[3].read_bytes().replace(b"word", b"WORD"))


def back(scene: Scene) -> None:
    earlier = scene.files[3].read_bytes()
    changed(scene)
    scene.settle()
    scene.write(scene.files[3], earlier)


def deleted(scene: Scene) -> None:
    scene.files[3].unlink()


def renamed(scene: Scene) -> None:
    old = scene.files[3]
    old.rename(old.with_name(f"renamed{old.suffix}"))


def moved(scene: Scene) -> None:
    old = scene.files[3]
    (scene.folder / "new").mkdir()
    old.rename(scene.folder / "new" / f"moved{old.suffix}")


def renamed_with_its_row(scene: Scene) -> None:
    old = scene.key(scene.files[3])
    renamed(scene)
    [new] = [scene.key(file) for file in scene.files if file.stem == "renamed"]
    scene.site.change("UPDATE photos SET file_name = ? WHERE file_name = ?", (new, old))


def edited(module: str, before: str, after: str) -> Happens:
    return lambda scene: scene.edit(module, before, after)


def photos_5(scene: Scene) -> None:
    sixth = sorted(file.stat().st_size for file in scene.files)[5]
    scene.edit("assets/photo_content.py", '"bytes": start.size,', f'"bytes": max(start.size, {sixth}),')


def taken_back(edit: Happens) -> Happens:
    def there_and_back(scene: Scene) -> None:
        edit(scene)
        scene.settle()
        shutil.rmtree(scene.checkout)

    return there_and_back


CONTENT, TEXTS = "assets/photo_content.py", "tests/text_pipeline.py"
PHOTO_CODE, SCORE_CODE = "photo_popularity/domain/photos.py", "photo_popularity/domain/classification.py"
DECODING = "photo_popularity/domain/photo_decoding.py"
WORDS = '{"words": len(text.split())}'
COMMENT = "    # a comment\n    limits = (\n        PhotoLimits()\n    )\n"

photos_comment = edited(CONTENT, "    limits = PhotoLimits()\n", COMMENT)
photos_same = edited(CONTENT, "limits.file_bytes + 1", "limits.file_bytes + 2")
photos_all = edited(PHOTO_CODE, "MEASUREMENT_DIGITS = 6", "MEASUREMENT_DIGITS = 5")
photos_both = edited(DECODING, ', "QOI")', ")")
photos_only_b = edited(SCORE_CODE, "SCORE_DIGITS = 6", "SCORE_DIGITS = 5")
texts_comment = edited(TEXTS, "    text = file", "    # a comment\n    text = file")
texts_same = edited(TEXTS, WORDS, '{"words": sum(1 for _ in text.split())}')
texts_5 = edited(TEXTS, WORDS, '{"words": len(text.split()) * (1 + (len(text.split()) > 15))}')

TABLE: list[tuple[str, Happens | None, Happens | None, tuple[int, int, int]]] = [
    # what happened                                       on photos             on texts         A   B   C
    ("files touched, same bytes",                         touched,              touched,        (0,  0,  0)),
    ("1 file changed",                                    changed,              changed,        (1,  1,  1)),
    # the row of a photo holds the version of its bytes, and so is never identical
    ("1 changed, but A's output is identical",            None,                 other_words,    (1,  0,  0)),
    ("comment-only edit of A's code",                     photos_comment,       texts_comment,  (0,  0,  0)),
    ("real edit of A, no output differs",                 photos_same,          texts_same,     (20, 0,  0)),
    ("real edit of A, 5 outputs differ",                  photos_5,             texts_5,        (20, 5,  1)),
    ("real edit of what A calls, every output differs",   photos_all,           None,           (20, 20, 1)),
    ("real edit of what A and B call, no output differs", photos_both,          None,           (20, 20, 0)),
    ("real edit of what B alone calls",                   photos_only_b,        None,           (0,  20, 1)),
    ("a real edit of A is taken back",                    taken_back(photos_5), None,           (0,  0,  0)),
    ("a file goes back to earlier bytes",                 back,                 back,           (0,  0,  0)),
    ("1 file deleted",                                    deleted,              deleted,        (0,  0,  1)),
    ("renamed, same bytes",                               renamed_with_its_row, renamed,        (0,  0,  1)),
    ("renamed, but not in the site's database",           renamed,              None,           (0,  0,  1)),
    ("moved to another folder",                           moved,                moved,          (0,  0,  1)),
]  # fmt: skip
CELLS = [
    pytest.param(pipeline, happens, ideal, id=f"{pipeline}: {what}")
    for what, on_photos, on_texts, ideal in TABLE
    for pipeline, happens in ((PHOTOS, on_photos), (BY_FILE, on_texts), (BY_FOLDER, on_texts))
    if happens is not None
]


@pytest.fixture
def scene(request: pytest.FixtureRequest, settled: Callable[[str], Path], tmp_path: Path) -> Scene:
    pipeline = str(request.getfixturevalue("pipeline"))
    shutil.copytree(settled(pipeline), tmp_path / "scene")
    return Scene(pipeline, tmp_path / "scene", tmp_path / "checkout")


@pytest.mark.parametrize(("pipeline", "happens", "ideal"), CELLS)
def test_every_row_of_the_table_is_ideal(
    scene: Scene, pipeline: str, happens: Happens, ideal: tuple[int, int, int]
) -> None:
    happens(scene)
    catalog = scene.installation.catalog
    before = {execution.id for execution in catalog.executions()}
    scene.settle()
    executed = Counter(e.asset for e in catalog.executions() if e.id not in before)
    assert tuple(executed[step] for step in STEPS[pipeline]) == ideal
    keys = {scene.key(file) for file in scene.files}
    for step in STEPS[pipeline][:2]:
        assert catalog.current(step).keys() == keys
    assert scene.combined == scene.wanted


if __name__ == "__main__":
    pipeline, root, checkout = sys.argv[1:]
    assert Path(str(photo_popularity.__file__)).is_relative_to(checkout)
    with text_tables():
        Scene(pipeline, Path(root), Path(checkout)).settle_here()
