"""What Dagster's chart lacks, as Kubernetes takes it: accounts, rights, the policy that binds accounts to tasks, limits.

One namespace holds one environment. Whoever may create a job could name any account in it, so the cluster itself is told
which account belongs to which step, who may start what, and whose secrets a pod may have.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any

from photo_popularity.checks import RULES
from photo_popularity.deployment.tasks import Task
from resources.environment import PREFIX, Environment
from resources.identity import LAUNCHES, LOOKS, STARTS, account_of, namespace_of, secret_of
from resources.pipeline import Pipeline
from resources.settings import Settings

Manifest = dict[str, Any]

PART_OF = "photo-popularity"
# where the pods of runs have the credentials of the tasks; see values.yaml
CREDENTIALS = "/var/run/photo-popularity"
# By itself OpenBLAS takes what the node's CPU can do best, and the last digits of a score with it. Every CPU with AVX2 has
# this, so that a content version is the same on all nodes.
SAME_ARITHMETIC = {"OPENBLAS_CORETYPE": "Haswell"}
SECRET_SETTINGS = {"catalog", "database", "visitor_salt", "failure_webhook"}
# what Dagster's storage takes; it is one for all, as every step writes its own events
SHARED_SECRETS = ("dagster-postgresql-secret",)
STEP, RUN = "step_worker", "run_worker"
COMPONENT = "app.kubernetes.io/component"
POLICY = "admissionregistration.k8s.io/v1"
# how the chart labels its own pods
SERVERS, CODE = ("dagster-daemon", "dagster-webserver"), "user-deployments"
CODE_PORT, POSTGRES_PORT, S3_PORT = 4266, 5432, 443
# the address that a service shows is not the one that a policy sees
API_PORTS = (443, 6443)


def manifests(environment: Environment, tasks: Sequence[Task], pipeline: Pipeline) -> list[Manifest]:
    """All manifests of an environment, in the order in which they are applied."""
    return [
        _namespace(environment),
        *(_account(environment, task.name) for task in tasks),
        *(_account(environment, duty, uses_the_api=True) for duty in (LAUNCHES, STARTS)),
        *_rights(environment),
        _settings(environment),
        *_admission(environment, tasks, pipeline),
        *_network(environment),
        *_limits(environment),
    ]


def accounts_of_ops(pipeline: Pipeline) -> dict[str, str]:
    """The account of each op: of a step, and of the checks of what it makes."""
    ops = {step.name: step.name for step in pipeline.steps}
    ops |= {f"{asset}_{name}": pipeline.by_asset[asset].name for asset, name, *_ in RULES}
    return {op: account_of(step) for op, step in ops.items()}


def _object(
    environment: Environment,
    kind: str,
    name: str,
    *,
    api: str = "v1",
    namespaced: bool = True,
    **content: Any,
) -> Manifest:
    metadata: Manifest = {"name": name, "labels": _labels(environment)}
    if namespaced:
        metadata["namespace"] = namespace_of(environment)
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **content}


def _labels(environment: Environment) -> dict[str, str]:
    return {"app.kubernetes.io/part-of": PART_OF, "photo-popularity/environment": environment.label}


def _namespace(environment: Environment) -> Manifest:
    namespace = _object(environment, "Namespace", namespace_of(environment), namespaced=False)
    for mode in ("enforce", "audit", "warn"):
        namespace["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}"] = "restricted"
    return namespace


def _account(environment: Environment, task: str, *, uses_the_api: bool = False) -> Manifest:
    return _object(environment, "ServiceAccount", account_of(task), automountServiceAccountToken=uses_the_api)


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
    return _object(environment, "ConfigMap", "settings", data=its | SAME_ARITHMETIC)


def _rights(environment: Environment) -> Iterator[Manifest]:
    """Who starts runs and who launches steps may do with jobs what dagster-k8s does, and no more."""
    rules = [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "delete", "list"]},
        {"apiGroups": ["batch"], "resources": ["jobs/status"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete", "list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
    ]
    rbac = "rbac.authorization.k8s.io"
    yield _object(environment, "Role", "works-with-jobs", api=f"{rbac}/v1", rules=rules)
    subjects = [
        {"kind": "ServiceAccount", "name": account_of(duty), "namespace": namespace_of(environment)}
        for duty in (STARTS, LAUNCHES)
    ]
    yield _object(
        environment,
        "RoleBinding",
        "works-with-jobs",
        api=f"{rbac}/v1",
        roleRef={"apiGroup": rbac, "kind": "Role", "name": "works-with-jobs"},
        subjects=subjects,
    )


def _admission(environment: Environment, tasks: Sequence[Task], pipeline: Pipeline) -> Iterator[Manifest]:
    ops = accounts_of_ops(pipeline)
    of_tasks = sorted(set(ops.values()))
    secrets = {account_of(task.name): [secret_of(task.name)] for task in tasks}
    secrets |= {account_of(duty): [secret_of(duty)] for duty in (LAUNCHES, STARTS)}
    secrets[account_of(LAUNCHES)] += [secret_of(task.name) for task in tasks if task.name != LOOKS]
    launches, starts = (
        f"system:serviceaccount:{namespace_of(environment)}:{account_of(d)}" for d in (LAUNCHES, STARTS)
    )
    about_pods = [
        ("account", "has(variables.pod.serviceAccountName) ? variables.pod.serviceAccountName : 'default'"),
        ("component", f"'{COMPONENT}' in variables.labels ? variables.labels['{COMPONENT}'] : ''"),
        ("op", "'dagster/op' in variables.labels ? variables.labels['dagster/op'] : ''"),
        ("accounts", _cel(ops)),
        ("secrets", _cel(secrets)),
        (
            "containers",
            "variables.pod.containers + (has(variables.pod.initContainers) ? variables.pod.initContainers : [])",
        ),
        (
            "own",
            f"(variables.account in variables.secrets ? variables.secrets[variables.account] : []) + {_cel(SHARED_SECRETS)}",
        ),
    ]
    known = sorted({*of_tasks, *map(account_of, (LOOKS, LAUNCHES, STARTS))})
    rules = [
        (
            f"variables.account in {_cel(known)}",
            "'the account ' + variables.account + ' is none of this pipeline'",
        ),
        (
            f"variables.component != '{STEP}' || (variables.op in variables.accounts && variables.accounts[variables.op] == variables.account)",
            "'the step ' + variables.op + ' does not work as ' + variables.account",
        ),
        (
            f"!(variables.account in {_cel(of_tasks)}) || variables.component == '{STEP}'",
            "'the account ' + variables.account + ' is for its step alone'",
        ),
        (
            f"(variables.component == '{RUN}') == (variables.account == '{account_of(LAUNCHES)}')",
            f"'runs work as {account_of(LAUNCHES)}, and nothing else does'",
        ),
        (
            "variables.containers.all(c, !has(c.env) || c.env.all(e, !has(e.valueFrom) || !has(e.valueFrom.secretKeyRef) || e.valueFrom.secretKeyRef.name in variables.own))"
            " && variables.containers.all(c, !has(c.envFrom) || c.envFrom.all(e, !has(e.secretRef) || e.secretRef.name in variables.own))",
            "'a variable is of a secret that is not of ' + variables.account",
        ),
        (
            "!has(variables.pod.volumes) || variables.pod.volumes.all(v, (!has(v.secret) || v.secret.secretName in variables.own)"
            " && (!has(v.projected) || v.projected.sources.all(s, !has(s.secret) || s.secret.name in variables.own)))",
            "'a volume is of a secret that is not of ' + variables.account",
        ),
    ]
    pods = [
        ("pod", "object.spec"),
        ("labels", "has(object.metadata.labels) ? object.metadata.labels : {}"),
        *about_pods,
    ]
    yield from _policy(environment, "pods", "", pods, rules)
    template = "object.spec.template"
    jobs = [
        ("pod", f"{template}.spec"),
        (
            "labels",
            f"has({template}.metadata) && has({template}.metadata.labels) ? {template}.metadata.labels : {{}}",
        ),
        *about_pods,
    ]
    who = (
        f"(variables.component == '{STEP}' && request.userInfo.username == '{launches}')"
        f" || (variables.component == '{RUN}' && request.userInfo.username == '{starts}')",
        "request.userInfo.username + ' may not start a job of ' + variables.component",
    )
    yield from _policy(environment, "jobs", "batch", jobs, [who, *rules])


def _policy(
    environment: Environment,
    resource: str,
    group: str,
    variables: Iterable[tuple[str, str]],
    rules: Iterable[tuple[str, str]],
) -> Iterator[Manifest]:
    """A policy and its binding, for what is created in the environment's namespace."""
    name = f"{namespace_of(environment)}-{resource}"
    spec = {
        # what cannot be decided is refused
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": [group],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": [resource],
                }
            ],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace_of(environment)}},
        },
        "variables": [{"name": name, "expression": expression} for name, expression in variables],
        "validations": [
            {"expression": expression, "messageExpression": message, "reason": "Forbidden"}
            for expression, message in rules
        ],
    }
    yield _object(environment, "ValidatingAdmissionPolicy", name, api=POLICY, namespaced=False, spec=spec)
    binding = {"policyName": name, "validationActions": ["Deny", "Audit"]}
    yield _object(
        environment, "ValidatingAdmissionPolicyBinding", name, api=POLICY, namespaced=False, spec=binding
    )


