"""The policies that bind accounts to tasks: who may start what, under which account, with whose secrets.

Their expressions are in CEL, and the API server itself evaluates them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from photo_popularity.checks import RULES
from photo_popularity.deployment.objects import Manifest, kubernetes_object
from photo_popularity.deployment.tasks import Task
from resources.environment import Environment
from resources.identity import LAUNCHES, LOOKS, STARTS, account_of, namespace_of, secret_of
from resources.pipeline import Pipeline

API = "admissionregistration.k8s.io/v1"
COMPONENT, STEP, RUN = "app.kubernetes.io/component", "step_worker", "run_worker"
"""How dagster-k8s labels the pods of steps and runs."""
DOES = {RUN: "execute_run", STEP: "execute_step"}
# what Dagster's storage takes; it is one for all, as every step writes its own events
DAGSTER_SECRET = "dagster-postgresql-secret"


def accounts_of_ops(pipeline: Pipeline) -> dict[str, str]:
    """The account of each op: of a step, and of the checks of what it makes."""
    ops = {step.name: step.name for step in pipeline.steps}
    ops |= {f"{asset}_{name}": pipeline.by_asset[asset].name for asset, name, *_ in RULES}
    return {op: account_of(step) for op, step in ops.items()}


def admission_policies(
    environment: Environment, tasks: Sequence[Task], pipeline: Pipeline
) -> Iterator[Manifest]:
    """The policies and their bindings, for pods and for the jobs that make them."""
    ops = accounts_of_ops(pipeline)
    of_tasks = sorted(set(ops.values()))
    secrets = {account_of(task.name): [secret_of(task.name)] for task in tasks}
    secrets[account_of(STARTS)] = [secret_of(STARTS)]
    secrets[account_of(LAUNCHES)] = [secret_of(task.name) for task in tasks if task.name != LOOKS]
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
            f"(variables.account in variables.secrets ? variables.secrets[variables.account] : []) + {_cel([DAGSTER_SECRET])}",
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
            f"!(variables.component in {_cel([STEP, RUN])}) || variables.containers.all(c, !has(c.command) && has(c.args)"
            f" && c.args.size() > 2 && c.args[0] == 'dagster' && c.args[1] == 'api' && c.args[2] == {_cel(DOES)}[variables.component])",
            "'runs and steps do what Dagster has them do'",
        ),
        (
            "variables.containers.all(c, !has(c.env) || c.env.all(e, !has(e.valueFrom) || !has(e.valueFrom.secretKeyRef) || e.valueFrom.secretKeyRef.name in variables.own))"
            " && variables.containers.all(c, !has(c.envFrom) || c.envFrom.all(e, !has(e.secretRef) || e.secretRef.name in variables.own))",
            "'a variable is of a secret that is not of ' + variables.account",
        ),
        (
            "!has(variables.pod.volumes) || variables.pod.volumes.all(v, !has(v.csi) && (!has(v.secret) || v.secret.secretName in variables.own)"
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
    # what is neither a step nor a run is started by whoever installs, as the chart's migration is
    who = (
        f"variables.component == '{STEP}' ? request.userInfo.username == '{launches}'"
        f" : variables.component == '{RUN}' ? request.userInfo.username == '{starts}'"
        f" : !request.userInfo.username.startsWith('system:serviceaccount:{namespace_of(environment)}:')",
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
                    "operations": ["CREATE"],
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
    yield kubernetes_object(
        environment, "ValidatingAdmissionPolicy", name, api=API, namespaced=False, spec=spec
    )
    binding = {"policyName": name, "validationActions": ["Deny", "Audit"]}
    yield kubernetes_object(
        environment, "ValidatingAdmissionPolicyBinding", name, api=API, namespaced=False, spec=binding
    )


def _cel(value: Any) -> str:
    """The value as CEL writes it."""
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_cel(key)}: {_cel(its)}" for key, its in value.items()) + "}"
    return "[" + ", ".join(map(_cel, value)) + "]"
