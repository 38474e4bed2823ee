"""A site deployed on a cluster as the guide says, with pods for daemon and code location; on whose cluster, a `Place` says."""

from __future__ import annotations

import base64
import copy
import json
import os
import secrets
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from photo_popularity.deployment.chart_values import chart_values
from photo_popularity.deployment.manifests import CREDENTIALS
from resources.environment import PREFIX, Environment, read_environment
from resources.identity import namespace_of, secret_of
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.deployed_site import RestrictedSite, restricted_site
from tests.services.cluster import Cluster, Manifest
from tests.services.dagster_chart import RELEASE, VALUES, code_location, daemon, dagster_yaml, merged
from tests.services.kubernetes_api.server import KubernetesApi
from tests.services.ports import HOST, free_port
from tests.services.postgres import Databases, PostgresAt
from tests.services.s3 import NOT_YET, EnforcingServer, S3Server, enforcing

CHECKOUT = Path(__file__).resolve().parents[2]
SETTING = f"{PREFIX}CLUSTER_"
IMAGE, MORE_VALUES = f"{SETTING}IMAGE", f"{SETTING}VALUES"
POSTGRES, S3 = f"{SETTING}POSTGRES", f"{SETTING}S3"
SERVER_IMAGES = {
    f"{SETTING}POSTGRES_IMAGE": "docker.io/library/postgres:17",
    f"{SETTING}S3_IMAGE": "docker.io/motoserver/moto:5.1.0",
}
POSTGRES_PORT, S3_PORT = 5432, 5000
# where pods have the file that the site's image would have
CLASSIFIER = "/etc/photo-popularity/classifier.skops"


