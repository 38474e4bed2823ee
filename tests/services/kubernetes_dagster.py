"""Dagster's daemon with the Kubernetes run launcher, as separate processes, on a test's API server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from click.testing import CliRunner
from dagster import DagsterInstance, DagsterRunStatus
from dagster._cli.job import job_cli

from photo_popularity.deployment.manifests import RIGHTS
from resources.identity import LAUNCHES, STARTS, account_of
from tests.services.kubernetes_api.objects import RBAC, Object
from tests.services.kubernetes_api.server import KubernetesApi, kubernetes_api
from tests.services.ports import HOST, accepts, free_port, wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
NAMESPACE, DAEMON, RUN_WORKER = "night", account_of(STARTS), account_of(LAUNCHES)
SECONDS_TO_END = 60


@dataclass
class KubernetesDagster:
    """A daemon that launches runs as pods under the account of `kubeconfig`; `launch` hands it one."""

    api: KubernetesApi
    home: Path
    workspace: Path
    instance: DagsterInstance
    daemon_log: Path
    kubeconfig: Path
    launched: dict[str, float] = field(default_factory=dict)

    def launch(
        self,
        job: str,
        config: Mapping[str, Any] | None = None,
        run_id: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Submit a run of a job as its user does, and give the run's id."""
        run_id = run_id or str(uuid.uuid4())
        words = ["launch", "--workspace", str(self.workspace), "--job", job, "--run-id", run_id]
        words += ["--config-json", json.dumps(config or {}), "--tags", json.dumps(tags or {})]
        # in this process: another would read all of Dagster first, for each run
        done = CliRunner().invoke(job_cli, words, env={"DAGSTER_HOME": str(self.home)})
        if done.exit_code:
            raise RuntimeError(f"dagster job launch ended with {done.exit_code}: {done.output[-2000:]}")
        self.launched[run_id] = time.time()
        return run_id

    def status(self, run_id: str) -> DagsterRunStatus:
        """How the run stands."""
        run = self.instance.get_run_by_id(run_id)
        if run is None:
            raise LookupError(f"Dagster knows no run {run_id}.")
        return run.status

    def wait(self, run_id: str, seconds: float = 120) -> DagsterRunStatus:
        """Wait until the run has ended, at most so long, and say how it stands."""
        self.until(lambda: self.instance.get_run_by_id(run_id).is_finished, seconds)  # type: ignore[union-attr]
        return self.status(run_id)

    def until(self, done: Callable[[], Any], seconds: float = 60) -> bool:
        """Whether it is done within so many seconds."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def words(self, run_id: str) -> list[str]:
        """What the run's history says, event by event, each error with what caused it."""
        events = (entry.dagster_event for entry in self.instance.all_logs(run_id))
        return [words_of(event) for event in events if event is not None]

    def seconds(self, run_id: str) -> float:
        """How long the run took, from its start to its end."""
        stats = self.instance.get_run_stats(run_id)
        began = getattr(stats, "launch_time", None) or 0
        return (getattr(stats, "end_time", None) or time.time()) - began


def words_of(event: dg.DagsterEvent) -> str:
    """An event's type, its message, and the messages of its error and of what caused that."""
    words = [f"{event.event_type_value}:", event.message or ""]
    error = getattr(event.event_specific_data, "error", None)
    while error is not None:
        words.append(error.message.strip())
        error = error.cause
    return " ".join(filter(None, words))


def program(name: str) -> str:
    """A program of this interpreter's environment."""
    return str(Path(sys.executable).with_name(name))


def role(account: str, rules: Sequence[Object]) -> list[Object]:
    """A role, and its binding to an account of the namespace."""
    metadata = {"name": account, "namespace": NAMESPACE}
    subjects = [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}]
    reference = {"apiGroup": RBAC, "kind": "Role", "name": account}
    version = f"{RBAC}/v1"
    return [
        {"apiVersion": version, "kind": "Role", "metadata": metadata, "rules": list(rules)},
        {
            "apiVersion": version,
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": reference,
            "subjects": subjects,
        },
    ]


def settings(home: Path, database: str, monitoring: Mapping[str, Any]) -> Object:
    """What `dagster.yaml` says."""
    return {
        "storage": {"postgres": {"postgres_url": database}},
        "run_coordinator": {"module": "dagster.core.run_coordinator", "class": "QueuedRunCoordinator"},
        "run_launcher": {
            "module": "resources.kubernetes_launcher",
            "class": "PatientRunLauncher",
            "config": {
                "service_account_name": RUN_WORKER,
                "job_namespace": NAMESPACE,
                "job_image": "photos:1",
                "instance_config_map": "dagster-instance",
                "dagster_home": str(home),
                # without a file's name, each process takes what its variable KUBECONFIG names: its own account
                "load_incluster_config": False,
            },
        },
        "concurrency": {"runs": {"max_concurrent_runs": 30}},
        "run_monitoring": {"enabled": True, **monitoring},
        "telemetry": {"enabled": False},
    }


@contextmanager
def kubernetes_dagster(
    folder: Path, database: str, module: str, *, monitoring: Mapping[str, Any]
) -> Iterator[KubernetesDagster]:
    """An API server, and a daemon that launches the runs of a module's code location on it."""
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(json.dumps(settings(home, database, monitoring)))
    port, workspace = free_port(), folder / "workspace.yaml"
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": {"host": HOST, "port": port}}]}))
    shared = {"PYTHONPATH": str(CHECKOUT), "DAGSTER_HOME": str(home)}
    with kubernetes_api(shared) as api, dg.DagsterInstance.from_config(str(home)) as instance:
        api.namespace(NAMESPACE, DAEMON, RUN_WORKER)
        for duty, rules in RIGHTS.items():
            api.apply(role(account_of(duty), rules))
        kubeconfig = api.kubeconfig_of(api.access.token(NAMESPACE, DAEMON), NAMESPACE, DAEMON)
        variables = {**shared, "KUBECONFIG": str(kubeconfig)}
        code = [program("dagster"), "api", "grpc", "--module-name", module, "--port", str(port)]
        daemon = [program("dagster-daemon"), "run", "--workspace", str(workspace)]
        with process(code, variables, folder / "code.log") as server:
            wait_until(lambda: accepts(port), server, (folder / "code.log").read_text)
            with process(daemon, variables, folder / "daemon.log"):
                yield KubernetesDagster(api, home, workspace, instance, folder / "daemon.log", kubeconfig)


@contextmanager
def process(
    command: Sequence[str], variables: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with these variables, ended politely at the end."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            command,
            env={**os.environ, **variables},
            cwd=CHECKOUT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(timeout=SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
            raise
