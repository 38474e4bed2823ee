"""Runs and steps as Kubernetes Jobs, for real, on the test's API server: what ends them, and what their history says of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from dagster import DagsterRunStatus

from photo_popularity.deployment.manifests import RIGHTS
from resources.identity import account_of
from tests.services.kubernetes_api.access import granted
from tests.services.kubernetes_api.faults import PodFault, PodFaultKind
from tests.services.kubernetes_api.objects import JOBS, PODS, Object
from tests.services.kubernetes_dagster import (
    CHECKOUT,
    NAMESPACE,
    KubernetesDagster,
    kubernetes_dagster,
)
from tests.services.postgres import PostgresServer

pytest.importorskip("dagster_k8s")
pytestmark = pytest.mark.postgres

LONG, FOR_EVER, START_TIMEOUT_SECONDS = 45.0, 3600.0, 30
# a run worker tells of a step's Job before it asks for it
LAUNCH_SECONDS = 3.0
WORKER = {"app.kubernetes.io/component": "run_worker"}
HEAVY = {"dagster/op": "heavy"}


@dataclass(frozen=True)
class Night:
    """A run that something happens to."""

    job: str
    fault: PodFaultKind | None = None
    of: Mapping[str, str] = field(default_factory=dict)
    once_printed: str = ""
    seconds: float = 0
    step: Mapping[str, Any] = field(default_factory=dict)
    execution: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    no_pods_of: Mapping[str, str] | None = None
    after_seconds: float = 0


NOBODY = {"pod_spec_config": {"service_account_name": "nobody"}}
HANGS = {"container_config": {"command": ["sh", "-c", "echo not yet; sleep 3600"]}}
MOUNTS = {"container_config": {"volume_mounts": [{"name": "absent", "mount_path": "/absent"}]}}
# a step that is told to end before its own code is at work has failed, whatever its policy says
AT_WORK = "STEP_INPUT"
STARTED, LAUNCHED = "STEP_START", 'Executing step "heavy"'
NIGHTS = {
    "undisturbed": Night("cared_for"),
    "out of memory, not watched": Night("plain", "OOMKilled", HEAVY, STARTED, LONG),
    "no account, not watched": Night("plain", step=NOBODY),
    "out of memory": Night("cared_for", "OOMKilled", HEAVY, STARTED, LONG),
    "out of memory once": Night("cared_for_with_retry", "OOMKilled", {"dagster/op": "stubborn"}, STARTED),
    "evicted": Night("cared_for", "Evicted", HEAVY, STARTED, LONG / 3),
    "no account": Night("cared_for", step=NOBODY),
    "no image": Night("cared_for", "ImagePullBackOff", HEAVY),
    "no room": Night("cared_for", "Unschedulable", HEAVY),
    "no controller": Night("cared_for", no_pods_of=HEAVY),
    "node lost": Night("cared_for", "NodeLost", HEAVY, STARTED, LONG / 3),
    "deleted once": Night("cared_for_with_retry", "Deleted", {"dagster/op": "stubborn"}, AT_WORK),
    "no role": Night("cared_for", execution={"job_namespace": "default"}),
    "no volume": Night("cared_for", step=MOUNTS),
    "worker out of memory": Night(
        "cared_for", "OOMKilled", WORKER, LAUNCHED, FOR_EVER, after_seconds=LAUNCH_SECONDS
    ),
    "worker's node lost": Night(
        "cared_for", "NodeLost", WORKER, LAUNCHED, FOR_EVER, after_seconds=LAUNCH_SECONDS
    ),
    "worker without image": Night("plain", "ImagePullBackOff", WORKER),
    "worker without a beginning": Night("plain", tags={"dagster-k8s/config": json.dumps(HANGS)}),
    "worker without controller": Night("plain", no_pods_of=WORKER),
    "worker without account": Night("plain", tags={"dagster-k8s/config": json.dumps(NOBODY)}),
}


@dataclass(frozen=True)
class Nights:
    """All runs of the module, launched together: waiting for a fault to be noticed costs no time of the machine."""

    dagster: KubernetesDagster
    run_ids: Mapping[str, str]

    def end(self, name: str) -> DagsterRunStatus:
        """How the run has ended."""
        return self.dagster.wait(self.run_ids[name], 240)

    def said(self, name: str, event_type: str) -> str:
        """What the run's events of a type say."""
        words = self.dagster.words(self.run_ids[name])
        return "\n".join(text for text in words if text.startswith(f"{event_type}:"))

    def pods(self, name: str, op: str = "heavy") -> list[Object]:
        """The pods of one of the run's steps."""
        wanted = {"dagster/run-id": self.run_ids[name], "dagster/op": op}
        pods = self.dagster.api.items(PODS, NAMESPACE)
        return [pod for pod in pods if wanted.items() <= pod["metadata"]["labels"].items()]