@dataclass(frozen=True)
class Place:
    """A cluster, servers that its pods and this process reach, and which environment is deployed there.

    `inside` says by what address pods know a server, where that differs from the one here.
    """

    cluster: Cluster
    postgres: Databases
    chosen: Mapping[str, str]
    s3: EnforcingServer | None = None
    inside: Mapping[str, str] = field(default_factory=dict)
    code_port: int = 4266

    def seen_inside(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The variables as pods have them."""
        seen = dict(variables)
        for here, there in self.inside.items():
            seen = {name: value.replace(here, there) for name, value in seen.items()}
        return seen


@dataclass(frozen=True)
class Night:
    """An environment that works by itself on a cluster, and the command line that looks at it from outside."""

    cluster: Cluster
    environment: Environment
    variables: Mapping[str, str]
    command_line: CommandLine

    @property
    def namespace(self) -> str:
        """Where all its pods are."""
        return namespace_of(self.environment)

    def logs(self) -> str:
        """What those of its pods have printed that have not come to a good end."""
        names = [
            p["metadata"]["name"]
            for p in self.cluster.pods(self.namespace)
            if p["status"]["phase"] != "Succeeded"
        ]
        return "\n".join(f"== {name}\n{self.cluster.log(self.namespace, name)}" for name in names)


def own_place(api: KubernetesApi, postgres: Databases, folder: Path) -> Place:
    """The server of the tests: its pods are processes of this machine, and know their account by a kubeconfig."""
    here = {
        "runLauncher": {"config": {"customRunLauncher": {"config": {"load_incluster_config": False}}}},
        "computeLogManager": {"config": {"s3ComputeLogManager": {"localDir": str(folder / "compute_logs")}}},
    }
    cluster = Cluster(api.kubeconfig, "photo-popularity:test", here)
    return Place(cluster, postgres, {f"{PREFIX}ENV": "production"}, code_port=free_port())


@contextmanager
def given_place(folder: Path) -> Iterator[Place]:
    """The cluster in KUBECONFIG, with a staging environment that no one else has; skips visibly where one is missing."""
    kubeconfig, image = os.environ.get("KUBECONFIG"), os.environ.get(IMAGE)
    if not kubeconfig:
        pytest.skip("KUBECONFIG leads to no cluster")
    if not image:
        pytest.skip(f"{IMAGE} names no image for the cluster in KUBECONFIG to run")
    more = os.environ.get(MORE_VALUES)
    cluster = Cluster(Path(kubeconfig), image, yaml.safe_load(Path(more).read_text()) if more else {})
    chosen = {f"{PREFIX}ENV": "staging", f"{PREFIX}USER": f"test-{secrets.token_hex(3)}"}
    if {POSTGRES, S3} & os.environ.keys():
        postgres, s3 = PostgresAt(os.environ[POSTGRES]), S3Server(os.environ[S3])
        yield Place(cluster, postgres, chosen, enforcing(s3))
        return
    with servers_on(cluster, folder) as (postgres, s3, inside):
        yield Place(cluster, postgres, chosen, enforcing(s3), inside)


@contextmanager
def servers_on(cluster: Cluster, folder: Path) -> Iterator[tuple[PostgresAt, S3Server, Mapping[str, str]]]:
    """PostgreSQL and S3 as pods of a namespace of their own, reached from here by `kubectl port-forward`."""
    images = [os.environ.get(name, usual) for name, usual in SERVER_IMAGES.items()]
    namespace, password = f"photo-popularity-servers-{secrets.token_hex(3)}", secrets.token_hex(8)
    room: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    postgres: Manifest = {
        "args": ["-c", "max_connections=200"],
        "env": variables_of({"POSTGRES_USER": "photos", "POSTGRES_PASSWORD": password}),
        "readinessProbe": {"exec": {"command": ["pg_isready", "--host", HOST, "--username", "photos"]}},
    }
    s3: Manifest = {
        "command": ["moto_server", "--host", "0.0.0.0", "--port", str(S3_PORT)],
        "env": variables_of(NOT_YET),
        "readinessProbe": {"tcpSocket": {"port": S3_PORT}},
    }
    servers = (("postgres", POSTGRES_PORT, postgres), ("s3", S3_PORT, s3))
    cluster.apply([room])
    try:
        with ExitStack() as stack:
            inside = {}
            for (name, port, container), image in zip(servers, images, strict=True):
                metadata = {"name": name, "namespace": namespace}
                spec = {"containers": [{"name": name, "image": image, **container}]}
                pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
                address = cluster.start(pod)
                log = folder / f"{name}-forward.log"
                here = stack.enter_context(cluster.forwarded(namespace, name, port, log))
                inside[f"{HOST}:{here}"] = f"{address}:{port}"
            at_postgres, at_s3 = inside
            yield (
                PostgresAt(f"postgresql://photos:{password}@{at_postgres}/postgres"),
                S3Server(f"http://{at_s3}"),
                inside,
            )
    finally:
        cluster.remove([room])


@contextmanager
def night_on(place: Place, site: Path, folder: Path, embedded: CommandLine) -> Iterator[Night]:
    """The site deployed there as `docs/guides/kubernetes.md` says; nothing is left of it at the end."""
    chosen = {**place.chosen, f"{PREFIX}CLASSIFIER": CLASSIFIER}
    with restricted_site(
        site, folder, embedded, postgres=place.postgres, given=place.s3, **chosen
    ) as restricted:
        environment = read_environment(restricted.everybodys)
        command_line = CommandLine(folder / "home")
        variables = place.seen_inside({**restricted.everybodys, f"{PREFIX}CREDENTIALS": CREDENTIALS})
        made = printed_manifests(variables)
        classifier = Path(tomllib.loads((embedded.home / "settings.toml").read_text())["classifier"])
        try:
            place.cluster.apply(made)
            deploy(place, environment, variables, restricted, classifier)
            yield Night(place.cluster, environment, restricted.variables, command_line)
        finally:
            place.cluster.remove(made)


def printed_manifests(variables: Mapping[str, str]) -> list[Manifest]:
    """What the command prints."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    command = [sys.executable, "-m", "photo_popularity.deployment", "manifests"]
    done = subprocess.run(
        command, env=inherited | dict(variables), cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def deploy(
    place: Place,
    environment: Environment,
    variables: Mapping[str, str],
    restricted: RestrictedSite,
    classifier: Path,
) -> None:
    """Secrets, and what the chart makes."""
    namespace = namespace_of(environment)
    values = values_here(place, variables)
    database = sa.make_url(variables["DAGSTER_POSTGRES_URL"])
    given = {secret_of(task): place.seen_inside(its) for task, its in restricted.by_task.items()}
    given[values["global"]["postgresqlSecretName"]] = {"postgresql-password": str(database.password)}
    place.cluster.apply(
        kept("Secret", namespace, name, data={key: coded(value.encode()) for key, value in its.items()})
        for name, its in given.items()
    )
    instance = yaml.safe_dump(dagster_yaml(values))
    held = coded(classifier.read_bytes())
    place.cluster.apply(
        [
            kept("ConfigMap", namespace, f"{RELEASE}-instance", data={"dagster.yaml": instance}),
            kept("ConfigMap", namespace, "classifier", binaryData={Path(CLASSIFIER).name: held}),
        ]
    )
    address = place.cluster.start(code_location(values, namespace))
    server = {"grpc_server": {"host": address, "port": place.code_port, "location_name": "photo-popularity"}}
    workspace = json.dumps({"load_from": [server]})
    name = f"{RELEASE}-workspace-yaml"
    place.cluster.apply([kept("ConfigMap", namespace, name, data={"workspace.yaml": workspace})])
    place.cluster.start(daemon(values, namespace, starts_by_itself=environment.works_by_itself))


def values_here(place: Place, variables: Mapping[str, str]) -> dict[str, Any]:
    """The values of `deploy/kubernetes`, with what is this environment's own and what is this place's."""
    own = chart_values(read_environment(variables))
    database = sa.make_url(variables["DAGSTER_POSTGRES_URL"])
    repository, _, tag = place.cluster.image.rpartition(":")
    image = {"image": {"repository": repository, "tag": tag}}
    here = {
        "dagsterDaemon": image,
        "postgresql": {"postgresqlUsername": database.username, "postgresqlDatabase": database.database},
    }
    # the anchors of YAML are one object to Python
    values: dict[str, Any] = copy.deepcopy(merged(merged(merged(VALUES, own), here), place.cluster.values))
    users, launcher = values["dagster-user-deployments"], values["runLauncher"]["config"]["customRunLauncher"]
    [its] = users["deployments"]
    classifier, folder = {"name": "classifier"}, str(Path(CLASSIFIER).parent)
    users["deployments"] = [
        merged(its, image)
        | {
            "port": place.code_port,
            "volumes": [*its["volumes"], {**classifier, "configMap": classifier}],
            "volumeMounts": [*its["volumeMounts"], {**classifier, "mountPath": folder}],
        }
    ]
    launcher["config"]["volumes"].append({**classifier, "config_map": classifier})
    launcher["config"]["volume_mounts"].append({**classifier, "mount_path": folder})
    return values


def variables_of(values: Mapping[str, str]) -> list[Manifest]:
    """A container's variables."""
    return [{"name": name, "value": value} for name, value in values.items()]


def kept(kind: str, namespace: str, name: str, **content: Any) -> Manifest:
    """A Secret or a ConfigMap."""
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, **content}


def coded(content: bytes) -> str:
    """As Kubernetes takes bytes."""
    return base64.b64encode(content).decode()
