"""How an asset of this pipeline is declared: a plain function of frames, and everything Dagster should know of it.

The function is called with its `Work`, one frame for each asset that it reads (all partitions read by the run together)
and the resources that its other parameters name. It returns one frame with the rows of all partitions of its work, and
storage splits it. Called directly, as tests do, it is the plain function.
"""

# no postponed annotations here: Dagster compares the annotation of `context` itself
import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import dagster as dg

from assets.column_schema import column_schema
from assets.making import Making
from partitions.files import LOG_FILES, PHOTO_FILES
from partitions.reads import Read
from photo_popularity.domain.schemas import MODELS, SCHEMAS
from resources.code_fingerprint import SourceTree
from resources.environment import Environment
from resources.io_managers import Shown, TableIOManager, classified, step_of
from resources.pipeline import Declaration, PartitionKind, no_parameters
from resources.table_storage import TableStorage

SOURCES = ("photo_database", "photo_files", "log_files")
OWNERS = ("team:photo-popularity",)
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
    one_partition_a_run: bool

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The assets whose frames the function takes."""
        return tuple(name for name in self.declaration.reads if name not in SOURCES)

    @cached_property
    def resources(self) -> tuple[str, ...]:
        """The resources that the function takes."""
        parameters = tuple(inspect.signature(self.function).parameters)[1:]
        return tuple(name for name in parameters if name not in self.inputs)

    def definition(self, days: dg.PartitionsDefinition) -> dg.AssetsDefinition:
        """The asset as Dagster knows it, with `days` as the definition of the day partitions."""
        kinds = {"days": days, "photo_files": PHOTO_FILES, "log_files": LOG_FILES}
        reads = self.declaration.reads
        sources = [dg.AssetDep(name) for name in reads if name in SOURCES]

        @dg.multi_asset(
            name=self.declaration.name,
            outs={asset: self._out(asset) for asset in self.declaration.makes},
            ins={
                n: dg.AssetIn(n, partition_mapping=reads[n].mapping(), input_manager_key=IO_MANAGER)
                for n in self.inputs
            },
            deps=sources,
            partitions_def=kinds[self.declaration.partitions],
            backfill_policy=self._backfill_policy,
            required_resource_keys={STORAGE, IO_MANAGER, *self.resources},
            group_name=self.group,
            op_tags={"photo_popularity/step": self.declaration.name},
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
        try:
            step = step_of(storage, step_context)
        except Exception as error:
            raise classified(error, step_context) from error
        given = {name: getattr(context.resources, name) for name in self.resources}
        making = Making(partial(self.function, **frames, **given), step, manager, context.log)
        try:
            storage.begin(step)
            making.make()
        except Exception as error:
            self._tell(context, making)
            raise manager.recorded(step, error, step_context) from error
        except BaseException:
            storage.fail(step, "interrupted")
            self._tell(context, making)
            raise
        finally:
            storage.forget(step)
        left_alone = manager.left_alone(step, context.instance)
        for asset, shown in making.shown.items():
            shown.update(left_alone[asset])
            yield dg.Output(shown, output_name=asset, metadata=making.metadata[asset])
        if len(step.partitions) + len(step.kept) + len(step.left_out) > 1:
            self._tell(context, making)

    def _tell(self, context: dg.AssetExecutionContext, making: Making) -> None:
        """Tell Dagster of each partition by itself: after a range, and of what is done when a step ends before its time."""
        for asset, shown in making.shown.items():
            if shown:
                self._tell_partitions(context, asset, shown, making.metadata[asset])

    def _tell_partitions(
        self,
        context: dg.AssetExecutionContext,
        asset: str,
        shown: Mapping[str, Shown],
        of_the_run: Mapping[str, Any],
    ) -> None:
        """One event a partition with its own data version: for a range Dagster writes one version for all of it."""
        last = list(shown)[-1]
        for partition, its in shown.items():
            # the asset's page shows the last event: what belongs to the whole run goes there
            more = of_the_run if partition == last else {}
            context.log_event(
                dg.AssetMaterialization(
                    asset,
                    partition=partition,
                    metadata={**its.metadata, **more},
                    tags={"dagster/data_version": its.content_version},
                )
            )


def pipeline_asset(
    *,
    partitions: PartitionKind,
    reads: Mapping[str, Read],
    group: str,
    kinds: tuple[str, ...],
    makes: Mapping[str, str] | None = None,
    parameters: Callable[[Environment], Mapping[str, Any]] = no_parameters,
    libraries: tuple[str, ...] = (),
    code: tuple[type, ...] = (),
    one_partition_a_run: bool = False,
) -> Callable[[Callable[..., Any]], PipelineAsset]:
    """Declare a function as an asset of the pipeline; its docstring is the asset's catalogue entry.

    A run makes any range of partitions, unless the function takes `one_partition_a_run`. Another version of one of the
    `libraries` makes all of its outputs out of date, as another meaning of its code does; `code` names classes of ours
    that it meets only as objects that it is given. A function that makes several tables names them in `makes`, with a
    catalogue entry for each, and returns a mapping from name to frame.
    """

    def declare(function: Callable[..., Any]) -> PipelineAsset:
        name = function.__name__
        described = makes or {name: inspect.cleandoc(function.__doc__ or "")}
        declaration = Declaration(
            name=name,
            makes=tuple(described),
            partitions=partitions,
            reads=reads,
            parameters=parameters,
            code_version=_code_version(function, tuple(described), libraries, code),
        )
        return PipelineAsset(
            function,
            declaration,
            descriptions=described,
            group=group,
            kinds=kinds,
            one_partition_a_run=one_partition_a_run,
        )

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
