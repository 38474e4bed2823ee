"""What Dagster's chart makes of values, as its templates say: `dagster.yaml`, and the pods of the daemon and the code location.

Written down from the templates of release 1.13, as tests have neither the chart nor Helm. Left out: the web server, but for its
labels, and the containers that only wait for others before the daemon starts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

Values = Mapping[str, Any]
# the chart's own, of those that it writes into `dagster.yaml` in any case
DEFAULTS: Values = {
    "postgresql": {"service": {"port": 5432}, "postgresqlScheme": ""},
    "concurrency": {"enabled": False},
    "dagsterDaemon": {
        "runMonitoring": {"freeSlotsAfterRunEndSeconds": 0},
    },
    "global": {"celeryConfigSecretName": "dagster-celery-config-secret"},
    "dagster-user-deployments": {"celeryConfigSecretName": "dagster-celery-config-secret"},
}
RELEASE = "dagster"
# what the project gives the chart, whatever the environment
VALUES: dict[str, Any] = yaml.safe_load(
    (Path(__file__).resolve().parents[2] / "deploy/kubernetes/values.yaml").read_text()
)
BY_HAND = ("sensor", "schedule")
WEBSERVER_LABELS = {"component": "dagster-webserver"}
MOUNTED, WORKSPACE = "/dagster-workspace", '-w "$WORKSPACE"'


def merged(one: Any, other: Any) -> Any:
    """As Helm merges values: mappings into each other, everything else replaced."""
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return other
    return {key: merged(one.get(key), other.get(key, one.get(key))) for key in {**one, **other}}


def snake_case(value: Any) -> Any:
    """As Dagster writes what the chart writes in camel case."""
    if isinstance(value, list):
        return [snake_case(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    return {re.sub("(?=[A-Z])", "_", key).lower(): snake_case(its) for key, its in value.items()}


def dagster_yaml(given: Values) -> dict[str, Any]:
    """The instance that all processes of a release share."""
    values = merged(DEFAULTS, given)
    database, daemon, chosen = values["postgresql"], values["dagsterDaemon"], values["concurrency"]
    postgres = {
        "username": database["postgresqlUsername"],
        "password": {"env": "DAGSTER_PG_PASSWORD"},
        "hostname": database["postgresqlHost"],
        "db_name": database["postgresqlDatabase"],
        "port": database["service"]["port"],
        "params": {},
    }
    if database["postgresqlScheme"]:
        postgres["scheme"] = database["postgresqlScheme"]
    config: dict[str, Any] = {
        "scheduler": {"module": "dagster.core.scheduler", "class": "DagsterDaemonScheduler"},
        "run_launcher": values["runLauncher"]["config"]["customRunLauncher"],
        "run_coordinator": daemon["runCoordinator"]["config"]["customRunCoordinator"],
        "compute_logs": {
            "module": "dagster_aws.s3.compute_log_manager",
            "class": "S3ComputeLogManager",
            "config": {
                "verify": True,
                **snake_case(values["computeLogManager"]["config"]["s3ComputeLogManager"]),
            },
        },
        "python_logs": {
            "python_log_level": values["pythonLogs"]["pythonLogLevel"],
            "dagster_handler_config": values["pythonLogs"]["dagsterHandlerConfig"],
        },
        "run_monitoring": snake_case(daemon["runMonitoring"]),
        "retention": {"sensor": snake_case(values["retention"]["sensor"])},
        "telemetry": values["telemetry"],
    }
    for kind, module in (
        ("run", "run_storage"),
        ("event_log", "event_log"),
        ("schedule", "schedule_storage"),
    ):
        config[f"{kind}_storage"] = {
            "module": f"dagster_postgres.{module}",
            "class": f"Postgres{snake_to_camel(kind)}Storage",
            "config": {"postgres_db": postgres},
        }
    if chosen["enabled"]:
        config["concurrency"] = {"runs": concurrency_of_runs(chosen["runs"])}
    return config | dict(values["additionalInstanceConfig"])


def concurrency_of_runs(chosen: Values) -> dict[str, Any]:
    """How many runs there may be at once; values of tags are taken as they are."""
    return {
        "max_concurrent_runs": chosen["maxConcurrentRuns"],
        "tag_concurrency_limits": chosen["tagConcurrencyLimits"],
    }


def snake_to_camel(name: str) -> str:
    """As classes are named."""
    return "".join(word.capitalize() for word in name.split("_"))


def code_location(given: Values, namespace: str) -> dict[str, Any]:
    """The pod of the code location: nothing but the image's program, on the port that the values name."""
    values = merged(DEFAULTS, given)
    users = values["dagster-user-deployments"]
    [its] = users["deployments"]
    celery = values["global"]["celeryConfigSecretName"] or users["celeryConfigSecretName"]
    optional = [{"name": celery, "optional": True}] if celery else []
    command = ["dagster", "code-server", "start", "-h", "0.0.0.0", "-p", str(its["port"])]
    container = {
        "name": "dagster-user-deployments",
        "args": [*command, *its["codeServerArgs"]],
        "env": [{"name": "DAGSTER_CURRENT_IMAGE", "value": image_of(its)}],
        "envFrom": [{"secretRef": each} for each in optional],
        "volumeMounts": its["volumeMounts"],
        "readinessProbe": {
            "exec": {"command": ["dagster", "api", "grpc-health-check", "-p", str(its["port"])]},
            "periodSeconds": 20,
            "timeoutSeconds": 10,
        },
    }
    labels = {"component": "user-deployments", "deployment": its["name"]}
    account = users["serviceAccount"]["name"]
    return pod_of(
        values,
        its,
        container,
        name=f"{RELEASE}-{its['name']}",
        namespace=namespace,
        account=account,
        labels=labels,
    )


