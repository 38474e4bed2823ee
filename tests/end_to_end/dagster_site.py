"""A site on which the night has run, and all that a person uses on it: command lines, catalog, Dagster's instance."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from photo_popularity.definitions import PIPELINE
from resources.catalog_records import Output
from resources.environment import read_environment
from resources.installation import Installation, install
from tests.end_to_end.command_line import CommandLine

CHECKOUT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 120
NIGHT = "2026-10-24"
"""The last day of the site."""
DATA_VERSION_TAG = "dagster/data_version"


@dataclass(frozen=True)
class DagsterSite:
    """One home folder and the site's own folder."""

    home: Path
    folder: Path

    @property
    def command_line(self) -> CommandLine:
        """`photo-popularity` on this home."""
        return CommandLine(self.home)

    @property
    def dagster_home(self) -> Path:
        """The folder of Dagster's instance, as `photo-popularity run` has made it."""
        return self.home / "dagster" / "local"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a process that works on this site, nothing of the tester's own in it."""
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("PHOTO_POPULARITY_", "DAGSTER_"))
        }
        return inherited | {
            "DAGSTER_HOME": str(self.dagster_home),
            "PHOTO_POPULARITY_HOME": str(self.home),
            "PYTHONWARNINGS": "default",
        }

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment in the checkout, as a developer does."""
        return subprocess.run(
            [Path(sys.executable).with_name(program), *arguments],
            env=self.variables,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    def succeed(self, program: str, *arguments: str) -> str:
        """The same; what it printed, once it has ended well."""
        ended = self.run(program, *arguments)
        assert ended.returncode == 0, f"{program} {' '.join(arguments)}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout + ended.stderr

    @property
    def installation(self) -> Installation:
        """Catalog, storage and sources of this site."""
        variables = {k: v for k, v in self.variables.items() if k.startswith("PHOTO_POPULARITY_")}
        return install(read_environment(variables), PIPELINE)

    def current(self, asset: str) -> dict[str, Output]:
        """The current outputs of an asset."""
        return self.installation.catalog.current(asset)

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """Dagster's instance, opened in this process."""
        before = dict(os.environ)
        os.environ.update(self.variables)
        try:
            with dg.DagsterInstance.get() as instance:
                yield instance
        finally:
            os.environ.clear()
            os.environ.update(before)

    def data_versions(self, asset: str) -> dict[str, str]:
        """The data version of each partition as Dagster has it."""
        with self.instance() as instance:
            versions: dict[str, str] = {}
            for partition in self.current(asset):
                event = instance.fetch_materializations(
                    dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition]), limit=1
                ).records[0]
                materialization = event.asset_materialization
                assert materialization is not None
                versions[partition] = (materialization.tags or {})[DATA_VERSION_TAG]
            return versions


def assert_dagster_agrees(site: DagsterSite, *assets: str) -> None:
    """Dagster's data version of every partition is the catalog's content version."""
    for asset in assets:
        told = {partition: output.content_version for partition, output in site.current(asset).items()}
        assert told
        assert site.data_versions(asset) == told
