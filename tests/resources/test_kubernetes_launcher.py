"""Runs and steps as Jobs under the rights that the manifests give: none is lost, and none works on after its run."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.launcher import LaunchRunContext
from dagster._core.launcher.base import WorkerStatus
from dagster._core.test_utils import create_run_for_test

from photo_popularity.definitions import PIPELINE
from photo_popularity.deployment.manifests import manifests
from photo_popularity.deployment.tasks import tasks
from resources.environment import Environment
from resources.identity import LAUNCHES, STARTS, account_of, namespace_of
from tests.end_to_end.dagster_ui import wait_for
from tests.services.dagster_chart import VALUES
from tests.services.kubernetes_api.faults import RequestFault
from tests.services.kubernetes_api.objects import JOBS, PODS, Object
from tests.services.kubernetes_api.server import KubernetesApi, kubernetes_api
from tests.services.kubernetes_dagster import CHECKOUT

kubernetes = pytest.importorskip("kubernetes")
two_steps = pytest.importorskip("tests.deploy.two_steps")
jobs_of_runs = pytest.importorskip("dagster_k8s.job")

PRODUCTION = Environment("production", "ops", Path("/home"))
NAMESPACE = namespace_of(PRODUCTION)
AT_WORK, FAILS, SUCCEEDS = "sleep 300", "exit 1", "true"
SECONDS = 30
DEPLOYED = VALUES["runLauncher"]["config"]["customRunLauncher"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    """A cluster with the accounts and rights of production."""
    shared = {"PYTHONPATH": str(CHECKOUT), "DAGSTER_HOME": str(tmp_path_factory.mktemp("home"))}
    with kubernetes_api(shared) as api:
        api.namespace(NAMESPACE, account_of(STARTS), account_of(LAUNCHES))
        made = manifests(PRODUCTION, tasks(), PIPELINE)
        api.apply(manifest for manifest in made if manifest["kind"] in ("Role", "RoleBinding"))
        yield api


@dataclass(frozen=True)
class Cluster:
    """The cluster as the daemon launches runs on it."""

    api: KubernetesApi
    instance: dg.DagsterInstance

    def run(self, script: str) -> dg.DagsterRun:
        """A run that has started, with a pod that does this, or that has done it if it ends."""
        run: dg.DagsterRun = create_run_for_test(self.instance, status=dg.DagsterRunStatus.STARTED)
        self.start(jobs_of_runs.get_job_name_from_run_id(run.run_id), script, run, "run_worker")
        return run

    def step(self, run: dg.DagsterRun, script: str = AT_WORK, *, awaited: bool = True) -> str:
        """The name of a Job of the run's, with a pod that does this, or that has done it if it ends."""
        return self.start(f"dagster-step-{secrets.token_hex(8)}", script, run, "step_worker", awaited=awaited)

    def start(
        self, name: str, script: str, run: dg.DagsterRun, component: str, *, awaited: bool = True
    ) -> str:
        labels = {"app.kubernetes.io/component": component, "dagster/run-id": run.run_id}
        container = {"name": "dagster", "image": "photos:1", "command": ["sh", "-c", script]}
        pod = {"restartPolicy": "Never", "containers": [container]}
        job = {
            "metadata": {"name": name, "labels": labels},
            "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}},
        }
        administrator = kubernetes.config.new_client_from_config(str(self.api.kubeconfig))
        kubernetes.client.BatchV1Api(administrator).create_namespaced_job(NAMESPACE, job)
        status = {AT_WORK: "ready", FAILS: "failed", SUCCEEDS: "succeeded"}[script]
        if awaited:
            wait_for(lambda: self.jobs()[name]["status"].get(status), f"{name} {status}", seconds=SECONDS)
        return name

    def jobs(self) -> dict[str, Object]:
        """All Jobs by name."""
        return {job["metadata"]["name"]: job for job in self.api.items(JOBS, NAMESPACE)}

    def pods(self, job: str) -> list[Object]:
        """The pods of a Job."""
        pods = self.api.items(PODS, NAMESPACE)
        return [pod for pod in pods if pod["metadata"]["labels"]["job-name"] == job]

    def said(self, run: dg.DagsterRun) -> list[str]:
        """What the run's history says."""
        return [entry.message for entry in self.instance.all_logs(run.run_id)]


