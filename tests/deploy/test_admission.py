"""The cluster refuses what a task may not be: each account against each step, each secret, each who starts it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from photo_popularity.definitions import PIPELINE
from photo_popularity.deployment.admission import DAGSTER_SECRET, DOES, RUN, STEP, accounts_of_ops
from photo_popularity.deployment.manifests import manifests
from photo_popularity.deployment.tasks import tasks
from resources.environment import Environment
from resources.identity import LAUNCHES, LOOKS, STARTS, account_of, namespace_of, secret_of
from tests.services.cluster import Cluster
from tests.services.dagster_chart import VALUES, code_location, daemon, merged
from tests.services.kubernetes_api.server import KubernetesApi, kubernetes_api

kubernetes = pytest.importorskip("kubernetes")
pytest.importorskip("celpy")

PRODUCTION, STAGING = (Environment(name, "ann", Path("/home")) for name in ("production", "staging"))
STEPS = [account_of(step.name) for step in PIPELINE.steps]
DUTIES = [account_of(duty) for duty in (LOOKS, LAUNCHES, STARTS)]
# by account, as what a pod of it is started, and by whom: the servers' by whoever installs
PODS = {
    **{
        account_of(step.name): (STEP, {"by": account_of(LAUNCHES), "op": step.name})
        for step in PIPELINE.steps
    },
    account_of(LAUNCHES): (RUN, {"by": account_of(STARTS)}),
    **{account_of(duty): ("server", {"by": ""}) for duty in (STARTS, LOOKS)},
}
OF_TASKS = {secret_of(task.name) for task in tasks()}
NUMBERS = itertools.count()
SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
Start = Callable[..., str]


@pytest.fixture(scope="module")
def api() -> Iterator[KubernetesApi]:
    """A cluster with production and a staging environment."""
    with kubernetes_api() as api:
        for environment in (PRODUCTION, STAGING):
            api.apply(manifests(environment, tasks(), PIPELINE))
        # what a job does is of no interest here
        api.faults.leave_without_pods()
        yield api


@pytest.fixture(scope="module")
def start(api: KubernetesApi) -> Start:
    """Start a job as somebody; what the cluster says, or nothing when it takes it."""

    @cache
    def client_of(by: str, its: Environment, there: Environment) -> Any:
        token = api.access.token(namespace_of(its), by)
        kubeconfig = api.kubeconfig_of(token, namespace_of(there), by) if by else api.kubeconfig
        return kubernetes.client.BatchV1Api(kubernetes.config.new_client_from_config(str(kubeconfig)))

    def start(
        *,
        by: str,
        account: str,
        op: str = "",
        component: str = "",
        environment: Environment = PRODUCTION,
        by_environment: Environment | None = None,
        **pod: Any,
    ) -> str:
        component = component or ("step_worker" if op else "run_worker")
        labels = {"app.kubernetes.io/component": component} | ({"dagster/op": op} if op else {})
        resources = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
        container = {
            "name": "dagster",
            "image": "photo-popularity:1",
            "args": args_of(component),
            "resources": resources,
            "securityContext": SECURITY,
            **pod.pop("container", {}),
        }
        spec = {"restartPolicy": "Never", "serviceAccountName": account, "containers": [container], **pod}
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": f"job-{next(NUMBERS)}"},
            "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": spec}},
        }
        try:
            client_of(by, by_environment or environment, environment).create_namespaced_job(
                namespace_of(environment), job
            )
        except kubernetes.client.ApiException as error:
            return f"{error.status}: {error.body}"
        return ""

    return start


def args_of(component: str) -> list[str]:
    """What dagster-k8s has the image do in such a pod; a step finds in its variables what it is to do."""
    words = ["dagster", "api", DOES.get(component, "")]
    return words if component == STEP else [*words, "{}"]


@pytest.mark.parametrize("op", sorted(accounts_of_ops(PIPELINE)))
def test_a_step_works_under_its_own_account_and_no_other(op: str, start: Start) -> None:
    own = accounts_of_ops(PIPELINE)[op]
    taken = {
        account
        for account in [*STEPS, *DUTIES, "default"]
        if not start(by="run-worker", account=account, op=op)
    }
    assert taken == {own}


def test_an_account_that_is_none_of_the_pipelines_is_told(start: Start) -> None:
    said = start(by="run-worker", account="somebody", op="photo_content")
    assert said.startswith("403")
    assert "the account somebody is none of this pipeline" in said


def test_a_run_has_an_account_of_its_own_and_no_step_has_it(start: Start) -> None:
    taken = {account for account in [*STEPS, *DUTIES, "default"] if not start(by="daemon", account=account)}
    assert taken == {"run-worker"}


def test_steps_are_started_by_runs_and_runs_by_the_daemon(start: Start) -> None:
    for by in [*STEPS, *DUTIES]:
        step = start(by=by, account="photo-content", op="photo_content")
        run = start(by=by, account="run-worker")
        assert (by, not step, not run) == (by, by == "run-worker", by == "daemon")


def test_one_environment_starts_nothing_in_another(start: Start) -> None:
    for one, other in ((PRODUCTION, STAGING), (STAGING, PRODUCTION)):
        said = start(by="daemon", by_environment=one, account="run-worker", environment=other)
        assert said.startswith("403")
        assert not start(by="daemon", account="run-worker", environment=other)


def given(secret: str, how: str, component: str) -> dict[str, Any]:
    """A pod that is given a secret in one of the ways in which that can be done."""
    args = args_of(component)
    variable = {"name": "X", "valueFrom": {"secretKeyRef": {"name": secret, "key": "x"}}}
    ways: dict[str, dict[str, Any]] = {
        "variable": {"container": {"env": [variable]}},
        "variables": {"container": {"envFrom": [{"secretRef": {"name": secret}}]}},
        "volume": {"volumes": [{"name": "x", "secret": {"secretName": secret}}]},
        "projected": {"volumes": [{"name": "x", "projected": {"sources": [{"secret": {"name": secret}}]}}]},
        "init container": {
            "initContainers": [
                {
                    "name": "before",
                    "image": "photo-popularity:1",
                    "args": args,
                    "envFrom": [{"secretRef": {"name": secret}}],
                    "securityContext": SECURITY,
                    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
                }
            ]
        },
    }
    return ways[how]


@pytest.mark.parametrize(
    ("how", "account"),
    [
        *(("variables", account) for account in PODS),
        *itertools.product(
            ["variable", "volume", "projected", "init container"], ["photo-content", "run-worker"]
        ),
    ],
)
def test_a_pod_has_the_secrets_of_its_own_account_alone(how: str, account: str, start: Start) -> None:
    component, started = PODS[account]
    taken = {
        secret
        for secret in [*OF_TASKS, secret_of(STARTS), DAGSTER_SECRET, "another"]
        if not start(account=account, component=component, **started, **given(secret, how, component))
    }
    # a run gives each small step its own; of the code location it has nothing
    own = OF_TASKS - {secret_of(LOOKS)} if account == account_of(LAUNCHES) else {f"{account}-credentials"}
    assert taken == own | {DAGSTER_SECRET}


@pytest.mark.parametrize(
    "container",
    [
        {"command": ["sh"]},
        {"args": ["sh", "-c", "cat /var/run/photo-popularity/*/*", "more"]},
        {"args": ["dagster", "api", "grpc", "--host"]},
        {"args": ["dagster"]},
        {"args": None},
    ],
    ids=str,
)
def test_nobody_chooses_what_a_run_or_a_step_does(container: dict[str, Any], start: Start) -> None:
    """Whoever may write into Dagster's database says by which words a run is started."""
    said = start(by="daemon", account="run-worker", container=container)
    assert "do what Dagster has them do" in said
    step = start(by="run-worker", account="photo-content", op="photo_content", container=container)
    assert "do what Dagster has them do" in step