@pytest.fixture(scope="module")
def nights(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    monitoring = {
        "start_timeout_seconds": START_TIMEOUT_SECONDS,
        "poll_interval_seconds": 2,
        "max_resume_run_attempts": 0,
    }
    database = postgres_server.new_database()
    folder = tmp_path_factory.mktemp("kubernetes")
    with kubernetes_dagster(folder, database, "tests.deploy.two_steps", monitoring=monitoring) as dagster:

        def launch(night: Night) -> str:
            run_id = str(uuid.uuid4())
            labels = {"dagster/run-id": run_id, **night.of}
            if night.fault:
                fault = PodFault(night.fault, labels, 1, night.once_printed, night.after_seconds)
                dagster.api.faults.order(fault)
            if night.no_pods_of is not None:
                dagster.api.faults.leave_without_pods(**labels, **night.no_pods_of)
            config: dict[str, Any] = {"execution": {"config": dict(night.execution)}}
            if night.seconds:
                config["ops"] = {"heavy": {"config": {"seconds": night.seconds}}}
            if night.step:
                config["execution"]["config"]["per_step_k8s_config"] = {"heavy": night.step}
            return dagster.launch(night.job, config, run_id, night.tags)

        yield Nights(dagster, {name: launch(night) for name, night in NIGHTS.items()})
    postgres_server.drop(database)


def test_a_run_and_its_steps_are_pods_that_run_for_real(nights: Nights) -> None:
    assert nights.end("undisturbed") == DagsterRunStatus.SUCCESS
    assert len(nights.pods("undisturbed")) == len(nights.pods("undisturbed", "light")) == 1
    run_id = nights.run_ids["undisturbed"]
    assert (nights.dagster.home / f"{run_id}.trace").read_text() == "began\nended\n"


def test_dagsters_own_executor_hides_that_a_step_ran_out_of_memory(nights: Nights) -> None:
    assert nights.end("out of memory, not watched") == DagsterRunStatus.FAILURE
    said = nights.said("out of memory, not watched", "STEP_FAILURE")
    assert "Discovered failed Kubernetes job" in said
    assert "OOMKilled" not in said


def test_dagsters_own_executor_waits_for_a_pod_that_its_watched_twin_has_given_up(nights: Nights) -> None:
    nights.end("no account")
    run_id = nights.run_ids["no account, not watched"]
    assert nights.dagster.status(run_id) == DagsterRunStatus.STARTED
    assert nights.said("no account, not watched", "STEP_FAILURE") == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out of memory", "took more memory than its node had: it has no limit (OOMKilled)"),
        ("no account", 'error looking up service account night/nobody: serviceaccount "nobody" not found'),
        ("no image", "Image photos:1 of pod"),
        ("no room", "(Unschedulable): 0/1 nodes are available: 1 Insufficient memory."),
        ("no controller", "has no pod, and nobody says why"),
        # refused by Kubernetes, which is no failure of the run's own
        (
            "no role",
            'cannot create resource "jobs" in API group "batch" in the namespace "default" (Forbidden, 403)',
        ),
        ("no volume", 'volumeMounts[0].name: Not found: "absent" (Invalid, 422)'),
    ],
)
def test_a_watched_step_fails_with_the_true_reason(nights: Nights, name: str, words: str) -> None:
    assert nights.end(name) == DagsterRunStatus.FAILURE
    assert words in nights.said(name, "STEP_FAILURE")
    assert words in nights.said(name, "PIPELINE_FAILURE")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("evicted", "was evicted by its node: The node was low on resource: memory."),
        ("node lost", "was given up because its node node-1 was lost or tainted"),
    ],
)
def test_a_step_that_was_disrupted_is_tried_again_and_the_reason_stays(
    nights: Nights, name: str, words: str
) -> None:
    assert nights.end(name) == DagsterRunStatus.SUCCESS
    assert words in nights.said(name, "STEP_UP_FOR_RETRY")
    assert not nights.said(name, "STEP_FAILURE")


@pytest.mark.parametrize("name", ["no image", "no room", "no controller", "no account"])
def test_what_was_given_up_cannot_start_later(nights: Nights, name: str) -> None:
    nights.end(name)
    assert nights.dagster.until(lambda: not nights.pods(name))
    wanted = {"dagster/run-id": nights.run_ids[name], **HEAVY}
    jobs = nights.dagster.api.items(JOBS, NAMESPACE)
    assert not [job for job in jobs if wanted.items() <= job["metadata"]["labels"].items()]
    assert not (nights.dagster.home / f"{nights.run_ids[name]}.trace").exists()


def test_a_step_that_ran_out_of_memory_is_tried_again_where_its_policy_says_so(nights: Nights) -> None:
    assert nights.end("out of memory once") == DagsterRunStatus.SUCCESS
    assert "(OOMKilled)" in nights.said("out of memory once", "STEP_UP_FOR_RETRY")


