"""`photo-popularity dev` as a test uses it: started, asked through GraphQL, looked at, and ended with all its children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from tests.end_to_end.dagster_site import CHECKOUT, DagsterSite
from tests.services.ports import HOST, free_port, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

SCREENSHOTS = CHECKOUT / "test-output" / "screenshots"
SECONDS_TO_FINISH = 90
SECONDS_TO_END = 10
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
RUNS = """query { runsOrError(limit: 100) { ... on Runs {
  results { runId status jobName tags { key value } } } } }"""


@dataclass(frozen=True)
class DagsterUI:
    """A running server on a site."""

    site: DagsterSite
    address: str
    log: Path

    def graphql(self, query: str, **variables: Any) -> Any:
        """The data that answers a GraphQL query."""
        return ask(self.address, query, **variables)

    def runs(self) -> dict[str, dict[str, Any]]:
        """The newest runs by id, newest first."""
        return {run["runId"]: run for run in self.graphql(RUNS)["runsOrError"]["results"]}

    @contextmanager
    def new_runs(self, count: int = 1) -> Iterator[list[dict[str, Any]]]:
        """Filled on leaving, once so many runs that did not exist on entering have ended."""
        before = set(self.runs())
        ended: list[dict[str, Any]] = []

        def are_there() -> bool:
            new = [run for run_id, run in self.runs().items() if run_id not in before]
            ended[:] = [run for run in new if run["status"] in ENDED]
            return len(ended) >= count and len(ended) == len(new)

        yield ended
        wait_for(are_there, f"{count} runs to end")

    def open(self, page: Page, path: str) -> None:
        """Show a page of the UI."""
        page.goto(f"{self.address}{path}")


def ask(address: str, query: str, headers: Mapping[str, str] | None = None, **variables: Any) -> Any:
    """The data that the server at this address answers to a GraphQL query."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(
        f"{address}/graphql", data=body, headers={"content-type": "application/json", **(headers or {})}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        answer = json.load(response)
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


def wait_for(true: Callable[[], bool], what: str, *, seconds: float = SECONDS_TO_FINISH) -> None:
    """Return once it is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.5)


def screenshot(page: Page, name: str) -> None:
    """Keep what the page shows, once it has come to rest."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    # the graph moves into place
    page.wait_for_timeout(700)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


@contextmanager
def served(site: DagsterSite, *, log: Path) -> Iterator[DagsterUI]:
    """The server, until the block ends; what it prints goes to `log`."""
    port = free_port()
    variables = {k: v for k, v in site.variables.items() if k not in {"DAGSTER_HOME", "PYTHONWARNINGS"}}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("photo-popularity"), "dev", "--port", str(port)],
            env=variables,
            cwd=CHECKOUT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = DagsterUI(site, f"http://{HOST}:{port}", log)
    try:
        wait_until(lambda: _answers(server), process, lambda: log.read_text(errors="replace"))
        yield server
    finally:
        _end(process)


def _answers(server: DagsterUI) -> bool:
    try:
        return bool(server.graphql("query { repositoriesOrError { __typename } }"))
    except (URLError, ConnectionError, TimeoutError):
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server, and after a while whatever of its process group is left."""
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=SECONDS_TO_END)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