def _network(environment: Environment) -> Iterator[Manifest]:
    """Nothing reaches a pod but Dagster's servers the code location; every pod reaches DNS, the database and S3."""
    every, to_dns = (
        [POSTGRES_PORT, S3_PORT],
        [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")],
    )
    yield _network_policy(
        environment, "every-pod", {}, ingress=[], egress=[{"ports": [*to_dns, *_tcp(every)]}]
    )
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
    return _object(environment, "NetworkPolicy", name, api="networking.k8s.io/v1", spec=spec)


def _tcp(ports: Iterable[int]) -> list[Manifest]:
    return [{"port": port, "protocol": "TCP"} for port in ports]


def _limits(environment: Environment) -> Iterator[Manifest]:
    hard = {
        "requests.cpu": "16",
        "requests.memory": "64Gi",
        "limits.memory": "96Gi",
        "pods": "40",
        "count/jobs.batch": "2000",
    }
    yield _object(environment, "ResourceQuota", "all-together", spec={"hard": hard})
    default = {"cpu": "250m", "memory": "512Mi"}
    limits = [{"type": "Container", "default": {"memory": "1Gi"}, "defaultRequest": default}]
    yield _object(environment, "LimitRange", "one-by-one", spec={"limits": limits})


def _cel(value: Any) -> str:
    """The value as CEL writes it."""
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_cel(key)}: {_cel(its)}" for key, its in value.items()) + "}"
    return "[" + ", ".join(map(_cel, value)) + "]"
