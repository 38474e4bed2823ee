"""What Dagster's chart makes of values, as its templates say: `dagster.yaml`, and the pods of the daemon and the code location.

Written down from the templates of release 1.13, as tests have neither the chart nor Helm. Left out: the web server, and the
containers that only wait for others before the daemon starts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Values = Mapping[str, Any]
# the chart's own, of those that it writes into `dagster.yaml` in any case
DEFAULTS: Values = {
    "postgresql": {"service": {"port": 5432}, "postgresqlScheme": ""},
    "concurrency": {"enabled": False},
    "dagsterDaemon": {
        "runCoordinator": {
            "config": {"queuedRunCoordinator": {"dequeueUseThreads": True, "dequeueNumWorkers": 4}}
        },
        "runMonitoring": {"freeSlotsAfterRunEndSeconds": 0},
    },
    "global": {"celeryConfigSecretName": "dagster-celery-config-secret"},
    "dagster-user-deployments": {"celeryConfigSecretName": "dagster-celery-config-secret"},
}
RELEASE = "dagster"
WORKSPACE = "/dagster-workspace"


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
    queue = snake_case(daemon["runCoordinator"]["config"]["queuedRunCoordinator"])
    if not chosen["enabled"]:
        queue.setdefault("max_concurrent_runs", -1)
    config: dict[str, Any] = {
        "scheduler": {"module": "dagster.core.scheduler", "class": "DagsterDaemonScheduler"},
        "run_launcher": values["runLauncher"]["config"]["customRunLauncher"],
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": queue,
        },
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
