"""A small pipeline over a folder of text files, on the project's own decorators, sensors, jobs and storage.

For each file its words are counted (`word_counts`), of those it is told whether there are many (`long_texts`), and once a
day everything is summed up (`text_totals`): the per-file step A, B on A, and the combined step C of the design's table.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import pandas as pd
import pyarrow as pa

from assets.pipeline_asset import PipelineAsset, day_asset, file_asset
from assets.progress import Work
from partitions.days import day_partitions
from partitions.file_sets import FileSet, Grain, by_file
from partitions.reads import EveryFile, digest
from photo_popularity.domain.schemas import DAY, SCHEMAS, Column, TableSchema
from photo_popularity.jobs import file_job, run_here
from photo_popularity.planning import assets_of, next_batch, range_tags
from photo_popularity.sensors import file_sensor
from resources.dagster_home import open_instance
from resources.environment import Environment
from resources.installation import Installation, install
from resources.io_managers import TableIOManager
from resources.output_parts import Row
from resources.pages import DATA_VERSION_TAG
from resources.pipeline import Pipeline
from resources.settings import Settings
from resources.source_file import SourceFile

MANY = 3
POISON = "poison"
LAST_DAY = date(2026, 11, 1)
FILE, COUNT = Column(pa.string(), "Path of the text file"), Column(pa.int64(), "How many")
TABLES = {
    "word_counts": TableSchema({"file": FILE, "words": COUNT}, key=("file",), partition_column="file"),
    "long_texts": TableSchema(
        {"file": FILE, "is_long": Column(pa.bool_(), "Whether it has many words")},
        key=("file",),
        partition_column="file",
    ),
    "text_totals": TableSchema(
        {"day": DAY, "texts": COUNT, "words": COUNT, "long_texts": COUNT},
        key=("day",),
        partition_column="day",
    ),
}


def word_counts(file: SourceFile) -> Row:
    """How many words the file has; one that holds poison cannot be read."""
    text = file.read().decode()
    if POISON in text:
        raise ZeroDivisionError("division by zero")
    return {"words": len(text.split())}


def long_texts(word_counts: pd.DataFrame) -> Row:
    """Whether the file has many words."""
    return {"is_long": bool((word_counts["words"] >= MANY).all())}


def text_totals(work: Work, word_counts: pd.DataFrame, long_texts: pd.DataFrame) -> pd.DataFrame:
    """All files together."""
    sums = {
        "texts": len(word_counts),
        "words": word_counts["words"].sum(),
        "long_texts": long_texts["is_long"].sum(),
    }
    days = pd.to_datetime(work.partition_keys).astype("datetime64[us]")
    return pd.DataFrame({"day": days, **sums})


def text_assets(
    grain: Grain = by_file, functions: Sequence[Callable[..., Any]] = (word_counts, long_texts, text_totals)
) -> tuple[PipelineAsset, ...]:
    """The three steps, with the files of the set in partitions of that grain; other functions have the same names."""
    count, judge, total = functions
    text_files = FileSet("text_files", setting="photos", grain=grain, noun="text")
    every = {"word_counts": EveryFile(), "long_texts": EveryFile()}
    return (
        file_asset(text_files)(count),
        file_asset(text_files, reads=("word_counts",))(judge),
        day_asset(reads=every, group="files", kinds=("pandas",))(total),
    )


@contextmanager
def text_tables() -> Iterator[None]:
    """The schemas of the three tables, known as long as this lasts."""
    with patch.dict(SCHEMAS, TABLES):
        yield


@contextmanager
def kept_instance(root: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance of the place below `root`, kept in files: another process can open it too, or after this one."""
    with patch.dict(os.environ):
        os.environ.pop("DAGSTER_HOME", None)
        with open_instance(Environment("local", "ann", root / "home")) as instance:
            yield instance