@contextmanager
def launching(
    server: KubernetesApi, folder: Path, launcher: Mapping[str, Any], *, resumes: int = 0
) -> Iterator[Cluster]:
    """The cluster with such a launcher; a run is taken over by a new pod so often."""
    daemon = account_of(STARTS)
    kubeconfig = server.kubeconfig_of(server.access.token(NAMESPACE, daemon), NAMESPACE, daemon)
    outside = {"load_incluster_config": False, "kubeconfig_file": str(kubeconfig)}
    configured: dict[str, Any] = {
        "run_launcher": {**launcher, "config": {**launcher["config"], **outside}},
        "run_monitoring": {"enabled": True, "max_resume_run_attempts": resumes},
    }
    with dg.instance_for_test(configured, temp_dir=str(folder)) as instance:
        yield Cluster(server, instance)


@pytest.fixture
def cluster(server: KubernetesApi, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """The daemon's launcher; a parameter says how often a run is taken over by a new pod."""
    launcher = {
        "module": "resources.kubernetes_launcher",
        "class": "PatientRunLauncher",
        "config": {
            "service_account_name": account_of(LAUNCHES),
            "job_namespace": NAMESPACE,
            "job_image": "photos:1",
            "instance_config_map": "dagster-instance",
            "dagster_home": str(tmp_path),
        },
    }
    with launching(server, tmp_path, launcher, resumes=getattr(request, "param", 0)) as cluster:
        yield cluster


def test_the_steps_at_work_of_a_run_whose_pod_is_dead_end_and_no_others(cluster: Cluster) -> None:
    dead, living = cluster.run(FAILS), cluster.run(AT_WORK)
    orphan, done, failed = cluster.step(dead), cluster.step(dead, SUCCEEDS), cluster.step(dead, FAILS)
    anothers = cluster.step(living)
    launcher = cluster.instance.run_launcher
    statuses = [launcher.check_run_worker_health(run).status for run in (dead, living)]
    assert statuses == [WorkerStatus.FAILED, WorkerStatus.RUNNING]
    wait_for(lambda: not cluster.pods(orphan), "the end of the step's pod", seconds=SECONDS)
    assert orphan not in cluster.jobs()
    assert {done, failed, anothers} <= cluster.jobs().keys()
    assert f"Job {orphan} was deleted, as the run's own pod is dead." in cluster.said(dead)
    assert not [words for words in cluster.said(living) if "deleted" in words]


def test_a_pod_that_is_made_while_its_job_is_deleted_does_not_work_on(cluster: Cluster) -> None:
    dead = cluster.run(FAILS)
    cluster.api.faults.leave_without_pods(**{"dagster/run-id": dead.run_id})
    orphan = cluster.step(dead, awaited=False)
    slow = RequestFault(200, verb="delete", resource="jobs", seconds=5)
    cluster.api.faults.order(slow)
    with ThreadPoolExecutor() as daemon:
        checked = daemon.submit(cluster.instance.run_launcher.check_run_worker_health, dead)
        wait_for(lambda: slow.times == 0, "the deletion", seconds=SECONDS)
        cluster.api.faults.clear()
        wait_for(lambda: bool(cluster.pods(orphan)), "a pod that is made meanwhile", seconds=SECONDS)
        assert checked.result().status == WorkerStatus.FAILED
    wait_for(lambda: not cluster.pods(orphan), "the end of the step's pod", seconds=SECONDS)


def test_a_run_whose_job_somebody_has_deleted_leaves_no_step_at_work(cluster: Cluster) -> None:
    run = create_run_for_test(cluster.instance, status=dg.DagsterRunStatus.STARTED)
    orphan = cluster.step(run)
    health = cluster.instance.run_launcher.check_run_worker_health(run)
    assert "could not be found" in (health.msg or "")
    assert orphan not in cluster.jobs()


@pytest.mark.parametrize("cluster", [1], indirect=True)
def test_the_steps_of_a_run_that_another_pod_takes_over_work_on(cluster: Cluster) -> None:
    run = cluster.run(FAILS)
    step = cluster.step(run)
    assert cluster.instance.run_launcher.check_run_worker_health(run).status == WorkerStatus.FAILED
    assert step in cluster.jobs()


def test_who_ends_a_run_whose_pod_is_dead_ends_its_steps(cluster: Cluster) -> None:
    run = cluster.run(FAILS)
    orphan = cluster.step(run)
    assert cluster.instance.run_launcher.terminate(run.run_id)
    assert orphan not in cluster.jobs()


def test_who_ends_a_run_ends_its_steps_whatever_becomes_of_its_pod(cluster: Cluster) -> None:
    run, other = cluster.run(AT_WORK), cluster.run(AT_WORK)
    step, anothers = cluster.step(run), cluster.step(other)
    assert cluster.instance.run_launcher.terminate(run.run_id)
    assert step not in cluster.jobs()
    assert anothers in cluster.jobs()
    assert f"Job {step} was deleted, as the run was told to end." in cluster.said(run)


def test_a_job_is_there_though_the_answer_that_it_was_made_is_lost(cluster: Cluster) -> None:
    """Dagster's client asks again, is told that it is there already, and fails what works."""
    instance, lost = cluster.instance, RequestFault(None, verb="create", resource="jobs", after_doing=True)
    origin = dg.reconstructable(two_steps.cared_for).get_python_origin()
    run = instance.create_run_for_job(
        two_steps.cared_for, status=dg.DagsterRunStatus.STARTING, job_code_origin=origin
    )
    of_a_step = replace(lost)
    cluster.api.faults.order(lost)
    with ThreadPoolExecutor() as daemon:
        launched = daemon.submit(instance.run_launcher.launch_run, LaunchRunContext(run, workspace=None))
        wait_for(lambda: lost.times == 0, "the Job of the run", seconds=SECONDS)
        # taken by the first of the run's steps: the daemon pauses before it asks again
        cluster.api.faults.order(of_a_step)
        launched.result()
    wait_for(lambda: instance.get_runs()[0].is_finished, "the end of the run", seconds=120)
    assert instance.get_runs()[0].status == dg.DagsterRunStatus.SUCCESS, cluster.said(run)
    assert of_a_step.times == 0


@pytest.mark.parametrize(
    ("kind", "chosen"),
    [
        ("container_config", {"image": "another:1"}),
        ("container_config", {"command": ["sh"]}),
        ("container_config", {"args": ["sh", "-c", "true"]}),
        ("container_config", {"env_from": [{"secret_ref": {"name": "code-location-credentials"}}]}),
        ("pod_spec_config", {"service_account_name": "photo-content"}),
    ],
    ids=str,
)
def test_who_launches_a_run_chooses_nothing_of_its_pod(
    kind: str, chosen: Object, server: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launcher is the one that is deployed; an image is the code location's own."""
    origin = dg.reconstructable(two_steps.cared_for).get_python_origin()
    located = origin._replace(repository_origin=origin.repository_origin._replace(container_image="photos:1"))
    monkeypatch.setenv("DAGSTER_K8S_PIPELINE_RUN_NAMESPACE", NAMESPACE)
    with launching(server, tmp_path, DEPLOYED) as cluster:

        def launch(**tags: str) -> None:
            run = cluster.instance.create_run_for_job(two_steps.cared_for, tags=tags, job_code_origin=located)
            server.faults.leave_without_pods(**{"dagster/run-id": run.run_id})
            cluster.instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))

        before, [field] = cluster.jobs().keys(), chosen
        with pytest.raises(Exception, match=rf"violated the allowed list: {kind}\.{field}$"):
            launch(**{"dagster-k8s/config": json.dumps({kind: chosen})})
        assert cluster.jobs().keys() == before
        launch()
        [made] = cluster.jobs().keys() - before
        pod = cluster.jobs()[made]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert (pod["serviceAccountName"], container["image"]) == (account_of(LAUNCHES), "photos:1")
    assert (container["args"][:3], "command" in container) == (["dagster", "api", "execute_run"], False)
