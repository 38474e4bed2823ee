"""How an asset of this pipeline is declared: a plain function of frames, and everything Dagster should know of it.

A function of days (`day_asset`) is called with its `work`, one frame for each asset that it reads (all partitions read by
the run together) and the resources that its other parameters name; it returns one frame with the rows of all its days.
A function of a file (`file_asset`) is called for one `file` after the other, with that file's rows of what it reads, and
returns the file's rows. Storage adds the file's name, splits days, and remembers. Called directly, as tests do, both are
the plain functions.
"""

# no postponed annotations here: Dagster compares the annotation of `context` itself
import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import dagster as dg
import sqlalchemy as sa

from assets.column_schema import column_schema
from assets.making import Making
from partitions.file_sets import FileSet
from partitions.reads import Read, SameKey
from photo_popularity.domain.schemas import MODELS, SCHEMAS
from resources.code_fingerprint import SourceTree
from resources.environment import Environment
from resources.event_log import log_together
from resources.io_managers import TableIOManager, again_in_another_pod, classified, step_of
from resources.pages import Shown
from resources.pipeline import DATABASE, STEP_TAG, Declaration, no_parameters
from resources.pods import Pod
from resources.steps import Step
from resources.table_storage import TableStorage

OWNERS = ("team:photo-popularity",)
# what a function calls the days of a call, and the one file of a call
WORK, FILE = "work", "file"
STORAGE, IO_MANAGER = "storage", "table_io_manager"
# whose code counts as a step's own, but for what changes no result: declarations, settings, progress, pictures
CODE = SourceTree(
    packages=("photo_popularity", "assets", "resources", "partitions"),
    results_free=(
        "assets.making",
        "assets.pictures",
        "assets.pipeline_asset",
        "assets.progress",
        "photo_popularity.domain.plots",
        "resources.environment",
        "resources.settings",
    ),
)


@dataclass(frozen=True)
class PipelineAsset:
    """One step: its declaration for storage and planning, and its definition for Dagster."""

    function: Callable[..., Any]
    declaration: Declaration
    descriptions: Mapping[str, str]
    group: str
    kinds: tuple[str, ...]
    one_partition_a_run: bool = False
    pod: Pod | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The assets whose frames the function takes."""
        return tuple(name for name in self.declaration.reads if name not in self.sources)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The sources that it reads."""
        known = (DATABASE, self.declaration.partitions)
        return tuple(name for name in self.declaration.reads if name in known)

    @cached_property
    def resources(self) -> tuple[str, ...]:
        """The resources that the function takes."""
        given = {WORK, FILE, *self.inputs}
        return tuple(name for name in inspect.signature(self.function).parameters if name not in given)

    def definition(self, days: dg.PartitionsDefinition) -> dg.AssetsDefinition:
        """The asset as Dagster knows it, with `days` as the definition of the day partitions."""
        reads, files = self.declaration.reads, self.declaration.files

        @dg.multi_asset(
            name=self.declaration.name,
            outs={asset: self._out(asset) for asset in self.declaration.makes},
            ins={
                n: dg.AssetIn(n, partition_mapping=reads[n].mapping(), input_manager_key=IO_MANAGER)
                for n in self.inputs
            },
            deps=[dg.AssetDep(name) for name in self.sources],
            partitions_def=files.partitions if files else days,
            backfill_policy=self._backfill_policy,
            required_resource_keys={STORAGE, IO_MANAGER, *self.resources, *([files.name] if files else [])},
            group_name=self.group,
            op_tags={
                STEP_TAG: self.declaration.name,
                **(self.pod.tags(self.declaration.name) if self.pod else {}),
            },
        )
        def execute(context: dg.AssetExecutionContext, **frames: Any):  # type: ignore[no-untyped-def]
            return self._execute(context, frames)

        return execute

    @property
    def _backfill_policy(self) -> dg.BackfillPolicy:
        if self.one_partition_a_run:
            return dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
        return dg.BackfillPolicy.single_run()

    def _out(self, asset: str) -> dg.AssetOut:
        schema = SCHEMAS.get(asset)
        columns = schema.columns if schema else MODELS
        metadata: dict[str, Any] = {
            "dagster/column_schema": column_schema(columns, key=schema.key if schema else ("day",)),
            "partition_expr": schema.partition_column if schema else "day",
        }
        return dg.AssetOut(
            io_manager_key=IO_MANAGER,
            dagster_type=dg.Any,
            description=self.descriptions[asset],
            metadata=metadata,
            owners=list(OWNERS),
            kinds=set(self.kinds),
            tags={"photo_popularity/partitions": self.declaration.partitions},
            code_version=self.declaration.code_version,
        )

    def _execute(self, context: dg.AssetExecutionContext, frames: dict[str, Any]) -> Iterator[dg.Output[Any]]:
        storage: TableStorage = getattr(context.resources, STORAGE)
        manager: TableIOManager = getattr(context.resources, IO_MANAGER)
        step_context = context.op_execution_context.get_step_execution_context()
        with again_in_another_pod(step_context):
            try:
                step = step_of(storage, step_context)
            except Exception as error:
                raise classified(error, step_context) from error
            try:
                yield from self._made(context, step, manager, frames)
            finally:
                storage.forget(step)

    def _made(
        self, context: dg.AssetExecutionContext, step: Step, manager: TableIOManager, frames: dict[str, Any]
    ) -> Iterator[dg.Output[Any]]:
        given = {name: getattr(context.resources, name) for name in self.resources}
        reads_files = FILE in inspect.signature(self.function).parameters
        source = getattr(context.resources, step.declaration.partitions) if reads_files else None
        function = partial(self.function, **given)
        making = Making(function, frames, step=step, manager=manager, log=context.log, source=source)
        try:
            making.make()
        except Exception as error:
            # what stays untold is told at the next look: the catalog may be what is away
            with suppress(sa.exc.SQLAlchemyError):
                self._tell_what_was_done(context, making)
            raise manager.recorded(
                step, error, context.op_execution_context.get_step_execution_context()
            ) from error
        except BaseException:
            manager.interrupted(step)
            self._tell_what_was_done(context, making)
            raise
        manager.about_to_tell(step)
        pages = {a: manager.pages(step, a, new, context.instance) for a, new in making.shown.items()}
        for asset, its in pages.items():
            of_the_run = making.metadata[asset] | manager.mixed_code(step, asset)
            yield dg.Output(its, output_name=asset, metadata=of_the_run)
            if len(step.keys) > 1:
                self._tell_partitions(context, asset, its, of_the_run)
        # Dagster takes the outputs one by one as they are yielded: by now it has them all
        manager.told(step)

    def _tell_what_was_done(self, context: dg.AssetExecutionContext, making: Making) -> None:
        """Tell Dagster of what was committed when a step ends before its time."""
        for asset, new in making.shown.items():
            done = making.manager.pages_of_new(making.step, asset, new)
            self._tell_partitions(context, asset, done, making.metadata[asset])
            making.manager.told_of(making.step, asset, new)

    def _tell_partitions(
        self,
        context: dg.AssetExecutionContext,
        asset: str,
        shown: Mapping[str, Shown],
        of_the_run: Mapping[str, Any],
    ) -> None:
        """One event a partition with its own data version: for a range Dagster writes one version for all of it."""
        # the asset's page shows the last event: what belongs to the whole run goes there
        last = list(shown)[-1] if shown else None
        events = [
            its.event(asset, partition, of_the_run if partition == last else None)
            for partition, its in shown.items()
        ]
        log_together(context.op_execution_context.get_step_execution_context(), events)