@dataclass(frozen=True)
class TextPlace:
    """A folder of texts, an environment that works on it, and a Dagster instance of its own."""

    folder: Path
    environment: Environment
    instance: dg.DagsterInstance
    assets: tuple[PipelineAsset, ...]

    @classmethod
    def at(
        cls, root: Path, instance: dg.DagsterInstance, *, assets: Sequence[PipelineAsset] | None = None
    ) -> TextPlace:
        """A place below `root`, whose folder `texts` is made."""
        folder = root / "texts"
        folder.mkdir(parents=True, exist_ok=True)
        environment = Environment("local", "ann", root / "home", Settings(photos=str(folder)))
        return cls(folder, environment, instance, tuple(assets or text_assets()))

    @property
    def pipeline(self) -> Pipeline:
        return Pipeline(tuple(asset.declaration for asset in self.assets))

    @property
    def installation(self) -> Installation:
        return install(self.environment, self.pipeline)

    def definitions(self, installation: Installation) -> dg.Definitions:
        """The assets, with the job and the sensor of their files."""
        [files] = installation.pipeline.file_sets.values()
        days = day_partitions(LAST_DAY)
        return dg.Definitions(
            assets=[asset.definition(days) for asset in self.assets],
            jobs=[file_job(installation.pipeline, files)],
            sensors=[file_sensor(installation, files)],
            executor=dg.in_process_executor,
            resources={
                "storage": installation.storage,
                "table_io_manager": TableIOManager(installation.storage),
                "environment": self.environment,
                **installation.file_sources,
            },
        )

    def tick(self) -> dg.SensorResult:
        """What the sensor of the files says now."""
        definitions = self.definitions(self.installation)
        sensor = definitions.resolve_sensor_def("text_files_sensor")
        with dg.build_sensor_context(instance=self.instance, definitions=definitions) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        return result

    def launch(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Run what the sensor has requested, in this process."""
        installation = self.installation
        job = self.definitions(installation).resolve_job_def(str(request.job_name))
        assets = [key.to_user_string() for key in request.asset_selection or ()]
        life = installation.storage.show_life
        return run_here(job, self.instance, assets=assets, tags=request.tags, show_life=life)

    def anew(self, home: Path, instance: dg.DagsterInstance) -> TextPlace:
        """The same folder and code in an environment that has made nothing yet."""
        return replace(self, environment=replace(self.environment, home=home), instance=instance)

    def settle(self) -> None:
        """Ticks and runs until the sensor has nothing to request, then the combined step if it is out of date."""
        while requests := self.tick().run_requests:
            for request in requests:
                assert self.launch(request).success
        installation = self.installation
        batch = next_batch(installation, LAST_DAY, steps=("text_totals",))
        if batch is not None:
            job = self.definitions(installation).resolve_implicit_global_asset_job_def()
            tags = range_tags(installation, batch, self.instance)
            assert run_here(job, self.instance, assets=assets_of(installation, batch), tags=tags).success


@dataclass(frozen=True)
class Made:
    """What there is of one partition of an asset, however it came to be; `stored` is a file that is its own."""

    content_version: str
    quarantined: str
    rows: Sequence[Mapping[str, object]]
    detail: Mapping[str, object]
    stored: bytes = field(repr=False)


def what_is_made(place: TextPlace) -> dict[str, dict[str, Made]]:
    """All current outputs with their content, by asset and partition."""
    installation, found = place.installation, dict[str, dict[str, Made]]()
    for asset, step in installation.pipeline.by_asset.items():
        outputs = installation.catalog.current(asset)
        good = {key: output for key, output in outputs.items() if not output.quarantined}
        rows = installation.storage.rows(asset, good)
        found[asset] = {
            key: Made(
                output.content_version,
                output.quarantined,
                rows[key].to_pylist() if key in rows else [],
                dict(output.detail),
                installation.storage.outputs.read(output) if key in rows and step.grain(key) == key else b"",
            )
            for key, output in outputs.items()
        }
    return found


def what_dagster_says(place: TextPlace) -> dict[str, dict[str, str]]:
    """The last version that Dagster was told of, by asset and key; keys that hold nothing now are left out."""
    installation, found = place.installation, dict[str, dict[str, str]]()
    for asset, step in installation.pipeline.by_asset.items():
        keys = place.instance.get_dynamic_partitions(step.partitions) if step.files else [str(LAST_DAY)]
        for key in keys:
            record = place.instance.get_latest_data_version_record(dg.AssetKey(asset), partition_key=key)
            event = record.asset_materialization if record else None
            version = (event.tags or {})[DATA_VERSION_TAG] if event else "withdrawn"
            if version not in {"withdrawn", digest({})}:
                found.setdefault(asset, {})[key] = version
    return found


def what_dagster_should_say(place: TextPlace) -> dict[str, dict[str, str]]:
    """The same from the catalog: a key that holds several files has a version for all of them."""
    installation, found = place.installation, dict[str, dict[str, str]]()
    for asset, step in installation.pipeline.by_asset.items():
        inside: dict[str, dict[str, str]] = {}
        for partition, output in installation.catalog.current(asset).items():
            inside.setdefault(step.grain(partition), {})[partition] = output.content_version
        alone = step.files is None or step.files.grain is by_file
        for key, versions in inside.items():
            found.setdefault(asset, {})[key] = versions[key] if alone else digest(versions)
    return found
