"""What Dagster's chart lacks, as Kubernetes takes it: accounts, rights, the policy that binds accounts to tasks, limits.

One namespace holds one environment. Whoever may create a job could name any account in it, so the cluster itself is told
which account belongs to which step, who may start what, and whose secrets a pod may have.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from urllib.parse import urlsplit

from photo_popularity.deployment.admission import COMPONENT, RUN, admission_policies
from photo_popularity.deployment.objects import Manifest, kubernetes_object
from photo_popularity.deployment.tasks import Task
from resources.environment import PREFIX, Environment
from resources.identity import LAUNCHES, STARTS, account_of, namespace_of
from resources.pipeline import Pipeline
from resources.settings import Settings

# where the pods of runs have the credentials of the tasks; see values.yaml
CREDENTIALS = "/var/run/photo-popularity"
# By itself OpenBLAS takes what the node's CPU can do best, and the last digits of a score with it. Every CPU with AVX2 has
# this, so that a content version is the same on all nodes.
SAME_ARITHMETIC = {"OPENBLAS_CORETYPE": "Haswell"}
# how long a look may take, as on one machine: the first one reads every file
LONGEST_LOOK = {"DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": "600"}
SECRET_SETTINGS = {"catalog", "database", "visitor_salt", "failure_webhook"}
LOOK_AT_JOBS: list[Manifest] = [
    {"apiGroups": ["batch"], "resources": ["jobs/status"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
]
RIGHTS: dict[str, list[Manifest]] = {
    STARTS: [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "delete", "list"]},
        *LOOK_AT_JOBS,
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete", "list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    ],
    LAUNCHES: [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "delete"]},
        *LOOK_AT_JOBS,
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    ],
}
"""What launcher and executor ask of Kubernetes, by the duty."""
# how the chart labels its own pods
SERVERS, CODE = ("dagster-daemon", "dagster-webserver"), "user-deployments"
CODE_PORT, POSTGRES_PORT, S3_PORT = 4266, 5432, 443
# of an S3 whose address names no port
HTTP_PORT = 80
# the address that a service shows is not the one that a policy sees
API_PORTS = (443, 6443)


def manifests(
    environment: Environment, tasks: Sequence[Task], pipeline: Pipeline, *, pull_secret: str | None = None
) -> list[Manifest]:
    """All manifests of an environment, in the order in which they are applied.

    Pods pull images with the namespace's secret `pull_secret`, which is none of those that are made for tasks.
    """
    accounts = [
        *(_account(environment, task.name) for task in tasks),
        *(_account(environment, duty, uses_the_api=True) for duty in (LAUNCHES, STARTS)),
    ]
    if pull_secret:
        accounts = [account | {"imagePullSecrets": [{"name": pull_secret}]} for account in accounts]
    return [
        _namespace(environment),
        *accounts,
        *_rights(environment),
        _settings(environment),
        *admission_policies(environment, tasks, pipeline),
        *_network(environment),
        *_limits(environment),
    ]


def _namespace(environment: Environment) -> Manifest:
    namespace = kubernetes_object(environment, "Namespace", namespace_of(environment), namespaced=False)
    for mode in ("enforce", "audit", "warn"):
        namespace["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}"] = "restricted"
    return namespace


def _account(environment: Environment, task: str, *, uses_the_api: bool = False) -> Manifest:
    return kubernetes_object(
        environment, "ServiceAccount", account_of(task), automountServiceAccountToken=uses_the_api
    )


def _settings(environment: Environment) -> Manifest:
    """What is set for all tasks; secrets are given to each by itself."""
    settings, defaults = environment.settings, Settings(credentials=CREDENTIALS)
    chosen = {item.name: getattr(settings, item.name) for item in fields(settings)} | {
        "credentials": CREDENTIALS
    }
    values = {
        f"{PREFIX}{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in chosen.items()
        if name not in SECRET_SETTINGS and (value != getattr(defaults, name) or name == "credentials")
    }
    its = {f"{PREFIX}ENV": environment.name, f"{PREFIX}USER": environment.user, **values}
    # where the launcher starts pods
    its["DAGSTER_K8S_PIPELINE_RUN_NAMESPACE"] = namespace_of(environment)
    return kubernetes_object(environment, "ConfigMap", "settings", data=its | SAME_ARITHMETIC | LONGEST_LOOK)


def _rights(environment: Environment) -> Iterator[Manifest]:
    """Who starts runs and who launches steps may do with jobs what they do, and no more."""
    rbac = "rbac.authorization.k8s.io"
    for duty, rules in RIGHTS.items():
        name = account_of(duty)
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace_of(environment)}
        role = {"apiGroup": rbac, "kind": "Role", "name": name}
        yield kubernetes_object(environment, "Role", name, api=f"{rbac}/v1", rules=rules)
        yield kubernetes_object(
            environment, "RoleBinding", name, api=f"{rbac}/v1", roleRef=role, subjects=[subject]
        )


def _network(environment: Environment) -> Iterator[Manifest]:
    """Nothing reaches a pod but Dagster's servers the code location; every pod reaches DNS and what settings name."""
    dns = [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    to_all = {"ports": [*dns, *_tcp(_ports(environment))]}
    yield _network_policy(environment, "every-pod", {}, ingress=[], egress=[to_all])
    servers = {"matchExpressions": [{"key": "component", "operator": "In", "values": list(SERVERS)}]}
    runs = {"matchLabels": {COMPONENT: RUN}}
    code = {"matchLabels": {"component": CODE}}
    for name, who in (("servers-to-the-api", servers), ("runs-to-the-api", runs)):
        yield _network_policy(environment, name, who, egress=[{"ports": _tcp(API_PORTS)}])
    to_code, from_servers = {"to": [{"podSelector": code}]}, {"from": [{"podSelector": servers}]}
    yield _network_policy(
        environment, "servers-to-code", servers, egress=[to_code | {"ports": _tcp([CODE_PORT])}]
    )
    yield _network_policy(
        environment, "code-from-servers", code, ingress=[from_servers | {"ports": _tcp([CODE_PORT])}]
    )


def _network_policy(
    environment: Environment, name: str, pods: Manifest, **directions: list[Manifest]
) -> Manifest:
    types = [direction.capitalize() for direction in directions]
    spec = {"podSelector": pods, "policyTypes": types, **directions}
    return kubernetes_object(environment, "NetworkPolicy", name, api="networking.k8s.io/v1", spec=spec)


def _ports(environment: Environment) -> list[int]:
    """Where the databases and S3 listen, and who is told of failures."""
    its = environment.settings
    addresses = map(urlsplit, (its.catalog, its.database, its.s3_endpoint, its.failure_webhook))
    given = {at.port or (HTTP_PORT if at.scheme == "http" else None) for at in addresses}
    return sorted({POSTGRES_PORT, S3_PORT, *filter(None, given)})


def _tcp(ports: Iterable[int]) -> list[Manifest]:
    return [{"port": port, "protocol": "TCP"} for port in ports]


def _limits(environment: Environment) -> Iterator[Manifest]:
    hard = {
        "requests.cpu": "16",
        "requests.memory": "64Gi",
        "limits.memory": "96Gi",
        "pods": "40",
        # also those that are over, until the time in values.yaml has passed
        "count/jobs.batch": "2000",
    }
    yield kubernetes_object(environment, "ResourceQuota", "all-together", spec={"hard": hard})
    default = {"cpu": "250m", "memory": "512Mi"}
    limits = [{"type": "Container", "default": {"memory": "1Gi"}, "defaultRequest": default}]
    yield kubernetes_object(environment, "LimitRange", "one-by-one", spec={"limits": limits})
