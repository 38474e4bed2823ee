"""What the pipeline is made of, told once: each asset's reads, parameters and code version.

Storage, the planner of what is out of date and Dagster's lineage all follow these declarations.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from partitions.reads import Read, SameKey
from resources.catalog import Catalog
from resources.catalog_records import REJECTED, Output
from resources.environment import Environment

PartitionKind = Literal["days", "photo_files", "log_files"]


def no_parameters(environment: Environment) -> Mapping[str, Any]:
    """The parameters of a step that has none."""
    return {}


@dataclass(frozen=True)
class Declaration:
    """One step of the pipeline: what it makes, of which kind its partitions are, and what it is made from.

    `reads` maps an input (an asset, or a source) to the rule that picks its partitions. `parameters` gives the
    settings that change the result. `code_version` moves when the step's meaning does.
    """

    name: str
    makes: tuple[str, ...]
    partitions: PartitionKind
    reads: Mapping[str, Read]
    parameters: Callable[[Environment], Mapping[str, Any]] = no_parameters
    code_version: str = "1"

    def fingerprint(self, environment: Environment) -> str:
        """Hash of the step's code version and parameters: another one makes every output out of date."""
        content = json.dumps([self.name, self.code_version, self.parameters(environment)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass
class Snapshot:
    """The catalog's current state as one reader sees it: an asset is read once and then stays as it was."""

    catalog: Catalog
    _seen: dict[str, dict[str, Output]] = field(default_factory=dict)
    _readable: dict[str, dict[str, Output]] = field(default_factory=dict)

    def outputs(self, asset: str) -> dict[str, Output]:
        """The current outputs of the asset, by partition."""
        if asset not in self._seen:
            self._seen[asset] = self.catalog.current(asset)
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
        if not any(
            output.rejected for asset in declaration.reads for output in self.readable(asset).values()
        ):
            return []
        return [p for p in partitions if self._reads_rejected(declaration, p)]

    def _reads_rejected(self, declaration: Declaration, partition: str) -> bool:
        return any(
            self.readable(asset)[key].rejected
            for asset, read in declaration.reads.items()
            for key in read.select(asset, partition, self.readable)
        )

    def hold(self, declaration: Declaration, partitions: list[str]) -> None:
        """See outputs that wait as rejected too, there or not, so that what reads them waits as well."""
        for asset in declaration.makes:
            outputs = self.outputs(asset)
            for key in partitions:
                output = outputs.get(key, Output(content_version=""))
                outputs[key] = replace(output, detail={**output.detail, REJECTED: "waits"})
            self._readable.pop(asset, None)

    def input_digests(self, declaration: Declaration, partition: str) -> dict[str, str]:
        """For each input, a digest of the partitions read and their versions."""
        return {
            asset: digest(
                {
                    key: self.readable(asset)[key].content_version
                    for key in read.select(asset, partition, self.readable)
                }
            )
            for asset, read in declaration.reads.items()
        }


def digest(versions: Mapping[str, str]) -> str:
    """One digest of many (partition, version) pairs, whatever their order."""
    lines = "".join(f"{partition}\0{version}\n" for partition, version in sorted(versions.items()))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()[:16]


@dataclass(frozen=True)
class Pipeline:
    """All steps, in an order in which each stands after what it reads."""

    steps: tuple[Declaration, ...]

    @cached_property
    def by_asset(self) -> dict[str, Declaration]:
        """The step that makes each asset."""
        return {asset: step for step in self.steps for asset in step.makes}

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
        fingerprint = step.fingerprint(environment)
        stale = []
        for partition in partitions:
            current = [snapshot.outputs(asset).get(partition) for asset in step.makes]
            inputs = snapshot.input_digests(step, partition)
            if any(
                output is None
                or output.rejected
                or output.fingerprint != fingerprint
                or output.inputs != inputs
                for output in current
            ):
                stale.append(partition)
        return stale
