"""What the pipeline is made of, told once: each asset's reads, parameters and code version.

Storage, the planner of what is out of date and Dagster's lineage all follow these declarations.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from partitions.file_sets import FileSet, by_file
from partitions.reads import Read, SameKey
from resources.catalog import Catalog
from resources.catalog_records import REJECTED, Expected, Output
from resources.environment import Environment
from resources.json_object import JsonObject

DAYS = "days"
DATABASE = "photo_database"
# on all work of a step in Dagster: the step itself and the checks of what it makes
STEP_TAG = "photo_popularity/step"


def no_parameters(environment: Environment) -> Mapping[str, Any]:
    """The parameters of a step that has none."""
    return {}


@dataclass(frozen=True)
class Declaration:
    """One step of the pipeline: what it makes, for each day or for each file of a set, and what it is made from.

    `reads` maps an input (an asset, or a source) to the rule that picks its partitions. `parameters` gives the
    settings that change the result. `code_version` moves when the step's meaning does. What is called a partition here
    and in the catalog is a day or a file; a file may share its partition in Dagster with others, see `grain`.
    """

    name: str
    makes: tuple[str, ...]
    reads: Mapping[str, Read]
    files: FileSet | None = None
    parameters: Callable[[Environment], Mapping[str, Any]] = no_parameters
    code_version: str = "1"

    @property
    def partitions(self) -> str:
        """What its partitions are: days, or the files of the set with this name."""
        return self.files.name if self.files else DAYS

    @property
    def is_by_file(self) -> bool:
        """Whether a file is made from nothing but itself and what was made of it."""
        return self.files is not None and all(isinstance(read, SameKey) for read in self.reads.values())

    @property
    def shares_partitions(self) -> bool:
        """Whether several of its files may be one partition in Dagster."""
        return self.files is not None and self.files.grain is not by_file

    def grain(self, partition: str) -> str:
        """The key of Dagster's partition that the day or file belongs to."""
        return self.files.grain(partition) if self.files else partition

    def within(self, keys: Sequence[str], files: Iterable[str]) -> list[str]:
        """The days or files of Dagster's partitions with these keys; where one holds several, those of the `files` in it."""
        if not self.shares_partitions:
            return list(keys)
        wanted = set(keys)
        return sorted(file for file in files if self.grain(file) in wanted)

    def expected(self, environment: Environment) -> list[Expected]:
        """What each of its outputs would be made with now."""
        fingerprint, inputs = self.fingerprint(environment), sorted(self.reads)
        return [Expected(asset, fingerprint, inputs) for asset in self.makes]

    def fingerprint(self, environment: Environment) -> str:
        """Hash of the step's code version and parameters: another one makes every output out of date."""
        content = json.dumps([self.name, self.code_version, self.parameters(environment)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass
class Snapshot:
    """The catalog's current state as one reader sees it: an asset is read once and then stays as it was.

    Who works on some files alone sees only these, `within`.
    """

    catalog: Catalog
    _seen: dict[str, Mapping[str, Output]] = field(default_factory=dict)
    _readable: dict[str, dict[str, Output]] = field(default_factory=dict)
    within: Collection[str] | None = None

    def outputs(self, asset: str) -> Mapping[str, Output]:
        """The current outputs of the asset, by partition."""
        if asset not in self._seen:
            self._seen[asset] = self.catalog.current(asset, self.within)
        return self._seen[asset]

    def readable(self, asset: str) -> dict[str, Output]:
        """Those of the current outputs that others are made from: all but the quarantined ones."""
        if asset not in self._readable:
            outputs = self.outputs(asset)
            self._readable[asset] = {key: output for key, output in outputs.items() if not output.quarantined}
        return self._readable[asset]

    def built_on(self, declaration: Declaration) -> str:
        """How much there is of inputs of which a part is quarantined; empty when everything is there."""
        counts = {a: (len(self.readable(a)), len(self.outputs(a))) for a in declaration.reads}
        return "; ".join(
            f"{asset}: {there:,} of {every:,}" for asset, (there, every) in counts.items() if there < every
        )

    def without_input(self, declaration: Declaration) -> dict[str, str]:
        """The keys whose counterpart in an input is quarantined, with the reason: nothing can be made of them."""
        return {
            key: f"{asset} is quarantined: {output.quarantined}"
            for asset, read in declaration.reads.items()
            if isinstance(read, SameKey)
            for key, output in self.outputs(asset).items()
            if output.quarantined
        }

    def lacking(self, declaration: Declaration, keys: Iterable[str]) -> set[str]:
        """Those of the keys whose counterpart in an asset that the step reads was never made."""
        return {
            key
            for asset, read in declaration.reads.items()
            if isinstance(read, SameKey)
            for key in keys
            if key not in self.outputs(asset)
        }

    def waiting(self, declaration: Declaration, partitions: list[str]) -> list[str]:
        """Those of the partitions that read a rejected output: they wait until it is made again."""
        waiting: set[str] = set()
        for asset, read in declaration.reads.items():
            rejected = {key for key, output in self.readable(asset).items() if output.rejected}
            if rejected:
                selected = read.select(asset, partitions, self.readable)
                waiting.update(
                    partition for partition, keys in selected.items() if rejected.intersection(keys)
                )
        return [partition for partition in partitions if partition in waiting]

    def hold(self, declaration: Declaration, partitions: list[str]) -> None:
        """See outputs that wait as rejected too, there or not, so that what reads them waits as well."""
        for asset in declaration.makes if partitions else ():
            outputs = self.outputs(asset)
            waiting = {key: outputs.get(key, Output(content_version="")) for key in partitions}
            self._seen[asset] = {
                **outputs,
                **{k: o._replace(detail={**o.detail, REJECTED: "waits"}) for k, o in waiting.items()},
            }
            self._readable.pop(asset, None)

    def inputs(self, declaration: Declaration, partitions: Collection[str]) -> dict[str, dict[str, str]]:
        """For each of the partitions, and each input, one digest of what is read and its versions."""
        digests = {
            asset: read.digests(asset, partitions, self.readable) for asset, read in declaration.reads.items()
        }
        return {p: {asset: found[p] for asset, found in digests.items()} for p in partitions}

    def input_texts(self, declaration: Declaration, partitions: Collection[str]) -> Iterator[str]:
        """The same, as the catalog keeps it: JSON with its keys in order."""
        names = sorted(declaration.reads)
        digests = [declaration.reads[name].digests(name, partitions, self.readable) for name in names]
        template = "{" + ", ".join(f"{json.dumps(name)}: %s" for name in names) + "}"
        quoted = [{p: f'"{version}"' for p, version in found.items()} for found in digests]
        return (template % tuple(found[p] for found in quoted) for p in partitions)


@dataclass(frozen=True)
class Pipeline:
    """All steps, in an order in which each stands after what it reads."""

    steps: tuple[Declaration, ...]

    @cached_property
    def by_asset(self) -> dict[str, Declaration]:
        """The step that makes each asset."""
        return {asset: step for step in self.steps for asset in step.makes}

    @cached_property
    def file_sets(self) -> dict[str, FileSet]:
        """The file sets that something is made of, by name."""
        return {step.files.name: step.files for step in self.steps if step.files}

    @property
    def of_days(self) -> list[Declaration]:
        """The steps that work on days."""
        return [step for step in self.steps if step.files is None]

    def of_files(self, file_set: str) -> list[Declaration]:
        """The steps that work on the files of the set."""
        return [step for step in self.steps if step.partitions == file_set]

    def followers(self, step: Declaration) -> list[Declaration]:
        """The later steps that make of each key of this one the same key, directly or through others."""
        found = [step]
        for later in self.steps:
            reads = (read for asset, read in later.reads.items() if any(asset in s.makes for s in found))
            if any(isinstance(read, SameKey) for read in reads):
                found.append(later)
        return found[1:]

    def out_of_date(
        self, step: Declaration, partitions: list[str], snapshot: Snapshot, environment: Environment
    ) -> list[str]:
        """Those of `partitions` whose output is missing, rejected, or was made from other inputs, code or parameters."""
        fingerprint, expected = step.fingerprint(environment), list(snapshot.input_texts(step, partitions))
        stale: set[str] = set()
        for asset in step.makes:
            present = snapshot.outputs(asset)
            for partition, inputs in zip(partitions, expected, strict=True):
                output = present.get(partition)
                if (
                    output is None
                    or output.fingerprint != fingerprint
                    or JsonObject.of(output.inputs).text != inputs
                    or output.rejected
                ):
                    stale.add(partition)
        return [partition for partition in partitions if partition in stale]
