"""The night on Kubernetes: pods for runs and heavy steps, under the accounts, rights and policies that the manifests give."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from photo_popularity.definitions import PIPELINE
from photo_popularity.deployment.manifests import SAME_ARITHMETIC, SECRET_SETTINGS, manifests
from photo_popularity.deployment.tasks import tasks
from resources.environment import PREFIX, Environment, read_environment
from resources.identity import LOOKS, STARTS, account_of, namespace_of, secret_of
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.deployed_site import embedded_run, restricted_site, versions, wait_for_versions
from tests.services.kubernetes_api.objects import PODS, ROLES
from tests.services.kubernetes_api.server import KubernetesApi, kubernetes_api
from tests.services.kubernetes_dagster import CHECKOUT, process, program
from tests.services.ports import HOST, accepts, free_port, wait_until
from tests.services.postgres import PostgresServer

pytest.importorskip("dagster_k8s")
pytest.importorskip("celpy")
pytestmark = [pytest.mark.end_to_end, pytest.mark.postgres, pytest.mark.s3]

SECONDS_FOR_A_NIGHT = 540
DEPLOY = CHECKOUT / "deploy"
IMAGE = "photo-popularity:test"
HEAVY = {"photo_content", "cat_dog_scores", "log_signals", "popularity_model", "model_evaluation"}


@dataclass(frozen=True)
class Cluster:
    """A cluster with a production that works by itself."""

    api: KubernetesApi
    environment: Environment
    variables: Mapping[str, str]
    command_line: CommandLine


def instance_of(home: Path, database: str) -> dict[str, Any]:
    """`dagster.yaml` as the chart makes it of the values, but for what is not here: volumes and the cluster's own tokens."""
    values = yaml.safe_load((DEPLOY / "kubernetes/values.yaml").read_text())
    launcher = values["runLauncher"]["config"]["customRunLauncher"]
    elsewhere = {"load_incluster_config": False, "dagster_home": str(home)}
    return {
        "storage": {"postgres": {"postgres_url": database}},
        "run_coordinator": {"module": "dagster.core.run_coordinator", "class": "QueuedRunCoordinator"},
        "run_launcher": {**launcher, "config": {**launcher["config"], **elsewhere}},
        "run_monitoring": {"enabled": True, "poll_interval_seconds": 15, "max_resume_run_attempts": 0},
        "telemetry": {"enabled": False},
        **values["additionalInstanceConfig"],
    }


def secret(namespace: str, name: str, variables: Mapping[str, str]) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in variables.items()}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


def apply(api: KubernetesApi, environment: Environment, by_task: Mapping[str, Mapping[str, str]]) -> None:
    """What a deployment applies, and the secrets of the tasks."""
    namespace = namespace_of(environment)
    made = manifests(environment, tasks(), PIPELINE)
    for manifest in made:
        if manifest["kind"] == "ConfigMap":
            # the server's pods see the folders of this machine
            manifest["data"][f"{PREFIX}CREDENTIALS"] = environment.settings.credentials
    # limits of single containers are nothing that this server knows
    api.apply(manifest for manifest in made if manifest["kind"] != "LimitRange")
    api.apply(secret(namespace, secret_of(task), its) for task, its in by_task.items())
    api.apply([secret(namespace, "dagster-postgresql-secret", {"postgresql-password": "none of this test"})])
    instance = {"name": "dagster-instance", "namespace": namespace}
    api.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": instance, "data": {}}])


@contextmanager
def servers(
    folder: Path,
    api: KubernetesApi,
    environment: Environment,
    variables: Mapping[str, str],
    code: Mapping[str, str],
) -> Iterator[None]:
    """Daemon and code location as processes beside the cluster, the daemon with its account's token."""
    port, workspace, namespace = free_port(), folder / "workspace.yaml", namespace_of(environment)
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": {"host": HOST, "port": port}}]}))
    daemon = api.kubeconfig_of(api.access.token(namespace, account_of(STARTS)), namespace, account_of(STARTS))
    location = [
        program("dagster"),
        "api",
        "grpc",
        "--module-name",
        "photo_popularity.definitions",
        "--port",
        str(port),
    ]
    daemons = [program("dagster-daemon"), "run", "--workspace", str(workspace)]
    of_code = {**variables, **code, "DAGSTER_CURRENT_IMAGE": IMAGE}
    with process(location, of_code, folder / "code.log") as server:
        wait_until(lambda: accepts(port), server, (folder / "code.log").read_text)
        with process(daemons, {**variables, "KUBECONFIG": str(daemon)}, folder / "daemon.log"):
            yield


