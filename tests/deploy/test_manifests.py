"""Manifests are what Kubernetes takes, agree with the pipeline, and the cluster refuses what they do not allow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from photo_popularity.definitions import PIPELINE, build_defs
from photo_popularity.deployment.admission import accounts_of_ops
from photo_popularity.deployment.manifests import manifests
from photo_popularity.deployment.objects import Manifest
from photo_popularity.deployment.tasks import tasks
from resources.environment import Environment
from resources.identity import account_of, namespace_of, secret_of
from resources.pipeline import STEP_TAG
from resources.pods import POD_TAG
from resources.settings import Settings
from tests.services.dagster_chart import VALUES, WEBSERVER_LABELS, code_location, daemon
from tests.services.kubernetes_api.policies import selects

VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")
PRODUCTION = Environment("production", "ops", Path("/home"))
STAGING = Environment("staging", "ann", Path("/home"))


def all_of(environment: Environment) -> list[Manifest]:
    return manifests(environment, tasks(), PIPELINE)


def tags_of_ops() -> dict[str, Mapping[str, Any]]:
    """The tags of each op as Dagster has them."""
    job = build_defs(PRODUCTION).resolve_implicit_global_asset_job_def()
    return {node.name: node.definition.tags for node in job.graph.nodes}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("environment", [PRODUCTION, STAGING], ids=lambda place: place.name)
def test_every_manifest_is_valid_under_every_supported_release(
    version: str, environment: Environment
) -> None:
    for manifest in all_of(environment):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_dagster_tags_and_the_clusters_policy_name_the_same_accounts() -> None:
    tags = tags_of_ops()
    assert accounts_of_ops(PIPELINE) == {op: account_of(its[STEP_TAG]) for op, its in tags.items()}
    in_pods = {op: json.loads(its[POD_TAG]) for op, its in tags.items() if POD_TAG in its}
    assert set(in_pods) == {
        "photo_content",
        "cat_dog_scores",
        "log_signals",
        "popularity_model",
        "model_evaluation",
    }
    for op, config in in_pods.items():
        assert config["pod_spec_config"]["service_account_name"] == accounts_of_ops(PIPELINE)[op]
        [given] = config["container_config"]["env_from"]
        assert given["secret_ref"]["name"] == secret_of(op)


def test_there_is_an_account_for_each_task_and_for_each_duty() -> None:
    accounts = {m["metadata"]["name"] for m in all_of(PRODUCTION) if m["kind"] == "ServiceAccount"}
    assert accounts == {*(account_of(task.name) for task in tasks()), "run-worker", "daemon"}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_account_pulls_images_with_the_secret_that_is_named(version: str) -> None:
    made = manifests(PRODUCTION, tasks(), PIPELINE, pull_secret="registry")
    accounts = [one for one in made if one["kind"] == "ServiceAccount"]
    assert len(accounts) == len(tasks()) + 2
    for account in accounts:
        kubernetes_validate.validate(account, version, strict=True)
        assert account["imagePullSecrets"] == [{"name": "registry"}]
    assert "imagePullSecrets" not in str(all_of(PRODUCTION))


def test_environments_share_no_object() -> None:
    def names(environment: Environment) -> set[tuple[str, ...]]:
        metadata = [(m["kind"], m["metadata"]) for m in all_of(environment)]
        return {(kind, its.get("namespace", ""), its["name"]) for kind, its in metadata}

    assert not names(PRODUCTION) & names(STAGING)
    assert not names(STAGING) & names(Environment("staging", "ben", Path("/home")))


def network_policies(environment: Environment = PRODUCTION) -> dict[str, Any]:
    """What each network policy says."""
    made = (m for m in all_of(environment) if m["kind"] == "NetworkPolicy")
    return {policy["metadata"]["name"]: policy["spec"] for policy in made}


def labels_of_pods() -> dict[str, Mapping[str, str]]:
    """How the chart labels the pods of servers, and dagster-k8s those of runs and steps."""
    jobs = pytest.importorskip("dagster_k8s.job")
    namespace = namespace_of(PRODUCTION)
    servers = [daemon(VALUES, namespace, starts_by_itself=True), code_location(VALUES, namespace)]
    config = jobs.DagsterK8sJobConfig(job_image="photos:1", dagster_home="/home")
    made = {
        component: jobs.construct_dagster_k8s_job(config, [], component, component=component)
        for component in ("run_worker", "step_worker")
    }
    return {
        "dagster-webserver": WEBSERVER_LABELS,
        **{pod["metadata"]["name"]: pod["metadata"]["labels"] for pod in servers},
        **{component: job.spec.template.metadata.labels for component, job in made.items()},
    }


def test_network_policies_concern_the_pods_that_they_are_meant_for() -> None:
    pods, policies = labels_of_pods(), network_policies()

    def meant(selector: Manifest) -> set[str]:
        return {name for name, labels in pods.items() if selects(selector, labels)}

    servers, code = {"dagster-webserver", "dagster-daemon"}, {"dagster-photo-popularity"}
    assert {name: meant(spec["podSelector"]) for name, spec in policies.items()} == {
        "every-pod": {*servers, *code, "run_worker", "step_worker"},
        "servers-to-the-api": servers,
        "runs-to-the-api": {"run_worker"},
        "servers-to-code": servers,
        "code-from-servers": code,
    }
    [to] = policies["servers-to-code"]["egress"][0]["to"]
    [by] = policies["code-from-servers"]["ingress"][0]["from"]
    assert (meant(to["podSelector"]), meant(by["podSelector"])) == (code, servers)


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        (Settings(), set()),
        (Settings(s3_endpoint="https://s3.example.com"), set()),
        (Settings(s3_endpoint="http://s3.example.com"), {80}),
        (Settings(s3_endpoint="http://s3.example.com:9000"), {9000}),
        (Settings(catalog="postgresql://owner:secret@database.example.com/photos"), set()),
        (Settings(catalog="postgresql://owner:secret@database.example.com:6432/photos"), {6432}),
        (Settings(failure_webhook="https://chat.example.com:8443/hooks/secret"), {8443}),
    ],
)
def test_every_pod_reaches_what_settings_name_where_it_listens(settings: Settings, more: set[int]) -> None:
    place = Environment("production", "ops", Path("/home"), settings)
    [egress] = network_policies(place)["every-pod"]["egress"]
    assert {each["port"] for each in egress["ports"]} == {53, 443, 5432} | more


def test_only_those_who_work_with_jobs_can_reach_the_api() -> None:
    with_token = {
        m["metadata"]["name"]
        for m in all_of(PRODUCTION)
        if m["kind"] == "ServiceAccount" and m["automountServiceAccountToken"]
    }
    assert with_token == {"run-worker", "daemon"}
    bindings = [m for m in all_of(PRODUCTION) if m["kind"] == "RoleBinding"]
    assert {subject["name"] for binding in bindings for subject in binding["subjects"]} == with_token
