"""The night on Kubernetes: pods for runs and heavy steps, under the accounts, rights and policies that the manifests give.

On the server of the tests, where some of the pods are lost, and, with the marker `cluster`, on the cluster that KUBECONFIG leads to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from photo_popularity.deployment.admission import COMPONENT, RUN
from photo_popularity.deployment.manifests import SAME_ARITHMETIC
from photo_popularity.jobs import NIGHTLY_JOB
from resources.identity import LAUNCHES, STARTS, account_of
from resources.outputs import read_outputs
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.deployed_site import embedded_run, versions, wait_for_versions
from tests.end_to_end.kubernetes_site import CHECKOUT, Night, given_place, night_on, own_place
from tests.services.kubernetes_api.access import granted
from tests.services.kubernetes_api.faults import PodFault
from tests.services.kubernetes_api.objects import ROLES
from tests.services.kubernetes_api.server import KubernetesApi, kubernetes_api

pytest.importorskip("dagster_k8s")
pytest.importorskip("celpy")
pytestmark = [pytest.mark.end_to_end, pytest.mark.postgres, pytest.mark.s3]

SECONDS_FOR_A_NIGHT = 900
HEAVY = {"photo_content", "cat_dog_scores", "log_signals", "popularity_model", "model_evaluation"}
# what happens to the first pod of a step, or of a run in the midst of its work, and what the history is to say of it
LOST = {
    "was evicted by its node": PodFault("Evicted", {"dagster/op": "photo_content"}, after_seconds=2),
    "was lost or tainted": PodFault("NodeLost", {"dagster/op": "log_signals"}, after_seconds=2),
    "OOMKilled": PodFault("OOMKilled", {COMPONENT: RUN, "dagster/job": NIGHTLY_JOB}, after_seconds=10),
}
SERVERS = {"dagster-daemon": {"daemon"}, "user-deployments": {"code-location"}}


@pytest.fixture(scope="module")
def embedded(small_site: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The same site after an embedded run."""
    return embedded_run(small_site, tmp_path_factory.mktemp("embedded") / "home", **SAME_ARITHMETIC)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    """The server of the tests; its pods find what the image sets, and nothing else."""
    home = tmp_path_factory.mktemp("pods")
    with kubernetes_api({"PYTHONPATH": str(CHECKOUT), "PHOTO_POPULARITY_HOME": str(home)}) as api:
        yield api


@pytest.fixture(scope="module", params=["the tests'", pytest.param("a given", marks=pytest.mark.cluster)])
def night(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """An environment on a cluster, which like its servers refuses each task whatever it has no right to."""
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        if request.param == "a given":
            place = stack.enter_context(given_place(folder))
        else:
            postgres = request.getfixturevalue("postgres_server")
            api: KubernetesApi = request.getfixturevalue("api")
            for fault in LOST.values():
                api.faults.order(fault)
            place = own_place(api, postgres, folder)
        # only now, as the embedded run takes its time
        embedded, site = (request.getfixturevalue(name) for name in ("embedded", "small_site"))
        yield stack.enter_context(night_on(place, site, folder, embedded))


def test_the_night_is_done_by_pods_that_have_the_rights_of_their_tasks_alone(
    night: Night, embedded: CommandLine
) -> None:
    wanted = versions(embedded, {})
    try:
        wait_for_versions(wanted, night.command_line, night.variables, seconds=SECONDS_FOR_A_NIGHT)
    except AssertionError as error:
        error.add_note(night.logs())
        raise
    pods = night.cluster.pods(night.namespace)
    accounts: dict[str, set[str]] = {}
    for pod in pods:
        labels = pod["metadata"]["labels"]
        what = labels.get("dagster/op") or labels.get(COMPONENT) or labels["component"]
        accounts.setdefault(what, set()).add(pod["spec"]["serviceAccountName"])
    steps = {step: {account_of(step)} for step in HEAVY}
    assert accounts == {"run_worker": {"run-worker"}, **SERVERS, **steps}
    # nothing of the run worker's secrets is in the pod of a step
    for pod in pods:
        if step := pod["metadata"]["labels"].get("dagster/op"):
            assert not [volume for volume in pod["spec"].get("volumes", ()) if "secret" in volume], step
    history = night.command_line.history(**night.variables)
    launched_by = {row["launched_by"] for row in history}
    assert launched_by
    assert all(name.startswith(("sensor ", "schedule ")) for name in launched_by), launched_by
    # nothing was made twice, whatever became of the pods that made it
    made = Counter(
        (one.asset, one.partition, *sorted(one.inputs.items()))
        for one in read_outputs(night.environment).catalog.executions()
        if one.status == "succeeded"
    )
    assert [what for what, times in made.items() if times > 1] == []


@pytest.mark.parametrize("night", ["the tests'"], indirect=True)
def test_the_history_says_what_became_of_the_pods_that_were_lost(night: Night) -> None:
    engine = sa.create_engine(night.variables["DAGSTER_POSTGRES_URL"])
    with engine.connect() as connection:
        for words in LOST:
            said = sa.text("SELECT count(*) FROM event_logs WHERE strpos(event, :words) > 0")
            assert connection.scalar(said, {"words": words}), words
    engine.dispose()


@pytest.mark.parametrize("night", ["the tests'"], indirect=True)
def test_nobody_asks_for_more_than_the_manifests_allow(night: Night, api: KubernetesApi) -> None:
    allowed = {
        (role["metadata"]["name"], *its)
        for role in api.items(ROLES, night.namespace)
        for its in granted(role["rules"])
    }
    used = {
        (user.rpartition(":")[2], verb, resource)
        for user, verb, resource in api.access.used
        if "serviceaccount" in user
    }
    assert used <= allowed
    for account in (account_of(STARTS), account_of(LAUNCHES)):
        assert {(account, "create", "jobs.batch"), (account, "get", "jobs/status.batch")} <= used
