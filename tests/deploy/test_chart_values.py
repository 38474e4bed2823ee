"""The values for Dagster's chart agree with the manifests, with the image, and with how Dagster runs elsewhere."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import dagster as dg
import jsonschema
import pytest
import sqlalchemy as sa
import yaml

from photo_popularity.definitions import ASSETS, PIPELINE
from photo_popularity.deployment.__main__ import values_of
from photo_popularity.deployment.admission import DAGSTER_SECRET
from photo_popularity.deployment.chart_values import chart_values
from photo_popularity.deployment.manifests import CODE_PORT, CREDENTIALS, LONGEST_LOOK, manifests
from photo_popularity.deployment.s3_policies import policy
from photo_popularity.deployment.tasks import duties, tasks
from photo_popularity.domain.errors import InputError
from resources.environment import Environment
from resources.event_log import EVENTS_AT_ONCE
from resources.identity import LAUNCHES, LOOKS, STARTS, account_of, secret_of
from resources.settings import Settings
from tests.services.dagster_chart import VALUES, concurrency_of_runs, dagster_yaml, merged, snake_case
from tests.services.kubernetes_api.server import kubernetes_api
from tests.services.one_machine import variables_of_the_example
from tests.services.postgres import PostgresServer

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ENVIRONMENTS = ("production", "staging")
LAUNCHER: dict[str, Any] = VALUES["runLauncher"]["config"]["customRunLauncher"]["config"]
[CODE] = VALUES["dagster-user-deployments"]["deployments"]
ONE_MACHINE = yaml.safe_load((DEPLOY / "one_machine/dagster.yaml").read_text())
EMBEDDED = yaml.safe_load((DEPLOY.parent / "resources/dagster.yaml").read_text())
# where Dagster keeps its records, and which processes work on them
OF_ONE_TIER = {
    *("event_log_storage", "run_storage", "schedule_storage"),
    *("run_coordinator", "run_launcher", "run_monitoring"),
}
CHART = "PHOTO_POPULARITY_DAGSTER_CHART"


def environment(name: str, **chosen: str) -> Environment:
    settings = {
        "storage": "s3://acme/photos/popularity",
        "catalog": "postgresql://owner:secret@database.example.com/photos",
    }
    return Environment(name, "ann", Path("/home"), Settings(**(settings | chosen)))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_charts_own_schema_takes_the_values(name: str) -> None:
    chart = os.environ.get(CHART)
    if not chart:
        pytest.skip(f"{CHART} names no folder with Dagster's chart")
    defaults = yaml.safe_load((Path(chart) / "values.yaml").read_text())
    schema = json.loads((Path(chart) / "values.schema.json").read_text())
    own = chart_values(environment(name, s3_endpoint="https://s3.example.com"))
    jsonschema.validate(merged(merged(defaults, VALUES), own), schema)


def test_servers_and_runs_work_under_the_accounts_of_the_manifests() -> None:
    accounts = {
        m["metadata"]["name"]
        for m in manifests(environment("production"), tasks(), PIPELINE)
        if m["kind"] == "ServiceAccount"
    }
    used = {
        VALUES["serviceAccount"]["name"]: STARTS,
        VALUES["dagster-user-deployments"]["serviceAccount"]["name"]: LOOKS,
        LAUNCHER["service_account_name"]: LAUNCHES,
    }
    assert used == {account_of(duty): duty for duty in (STARTS, LOOKS, LAUNCHES)}
    assert used.keys() <= accounts
    # the chart would make accounts and rights of its own
    assert not VALUES["rbacEnabled"]
    assert not VALUES["dagster-user-deployments"]["rbacEnabled"]
    assert not VALUES["serviceAccount"]["create"]
    assert not VALUES["dagster-user-deployments"]["serviceAccount"]["create"]
    # one name for all would win over both
    assert "serviceAccountName" not in VALUES["global"]
    # a pod that names a secret to pull its image with does not get its account's
    assert "imagePullSecrets" not in VALUES
    assert "image_pull_secrets" not in LAUNCHER


def test_each_process_has_the_secrets_that_the_policy_allows_it() -> None:
    assert {VALUES["global"]["postgresqlSecretName"], LAUNCHER["postgres_password_secret"]} == {
        DAGSTER_SECRET
    }
    for server in ("dagsterWebserver", "dagsterDaemon"):
        assert VALUES[server]["envSecrets"] == [{"name": secret_of(STARTS)}]
    assert CODE["envSecrets"] == [{"name": secret_of(LOOKS)}]
    # the chart would give the code location another one, which need not be there, and which the policy refuses
    assert VALUES["global"]["celeryConfigSecretName"] == ""
    assert VALUES["dagster-user-deployments"]["celeryConfigSecretName"] == ""
    assert not CODE["includeConfigInLaunchedRuns"]["enabled"]
    secrets = {v["name"]: v["secret"]["secret_name"] for v in LAUNCHER["volumes"] if "secret" in v}
    of_steps = {secret_of(task.name) for task in tasks()} - {secret_of(LOOKS)}
    assert secrets == {name: name for name in of_steps}
    assert all(volume["secret"]["optional"] for volume in LAUNCHER["volumes"] if "secret" in volume)
    assert LAUNCHER["only_allow_user_defined_k8s_config_fields"] == {}
    mounts = {mount["name"]: mount for mount in LAUNCHER["volume_mounts"]}
    for name in of_steps:
        assert mounts[name] == {"name": name, "mount_path": f"{CREDENTIALS}/{name}", "read_only": True}


def test_the_code_location_is_where_the_network_policy_lets_it_be_reached() -> None:
    assert CODE["port"] == CODE_PORT
    assert LAUNCHER["env_config_maps"] == [its["name"] for its in CODE["envConfigMaps"]] == ["settings"]
    assert VALUES["dagsterDaemon"]["envConfigMaps"] == CODE["envConfigMaps"]
    assert LONGEST_LOOK.items() <= variables_of_the_example().items()
    assert LAUNCHER["dagster_home"] == VALUES["global"]["dagsterHome"]


def test_dagsters_instance_is_as_on_one_machine() -> None:
    assert VALUES["additionalInstanceConfig"] == {"nux": ONE_MACHINE["nux"]}
    assert concurrency_of_runs(VALUES["concurrency"]["runs"]) == ONE_MACHINE["concurrency"]["runs"]
    queue, theirs = VALUES["dagsterDaemon"]["runCoordinator"], ONE_MACHINE["run_coordinator"]
    assert queue["type"] == "CustomRunCoordinator"
    its = queue["config"]["customRunCoordinator"]
    assert its["class"] == theirs["class"]
    # but for the pause between looks
    assert its["config"].items() <= theirs["config"].items()
    logs = ONE_MACHINE["python_logs"]
    assert VALUES["pythonLogs"] == {
        "pythonLogLevel": logs["python_log_level"],
        "dagsterHandlerConfig": logs["dagster_handler_config"],
    }
    assert (
        VALUES["retention"]["sensor"]["purgeAfterDays"]
        == ONE_MACHINE["retention"]["sensor"]["purge_after_days"]
    )
    assert VALUES["telemetry"] == ONE_MACHINE["telemetry"]
    monitoring, theirs = VALUES["dagsterDaemon"]["runMonitoring"], ONE_MACHINE["run_monitoring"]
    assert monitoring["startTimeoutSeconds"] >= theirs["start_timeout_seconds"]
    assert monitoring["cancelTimeoutSeconds"] == theirs["cancel_timeout_seconds"]
    assert monitoring["pollIntervalSeconds"] == theirs["poll_interval_seconds"]


def test_dagsters_embedded_instance_is_as_on_one_machine() -> None:
    embedded, one_machine = (
        {key: said for key, said in instance.items() if key not in OF_ONE_TIER}
        for instance in (EMBEDDED, ONE_MACHINE)
    )
    assert embedded == one_machine


def test_jobs_that_are_over_leave_room_for_others() -> None:
    """The quota counts a job until it is deleted, and Kubernetes refuses all others while it is full."""
    [quota] = [
        m for m in manifests(environment("production"), tasks(), PIPELINE) if m["kind"] == "ResourceQuota"
    ]
    stays = LAUNCHER["run_k8s_config"]["job_spec_config"]["ttl_seconds_after_finished"]
    # at worst each place has a run that takes all steps, and is over when the next look is
    jobs_of_a_run = 1 + sum(asset.pod is not None for asset in ASSETS)
    at_once = VALUES["concurrency"]["runs"]["maxConcurrentRuns"]
    looks = 1 + stays / Settings().look_every
    assert at_once * jobs_of_a_run * looks < int(quota["spec"]["hard"]["count/jobs.batch"])


def test_events_of_runs_and_steps_go_together_without_our_event_log() -> None:
    assert LAUNCHER["env_vars"] == [f"DAGSTER_EVENT_BATCH_SIZE={EVENTS_AT_ONCE}"]


@pytest.mark.postgres
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_dagster_takes_what_the_chart_makes_of_the_values(
    name: str, tmp_path: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dagster_k8s")
    url = postgres_server.new_database()
    own, database = chart_values(environment(name, catalog=url)), sa.make_url(url)
    here = {"postgresqlUsername": database.username, "postgresqlDatabase": database.database}
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", str(database.password))
    monkeypatch.setenv("DAGSTER_K8S_PIPELINE_RUN_NAMESPACE", "here")
    with kubernetes_api() as api:
        outside = {"load_incluster_config": False, "kubeconfig_file": str(api.kubeconfig)}
        launcher = {"config": {"customRunLauncher": {"config": outside}}}
        values = merged(merged(VALUES, own), {"postgresql": here, "runLauncher": launcher})
        (tmp_path / "dagster.yaml").write_text(json.dumps(dagster_yaml(values)))
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            assert instance.get_runs() == []
            assert instance.run_launcher.__class__.__name__ == "PatientRunLauncher"
            queue = instance.get_concurrency_config().run_queue_config
            assert queue is not None
            assert queue.max_concurrent_runs == ONE_MACHINE["concurrency"]["runs"]["max_concurrent_runs"]
            assert (
                queue.tag_concurrency_limits == ONE_MACHINE["concurrency"]["runs"]["tag_concurrency_limits"]
            )
    postgres_server.drop(database.render_as_string(hide_password=False))


def test_pods_are_restricted_and_their_file_system_is_read_only() -> None:
    servers = [VALUES["dagsterWebserver"], VALUES["dagsterDaemon"], CODE]
    pod = LAUNCHER["run_k8s_config"]["pod_spec_config"]["security_context"]
    assert (pod["run_as_non_root"], pod["seccomp_profile"]) == (True, {"type": "RuntimeDefault"})
    container = LAUNCHER["security_context"]
    assert container == {
        "allow_privilege_escalation": False,
        "read_only_root_filesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for server in servers:
        assert snake_case(server["podSecurityContext"]) == pod
        assert snake_case(server["securityContext"]) == container
        mounted = {mount["mountPath"] for mount in server["volumeMounts"]}
        assert {"/tmp", "/var/lib/photo-popularity"} <= mounted
    assert {"/tmp", "/var/lib/photo-popularity"} <= {m["mount_path"] for m in LAUNCHER["volume_mounts"]}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_steps_may_write_their_output_where_dagster_looks_for_it(name: str) -> None:
    its = environment(name)
    logs = chart_values(its)["computeLogManager"]["config"]["s3ComputeLogManager"]
    place = f"arn:aws:s3:::{logs['bucket']}/{logs['prefix']}/*"
    for task in tasks():
        [writes] = [
            s["Resource"]
            for s in policy(task, its, PIPELINE.file_sets.values())["Statement"]
            if s["Sid"] == "Write"
        ]
        assert place in writes, task.name
    [duty] = duties()
    [reads] = [s for s in policy(duty, its, PIPELINE.file_sets.values())["Statement"] if s["Sid"] == "Read"]
    assert place in reads["Resource"]


def test_an_environments_values_are_the_few_lines_that_are_its_own() -> None:
    its = environment(
        "staging",
        catalog="postgresql://owner:secret@database.example.com:6432/photos",
        s3_endpoint="https://s3.example.com",
    )
    assert (
        "".join(values_of(its))
        == """\
postgresql:
  postgresqlHost: database.example.com
  postgresqlUsername: dagster_staging_ann
  postgresqlDatabase: dagster_staging_ann
  service:
    port: 6432
computeLogManager:
  config:
    s3ComputeLogManager:
      bucket: acme
      prefix: photos/popularity/staging-ann/logs
      endpointUrl: https://s3.example.com
"""
    )


@pytest.mark.parametrize("missing", ["catalog", "storage"])
def test_an_environment_without_servers_has_no_values(missing: str) -> None:
    with pytest.raises(InputError, match=f"PHOTO_POPULARITY_{missing.upper()}"):
        chart_values(environment("production", **{missing: ""}))