def test_a_step_that_was_told_to_end_says_by_whom_and_is_tried_again(nights: Nights) -> None:
    assert nights.end("deleted once") == DagsterRunStatus.SUCCESS
    assert "Step stubborn was interrupted: " in nights.said("deleted once", "ENGINE_EVENT")
    assert "deleted" in nights.said("deleted once", "ENGINE_EVENT").partition("was interrupted: ")[2]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("worker out of memory", "took more memory than its node had: it has no limit (OOMKilled)"),
        ("worker's node lost", "was given up because its node node-1 was lost or tainted"),
        ("worker without image", "Image photos:1 of pod"),
        ("worker without a beginning", "not yet"),
        ("worker without account", 'serviceaccount "nobody" not found'),
        ("worker without controller", "has no pod, and nobody says why"),
    ],
)
def test_a_run_whose_own_pod_dies_or_never_comes_fails_with_the_true_reason(
    nights: Nights, name: str, words: str
) -> None:
    assert nights.end(name) == DagsterRunStatus.FAILURE
    said = nights.said(name, "PIPELINE_FAILURE")
    assert words in said
    assert ("taking longer than" in said) == name.startswith("worker without")


@pytest.mark.parametrize("name", ["worker out of memory", "worker's node lost"])
def test_no_step_works_on_when_the_pod_of_its_run_is_dead(nights: Nights, name: str) -> None:
    nights.end(name)
    assert nights.dagster.until(lambda: not nights.pods(name))
    heavy = nights.said(name, "STEP_WORKER_STARTING").rpartition("Kubernetes job ")[2].rstrip(".")
    assert f"Job {heavy} was deleted, as the run's own pod is dead." in nights.said(name, "ENGINE_EVENT")


def test_a_run_outlives_an_api_that_is_away(nights: Nights) -> None:
    """Dagster's own launcher fails it, and its pods work on."""
    for name in NIGHTS:
        if name != "no account, not watched":
            nights.end(name)
    dagster = nights.dagster
    run_id = dagster.launch("cared_for", {"ops": {"heavy": {"config": {"seconds": 15}}}})
    trace = dagster.home / f"{run_id}.trace"
    assert dagster.until(trace.exists)
    dagster.api.go_down()
    assert dagster.until(lambda: f"Run {run_id} is believed alive" in dagster.daemon_log.read_text())
    dagster.api.come_up()
    assert dagster.wait(run_id) == DagsterRunStatus.SUCCESS
    assert trace.read_text() == "began\nended\n"


def test_who_cancels_a_run_ends_its_step_and_nobody_tries_it_again(nights: Nights) -> None:
    dagster = nights.dagster
    run_id = dagster.launch("cared_for", {"ops": {"heavy": {"config": {"seconds": FOR_EVER}}}})
    trace = dagster.home / f"{run_id}.trace"
    assert dagster.until(trace.exists)
    end_from_the_pages(dagster, run_id)
    assert dagster.wait(run_id) == DagsterRunStatus.CANCELED
    assert dagster.until(lambda: not at_work(dagster, run_id)), at_work(dagster, run_id)
    assert trace.read_text() == "began\n"


def test_each_account_has_the_verbs_in_use_and_no_others(nights: Nights) -> None:
    waits_for_ever = "no account, not watched"
    for name in NIGHTS.keys() - {waits_for_ever}:
        nights.end(name)
    end_from_the_pages(nights.dagster, nights.run_ids[waits_for_ever])
    allowed = {
        (f"system:serviceaccount:{NAMESPACE}:{account_of(duty)}", *its)
        for duty, rules in RIGHTS.items()
        for its in granted(rules)
    }
    assert nights.dagster.api.access.used == allowed


def end_from_the_pages(dagster: KubernetesDagster, run_id: str) -> None:
    """End the run as the pages do, under the daemon's account."""
    # Kubernetes's client learns at its import who it is
    pages = "import dagster, sys\nwith dagster.DagsterInstance.get() as its: its.run_launcher.terminate(sys.argv[1])"
    variables = {"DAGSTER_HOME": str(dagster.home), "KUBECONFIG": str(dagster.kubeconfig)}
    subprocess.run(
        [sys.executable, "-c", pages, run_id], env=os.environ | variables, cwd=CHECKOUT, check=True
    )


def at_work(dagster: KubernetesDagster, run_id: str) -> list[Object]:
    """The run's pods that have not ended, its own and its steps'."""
    pods = dagster.api.items(PODS, NAMESPACE)
    its = [pod for pod in pods if pod["metadata"]["labels"].get("dagster/run-id") == run_id]
    return [pod for pod in its if pod["status"]["phase"] in ("Pending", "Running")]
