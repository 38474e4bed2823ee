"""What each task may do: read its inputs and write its outputs, nothing else. The one source of all grants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assets.pipeline_asset import PipelineAsset
from partitions.file_sets import LOG_FILES
from partitions.reads import FilesWithDay
from photo_popularity.definitions import ASSETS
from photo_popularity.rules import COMPARED_WITH
from resources.identity import LOOKS, STARTS
from resources.pipeline import DATABASE, Pipeline

# below an environment's root in S3: what its steps print
LOGS = "logs"


@dataclass(frozen=True)
class Task:
    """One step, with the checks of what it makes, or another duty. All fields but the name are names of assets and sources.

    It makes the outputs of `makes`, and reads those of `reads`. It `knows` which partitions there are, without their rows.
    It `withdraws` from the current state what can no longer be made. It keeps the rows of `bundles` together. It reads the
    content of `sources`. It `ends` on record what a killed run had begun.
    """

    name: str
    makes: frozenset[str]
    reads: frozenset[str] = frozenset()
    knows: frozenset[str] = frozenset()
    withdraws: frozenset[str] = frozenset()
    bundles: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()

    @property
    def files(self) -> frozenset[str]:
        """All that it writes files of: what it makes, but for sources."""
        return self.makes - self.sources

    @property
    def doubts(self) -> frozenset[str]:
        """The sources of which it may say that they are to be looked at again, as they held something else than was seen."""
        return self.sources - self.makes

    @property
    def secrets(self) -> list[str]:
        """The variables with secrets that it is given."""
        return [
            *("PHOTO_POPULARITY_CATALOG",) * bool(self.makes),
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            *("PHOTO_POPULARITY_DATABASE",) * (DATABASE in self.sources),
            # visitors are told apart as log files are read
            *("PHOTO_POPULARITY_VISITOR_SALT",) * (LOG_FILES.name in self.sources),
        ]

    @property
    def may_have(self) -> list[str]:
        """Those that it is given where they are set."""
        # who looks at the sources also hears of runs that fail
        return ["PHOTO_POPULARITY_FAILURE_WEBHOOK"] * (self.name == LOOKS)

    @property
    def sees(self) -> frozenset[str]:
        """All of which it is told the current partitions and their versions."""
        return self.makes | self.reads | self.knows | self.withdraws | self.sources


def tasks(assets: Sequence[PipelineAsset] = ASSETS) -> list[Task]:
    """A task for each step, in the order of the pipeline, and the one that looks at the sources."""
    pipeline = Pipeline(tuple(asset.declaration for asset in assets))
    sources = frozenset((*pipeline.file_sets, DATABASE))
    made = frozenset(pipeline.by_asset)
    looks = Task(LOOKS, makes=sources, withdraws=made, sources=sources, ends=made)
    return [*(_task(asset, pipeline, sources) for asset in assets), looks]


def duties() -> list[Task]:
    """The tasks of Dagster's servers, which have no part in the catalog: to start runs, and show their logs."""
    return [Task(STARTS, makes=frozenset(), reads=frozenset({LOGS}))]


def _task(asset: PipelineAsset, pipeline: Pipeline, sources: frozenset[str]) -> Task:
    step = asset.declaration
    return Task(
        step.name,
        makes=frozenset(step.makes),
        reads=frozenset(asset.inputs),
        knows=frozenset(name for made in step.makes for name in COMPARED_WITH.get(made, ())),
        # of a file that it can make nothing of, nothing that follows is right any more
        withdraws=frozenset(name for follower in pipeline.followers(step) for name in follower.makes),
        bundles=frozenset(name for name, read in step.reads.items() if isinstance(read, FilesWithDay)),
        sources=sources.intersection((*asset.sources, *asset.resources)),
    )
