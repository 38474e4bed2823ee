"""What we lean on in Dagster about dynamic keys, ranges, versions and checks; an upgrade that changes it says so here."""

# no postponed annotations here: Dagster compares the annotation of `context` itself
from collections.abc import Iterator

import dagster as dg
import pytest

FILES = dg.DynamicPartitionsDefinition(name="files")
START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


class Versioned(dg.IOManager):
    """Gives every output the data version `from-the-manager`."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        context.step_context.set_data_version(context.asset_key, dg.DataVersion("from-the-manager"))

    def load_input(self, context: dg.InputContext) -> None:
        return None


@dg.asset(partitions_def=FILES, backfill_policy=dg.BackfillPolicy.single_run())
def content(context: dg.AssetExecutionContext) -> int:
    if len(context.partition_keys) > 1:
        for key in context.partition_keys:
            context.log_event(
                dg.AssetMaterialization("content", partition=key, tags={"dagster/data_version": f"own-{key}"})
            )
    return 1


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def definitions() -> dg.Definitions:
    return dg.Definitions(
        [content], resources={"io_manager": Versioned()}, jobs=[dg.define_asset_job("job", "content")]
    )


def run(instance: dg.DagsterInstance, **tags: str) -> dg.ExecuteInProcessResult:
    return (
        definitions()
        .resolve_job_def("job")
        .execute_in_process(
            instance=instance, tags=tags, asset_selection=[dg.AssetKey("content")], raise_on_error=False
        )
    )


def version_of(instance: dg.DagsterInstance, key: str) -> str:
    record = instance.get_latest_data_version_record(dg.AssetKey("content"), partition_key=key)
    assert record is not None
    assert record.asset_materialization is not None
    return (record.asset_materialization.tags or {})["dagster/data_version"]


def materialized(result: dg.ExecuteInProcessResult) -> list[str]:
    found = [e.partition for e in result.all_events if e.is_step_materialization and e.partition]
    return list(dict.fromkeys(found))


def test_a_range_of_dynamic_keys_runs_in_the_order_of_insertion(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("files", ["c", "a", "b", "d"])
    assert materialized(run(instance, **{START: "c", END: "b"})) == ["c", "a", "b"]


def test_a_key_that_is_taken_away_and_placed_at_the_end_keeps_its_events(
    instance: dg.DagsterInstance,
) -> None:
    instance.add_dynamic_partitions("files", ["a", "b", "c"])
    assert run(instance, **{"dagster/partition": "a"}).success
    instance.delete_dynamic_partition("files", "a")
    instance.add_dynamic_partitions("files", ["a"])
    assert list(instance.get_dynamic_partitions("files")) == ["b", "c", "a"]
    assert version_of(instance, "a") == "from-the-manager"


def test_the_last_event_of_a_partition_gives_its_data_version(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("files", ["a", "b"])
    assert run(instance, **{"dagster/partition": "a"}).success
    assert version_of(instance, "a") == "from-the-manager"
    instance.report_runless_asset_event(
        dg.AssetMaterialization("content", partition="a", tags={"dagster/data_version": "later"})
    )
    assert version_of(instance, "a") == "later"


def test_a_range_run_writes_one_version_for_all_after_what_the_function_logged(
    instance: dg.DagsterInstance,
) -> None:
    """Why the pipeline's own events are logged after the output is yielded, not before."""
    instance.add_dynamic_partitions("files", ["a", "b"])
    assert run(instance, **{START: "a", END: "b"}).success
    assert [version_of(instance, key) for key in "ab"] == ["from-the-manager", "from-the-manager"]


def test_the_tags_of_a_run_request_make_a_run_over_exactly_that_range(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("files", ["a", "b", "c", "d"])

    @dg.sensor(job_name="job")
    def ask(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        request = dg.RunRequest(tags={START: "b", END: "c"}, asset_selection=[dg.AssetKey("content")])
        return dg.SensorResult(run_requests=[request])

    result = ask(dg.build_sensor_context(instance=instance))
    assert isinstance(result, dg.SensorResult)
    [request] = result.run_requests or []
    assert materialized(run(instance, **request.tags)) == ["b", "c"]


def test_a_range_that_is_reversed_is_no_range(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("files", ["a", "b"])
    assert materialized(run(instance, **{START: "b", END: "a"})) == []


def test_a_blocking_check_that_fails_stops_what_is_downstream() -> None:
    @dg.asset
    def upstream() -> None: ...

    @dg.asset(deps=[upstream])
    def downstream() -> None: ...

    @dg.asset_check(asset=upstream, blocking=True)
    def holds() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.ERROR)

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([upstream, downstream, holds], instance=instance, raise_on_error=False)
    assert not result.success
    assert [e.step_key for e in result.all_events if e.is_step_materialization] == ["upstream"]


def test_every_status_is_known_to_be_in_flight_or_over() -> None:
    from photo_popularity.healing import IN_FLIGHT

    over = {"SUCCESS", "FAILURE", "CANCELED"}
    # MANAGED runs are those that something outside of Dagster executes
    assert {status.value for status in dg.DagsterRunStatus} == {s.value for s in IN_FLIGHT} | over | {
        "MANAGED"
    }


def test_stock_sqlite_takes_no_pools_so_that_tags_limit_what_runs_at_once() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert not instance.event_log_storage.supports_global_concurrency_limits