def day_asset(
    *,
    reads: Mapping[str, Read],
    group: str,
    kinds: tuple[str, ...],
    parameters: Callable[[Environment], Mapping[str, Any]] = no_parameters,
    libraries: tuple[str, ...] = (),
    code: tuple[type, ...] = (),
    pod: Pod | None = None,
    one_partition_a_run: bool = False,
) -> Callable[[Callable[..., Any]], PipelineAsset]:
    """Declare a function of days as an asset of the pipeline; its docstring is the asset's catalogue entry.

    A run makes any range of days, unless the function takes `one_partition_a_run`. Another version of one of the
    `libraries` makes all of its outputs out of date, as another meaning of its code does; `code` names classes of ours
    that it meets only as objects that it is given. A heavy step has a `pod` of its own where the pipeline runs on Kubernetes.
    """

    def declare(function: Callable[..., Any]) -> PipelineAsset:
        declaration = Declaration(
            name=function.__name__,
            makes=(function.__name__,),
            reads=reads,
            parameters=parameters,
            code_version=_code_version(function, (function.__name__,), libraries, code),
        )
        descriptions = {function.__name__: inspect.cleandoc(function.__doc__ or "")}
        return PipelineAsset(function, declaration, descriptions, group, kinds, one_partition_a_run, pod)

    return declare


def file_asset(
    files: FileSet,
    *,
    reads: tuple[str, ...] = (),
    makes: Mapping[str, str] | None = None,
    kinds: tuple[str, ...] = ("python", "parquet"),
    parameters: Callable[[Environment], Mapping[str, Any]] = no_parameters,
    libraries: tuple[str, ...] = (),
    code: tuple[type, ...] = (),
    pod: Pod | None = None,
) -> Callable[[Callable[..., Any]], PipelineAsset]:
    """Declare a function of one file of a set as an asset of the pipeline; see `day_asset` for the rest.

    `reads` names assets of the same files; a function without a parameter `file` is made from these alone. It returns a
    row, several, or a frame, without the file's name; one that makes several tables names them in `makes`, with a
    catalogue entry for each, and returns a mapping from their names.
    """

    def declare(function: Callable[..., Any]) -> PipelineAsset:
        described = makes or {function.__name__: inspect.cleandoc(function.__doc__ or "")}
        of_the_file = (files.name,) if FILE in inspect.signature(function).parameters else ()
        declaration = Declaration(
            name=function.__name__,
            makes=tuple(described),
            reads={name: SameKey() for name in (*of_the_file, *reads)},
            files=files,
            parameters=parameters,
            code_version=_code_version(function, tuple(described), libraries, code),
        )
        return PipelineAsset(function, declaration, described, files.group, kinds, pod=pod)

    return declare


def _code_version(
    function: Callable[..., Any], makes: tuple[str, ...], libraries: tuple[str, ...], code: tuple[type, ...]
) -> str:
    """What the results depend on beside inputs and parameters: our code, their libraries, the tables' columns."""
    package = function.__module__.partition(".")[0]
    tree = CODE if package in CODE.packages else replace(CODE, packages=(*CODE.packages, package))
    schemas = [SCHEMAS[asset] for asset in makes if asset in SCHEMAS]
    parts = [
        tree.fingerprint(function.__module__, function.__name__),
        *(tree.fingerprint(met.__module__, met.__name__) for met in code),
        *(f"{library} {_version(library)}" for library in libraries),
        *(f"{schema.arrow} {schema.partition_column} {schema.index_column}" for schema in schemas),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"