def test_what_is_neither_a_step_nor_a_run_is_started_by_whoever_installs(start: Start) -> None:
    """As the chart starts its migration of Dagster's database: under the daemon's account, with a command of its own."""
    migration: dict[str, Any] = {
        "component": "migration",
        "container": {
            "command": ["dagster"],
            "envFrom": [{"secretRef": {"name": secret_of(STARTS)}}],
            "env": [
                {
                    "name": "DAGSTER_PG_PASSWORD",
                    "valueFrom": {"secretKeyRef": {"name": DAGSTER_SECRET, "key": "postgresql-password"}},
                }
            ],
        },
    }
    assert not start(by="", account="daemon", **migration)
    for by in [*STEPS, *DUTIES]:
        assert start(by=by, account="daemon", **migration).startswith("403"), by
    for account in [*STEPS, "run-worker", "default"]:
        assert start(by="", account=account, component="migration").startswith("403"), account


def test_the_charts_daemon_and_code_location_are_let_in(api: KubernetesApi) -> None:
    cluster, namespace = Cluster(api.kubeconfig, "photo-popularity:1"), namespace_of(PRODUCTION)
    cluster.apply([code_location(VALUES, namespace), daemon(VALUES, namespace, starts_by_itself=True)])
    # with what the chart gives the code location when nobody says otherwise
    pod = code_location(merged(VALUES, {"global": {"celeryConfigSecretName": "of-celery"}}), namespace)
    pod["metadata"]["name"] = "another"
    with pytest.raises(kubernetes.client.ApiException) as error:
        cluster.apply([pod])
    assert "a variable is of a secret that is not of code-location" in json.loads(error.value.body)["message"]
