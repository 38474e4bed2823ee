"""Steps as processes beside their run, each with its own task's credentials in place of the run's.

Which task a step belongs to says its tag `photo_popularity/step`; a check belongs to the step that makes what it checks.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import dagster as dg
from dagster._core.events import EngineEventData
from dagster._core.execution.context.system import IStepContext
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepHandlerContext,
)

from photo_popularity.domain.errors import InputError
from resources.environment import Environment, read_environment
from resources.identity import secret_of
from resources.pipeline import STEP_TAG
from resources.run_logs import share_log
from resources.step_delegation import ReasonedStepHandler, fail, has_ended, step_of
from resources.task_users import USER_FILE, TaskUser, become, check_may_become, user_in

SECONDS_TO_END = 30
# what each of them would import anew takes longer than most of what they do
PRELOADED = ["photo_popularity.definitions", "dagster._cli.api"]
PARENT_DEATH_SIGNAL = 1


@dataclass
class StepProcesses(ReasonedStepHandler):
    """Starts each step as a process whose environment has the credentials of its task.

    `credentials` is a folder with one folder a task, `<task>-credentials`, that holds a file for each variable: what
    Kubernetes mounts of a secret. On one machine a file `user` may be there too: the step then works as that UNIX user.
    """

    credentials: Path
    _started: dict[str, ForkServerProcess] = field(default_factory=dict)
    _server: ForkServerContext = field(default_factory=lambda: get_context("forkserver"))

    def __post_init__(self) -> None:
        self._server.set_forkserver_preload(PRELOADED)

    @property
    def name(self) -> str:
        """What the log calls it."""
        return "StepProcesses"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        """Start the step's process; a step of whose task nothing is known, or whose user it cannot become, fails."""
        step = step_of(step_handler_context)
        task = str(step_handler_context.step_tags[step][STEP_TAG])
        context = step_handler_context.get_step_context(step)
        try:
            variables = self._variables_of(task)
            user = user_in(self.credentials / secret_of(task))
            if user:
                variables |= _ready_for(user, read_environment(variables), context)
        except InputError as error:
            fail(step_handler_context, str(error))
            return
        yield dg.DagsterEvent.step_worker_starting(
            context,
            message=f"Starting a process for {step} with the credentials of {task}{f' as {user.name}' if user else ''}.",
            metadata={"task": dg.MetadataValue.text(task)},
        )
        command = step_handler_context.execute_step_args.get_command_args()
        # what a process is started with it and its forks can always read again, whatever they set later
        with without(self._everybodys()):
            forkserver.ensure_running()
        process = self._server.Process(target=work, args=(command, variables, user), name=step)
        process.start()
        self._started[step] = process

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Whether the step's process is alive, or has ended as one that has told its end."""
        step = step_of(step_handler_context)
        process = self._started.get(step)
        if process is None:
            return CheckStepHealthResult.unhealthy("it was a process of a run worker that has ended")
        status = process.exitcode
        # looked up after the process: what it tells, it tells before it ends
        if status is None or has_ended(step_handler_context):
            return CheckStepHealthResult.healthy()
        return CheckStepHealthResult.unhealthy(_how_it_ended(status))

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        """Interrupt the step's process, and kill it when it does not end."""
        step = step_of(step_handler_context)
        process = self._started.get(step)
        if process is None or not process.is_alive():
            return
        yield dg.DagsterEvent.engine_event(
            step_handler_context.get_step_context(step),
            f"Interrupting the process of {step}.",
            EngineEventData(),
        )
        os.kill(process.pid or 0, signal.SIGINT)
        process.join(SECONDS_TO_END)
        if process.is_alive():
            process.kill()
            process.join()

    def _variables_of(self, task: str) -> dict[str, str]:
        """The environment of the run with the task's own credentials, and nobody else's."""
        folder = self.credentials / secret_of(task)
        # Kubernetes keeps the files themselves in hidden folders, and shows an empty one for a secret that is not there
        files = [file for file in folder.glob("*") if not file.name.startswith(".")]
        if not files:
            raise InputError(
                f"{folder}: the task {task} has no credentials here; give it a file for each variable"
            )
        everybodys = self._everybodys()
        inherited = {name: value for name, value in os.environ.items() if name not in everybodys}
        return inherited | {file.name: file.read_text().strip() for file in files if file.name != USER_FILE}

    def _everybodys(self) -> set[str]:
        """The names of all variables that are credentials of some task."""
        return {file.name for file in self.credentials.glob("*/*")}


@contextmanager
def without(names: Set[str]) -> Iterator[None]:
    """Have the environment of this process lack these variables for a moment."""
    kept = {name: os.environ.pop(name) for name in names & os.environ.keys()}
    try:
        yield
    finally:
        os.environ.update(kept)


def work(command: Sequence[str], variables: Mapping[str, str], user: TaskUser | None = None) -> None:
    """What the process of a step does: Dagster's own command, with these variables and no others, as the task's user."""
    if user is not None:
        become(user)
    # what the server of processes waits for to be closed by all: a killed run worker would leave it, and all steps, behind
    os.close(vars(forkserver)["_forkserver"]._forkserver_alive_fd)
    # it is to end with its run worker, whatever ends that; Linux forgets it when the user changes
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    # a service that was started behind a shell ignores interruptions, and its children would too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(variables)
    from dagster._cli.api import api_cli

    _, _, *arguments = command
    try:
        sys.exit(api_cli.main(args=arguments, standalone_mode=False))
    finally:
        # a process of multiprocessing does not do so by itself, and its locks would look left behind
        atexit._run_exitfuncs()


def _ready_for(user: TaskUser, environment: Environment, context: IStepContext) -> dict[str, str]:
    """The variables that go with a user, who may add to the run's log from now on; InputError where no step can work as them."""
    check_may_become(user)
    if environment.catalog_schema is None:
        raise InputError(
            f"the catalog is a SQLite file, which {user.name} cannot share with other users; "
            "set PHOTO_POPULARITY_CATALOG to a PostgreSQL URL"
        )
    try:
        share_log(environment, context.run_id)
    except OSError as error:
        # it may be the disk that is full, which does not keep the step from its work
        context.log.warning(f"the log lacks what {context.step.key} says: {error}")
    # whose installation it is must not change with who works on it
    return {"PHOTO_POPULARITY_USER": environment.user, "HOME": user.home}


def _how_it_ended(status: int) -> str:
    if status == -signal.SIGKILL:
        return "its process was killed, as the system does when memory runs out"
    if status < 0:
        return f"its process ended by {signal.Signals(-status).name}"
    return f"its process ended with exit status {status} and without a word"