def daemon(given: Values, namespace: str, *, starts_by_itself: bool) -> dict[str, Any]:
    """The pod of the daemon; where nothing starts by itself, all sensors and schedules are started before, as in the pages."""
    values = merged(DEFAULTS, given)
    its = values["dagsterDaemon"]
    instance, workspace = f"{RELEASE}-instance", f"{RELEASE}-workspace-yaml"
    # the code location may still be loading
    by_hand = (f"until dagster {each} start --start-all {WORKSPACE}; do sleep 5; done" for each in BY_HAND)
    commands = [*(() if starts_by_itself else by_hand), f"exec dagster-daemon run {WORKSPACE}"]
    container = {
        "name": "dagster",
        "command": ["/bin/bash", "-c", "; ".join(commands)],
        "env": [{"name": "WORKSPACE", "value": f"{MOUNTED}/workspace.yaml"}],
        "volumeMounts": [
            {
                "name": "dagster-instance",
                "mountPath": f"{values['global']['dagsterHome']}/dagster.yaml",
                "subPath": "dagster.yaml",
            },
            {"name": "dagster-workspace-yaml", "mountPath": f"{MOUNTED}/"},
            *its["volumeMounts"],
        ],
    }
    volumes = [
        {"name": "dagster-instance", "configMap": {"name": instance}},
        {"name": "dagster-workspace-yaml", "configMap": {"name": workspace}},
    ]
    labels = {"component": "dagster-daemon", "deployment": "daemon"}
    account = values["serviceAccount"]["name"]
    pod = pod_of(
        values, its, container, name=f"{RELEASE}-daemon", namespace=namespace, account=account, labels=labels
    )
    pod["spec"]["volumes"] += volumes
    return pod


def pod_of(
    values: Values,
    its: Values,
    container: dict[str, Any],
    *,
    name: str,
    namespace: str,
    account: str,
    labels: Mapping[str, str],
) -> dict[str, Any]:
    """A pod with what the chart gives every server."""
    password = {"name": values["global"]["postgresqlSecretName"], "key": "postgresql-password"}
    everywhere = [
        {"name": "DAGSTER_HOME", "value": values["global"]["dagsterHome"]},
        {"name": "DAGSTER_PG_PASSWORD", "valueFrom": {"secretKeyRef": password}},
    ]
    sources = [{"configMapRef": each} for each in its["envConfigMaps"]]
    sources += [{"secretRef": each} for each in its["envSecrets"]]
    container = {
        **container,
        "image": image_of(its),
        "imagePullPolicy": its["image"]["pullPolicy"],
        "securityContext": its["securityContext"],
        "resources": its["resources"],
        "env": [*everywhere, *container.get("env", [])],
        "envFrom": [*sources, *container.get("envFrom", [])],
    }
    spec = {
        "serviceAccountName": account,
        "automountServiceAccountToken": True,
        "securityContext": its["podSecurityContext"],
        "containers": [container],
        "volumes": list(its["volumes"]),
    }
    metadata = {"name": name, "namespace": namespace, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def image_of(its: Values) -> str:
    """An image's full name."""
    return f"{its['image']['repository']}:{its['image']['tag']}"