@pytest.fixture(scope="module")
def embedded(small_site: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The same site after an embedded run."""
    return embedded_run(small_site, tmp_path_factory.mktemp("embedded") / "home", **SAME_ARITHMETIC)


@pytest.fixture(scope="module")
def cluster(
    embedded: CommandLine,
    small_site: Path,
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresServer,
) -> Iterator[Cluster]:
    """Servers that refuse each task whatever it has no right to, and a cluster that does so too."""
    tmp_path = tmp_path_factory.mktemp("cluster")
    with restricted_site(small_site, tmp_path, embedded, postgres=postgres_server) as restricted:
        production = read_environment(restricted.everybodys)
        home = tmp_path / "dagster"
        home.mkdir()
        instance = instance_of(home, restricted.everybodys["DAGSTER_POSTGRES_URL"])
        (home / "dagster.yaml").write_text(json.dumps(instance))
        of_looks = restricted.by_task[LOOKS]
        secrets = {f"{PREFIX}{name.upper()}" for name in SECRET_SETTINGS} | set(of_looks)
        # what the image and the chart set for every container, and no secret
        shared = {name: value for name, value in restricted.everybodys.items() if name not in secrets}
        shared |= {
            "PYTHONPATH": str(CHECKOUT),
            "DAGSTER_K8S_PIPELINE_RUN_NAMESPACE": namespace_of(production),
        }
        with kubernetes_api(shared) as api:
            apply(api, production, restricted.by_task)
            with servers(tmp_path, api, production, shared, of_looks):
                yield Cluster(api, production, restricted.variables, CommandLine(tmp_path / "home"))


def test_the_night_is_done_by_pods_that_have_the_rights_of_their_tasks_alone(
    embedded: CommandLine, cluster: Cluster
) -> None:
    wanted = versions(embedded, {})
    wait_for_versions(wanted, cluster.command_line, cluster.variables, seconds=SECONDS_FOR_A_NIGHT)
    pods = cluster.api.items(PODS, namespace_of(cluster.environment))
    accounts: dict[str, set[str]] = {}
    for pod in pods:
        labels = pod["metadata"]["labels"]
        what = labels.get("dagster/op") or labels["app.kubernetes.io/component"]
        accounts.setdefault(what, set()).add(pod["spec"]["serviceAccountName"])
    assert accounts == {"run_worker": {"run-worker"}, **{step: {account_of(step)} for step in HEAVY}}
    # nothing of the run worker's secrets is in the pod of a step
    for pod in pods:
        if step := pod["metadata"]["labels"].get("dagster/op"):
            assert not [volume for volume in pod["spec"].get("volumes", ()) if "secret" in volume], step
    launched_by = {row["launched_by"] for row in cluster.command_line.history(**cluster.variables)}
    assert launched_by
    assert all(name.startswith(("sensor ", "schedule ")) for name in launched_by), launched_by
    statuses = Counter(row["status"] for row in cluster.command_line.history(**cluster.variables))
    assert statuses.keys() == {"succeeded"}


def test_the_verbs_of_the_manifests_are_those_that_are_in_use(cluster: Cluster) -> None:
    [role] = cluster.api.items(ROLES, namespace_of(cluster.environment))
    granted = {
        (verb, f"{resource}.{group}".rstrip("."))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    used = {(verb, resource) for name, verb, resource in cluster.api.access.used if "serviceaccount" in name}
    # asked for when a pod has died, or a run is ended from outside
    faults = {
        ("delete", "jobs.batch"),
        ("delete", "pods"),
        ("get", "pods/log"),
        ("list", "jobs.batch"),
        ("list", "events"),
    }
    assert used | faults == granted
    assert {("create", "jobs.batch"), ("get", "jobs/status.batch"), ("list", "pods")} <= used
