"""What handlers share whose steps run elsewhere than the run: which attempt a step is at, whether it has ended, its end.

What is used of Dagster's inner parts for it is used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dagster import DagsterEvent, DagsterEventType, DagsterInstance
from dagster._core.execution.plan.objects import StepFailureData, StepRetryData
from dagster._core.executor.step_delegating import StepDelegatingExecutor, StepHandler, StepHandlerContext
from dagster_shared.error import SerializableErrorInfo

from resources.io_managers import FIRST_PAUSE_SECONDS, MAX_RETRIES

ENDS = {DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE, DagsterEventType.STEP_UP_FOR_RETRY}
INTERRUPTED = "DagsterExecutionInterruptedError"


class ReasonedStepHandler(StepHandler):
    """A handler that can say more of its steps than that they have ended, if it knows more."""

    def may_pass(self, step_key: str, attempt: int) -> bool:
        """Whether an attempt was ended by what has nothing to do with the step, so that another one may come to its end."""
        return False

    def why_interrupted(self, step_key: str) -> str | None:
        """Why the process of a step was told to end; None if nobody knows."""
        return None


class ReasonedExecutor(StepDelegatingExecutor):
    """Dagster's executor, which tells why a step was interrupted, and has one tried again that was only disrupted.

    The process of a step knows no more than that it was told to end, and one that is gone cannot ask for another attempt.
    """

    def __init__(self, handler: ReasonedStepHandler, **options: Any) -> None:
        super().__init__(handler, **options)
        self._reasons = handler

    def _pop_events(
        self, instance: DagsterInstance, run_id: str, seen_storage_ids: set[int]
    ) -> Sequence[DagsterEvent]:
        events = super()._pop_events(instance, run_id, seen_storage_ids)
        for step_key in (event.step_key for event in events if was_interrupted(event)):
            run = instance.get_run_by_id(run_id)
            if run is not None and step_key and (reason := self._reasons.why_interrupted(step_key)):
                instance.report_engine_event(
                    f"Step {step_key} was interrupted: {reason}", run, step_key=step_key
                )
        return events

    def log_failure_or_retry_event_after_error(
        self, step_context: Any, err_info: SerializableErrorInfo, known_state: Any
    ) -> DagsterEvent:
        """End the attempt of a step that cannot do so itself."""
        attempts = known_state.get_retry_state().get_attempt_count(step_context.step.key)
        may_pass = self._reasons.may_pass(step_context.step.key, attempts)
        return end(step_context, err_info, attempts, may_pass=may_pass)


def end(step: Any, error: SerializableErrorInfo, attempts: int, *, may_pass: bool) -> DagsterEvent:
    """Report the end of a step's attempt: its failure, or that it is to be tried again.

    It is when the step's policy says so, and when it was only disrupted, as often as a step that asks for it itself.
    """
    policy, pause = step.op_retry_policy, None
    if policy and attempts < policy.max_retries:
        pause = policy.calculate_delay(attempts + 1)
    elif may_pass and attempts < MAX_RETRIES:
        pause = FIRST_PAUSE_SECONDS * 2**attempts
    if pause is None or step.retry_mode.disabled:
        return DagsterEvent.step_failure_event(step, StepFailureData(error, None))  # type: ignore[no-untyped-call]
    return DagsterEvent.step_retry_event(step, StepRetryData(error, pause))  # type: ignore[no-untyped-call]


def fail(context: StepHandlerContext, reason: str, *, may_pass: bool = False) -> None:
    """End the attempt of a step that its handler has not started, with the reason."""
    step = context.get_step_context(step_of(context))
    end(step, SerializableErrorInfo(reason, [], None), attempts_of(context), may_pass=may_pass)


def step_of(context: StepHandlerContext) -> str:
    """The key of the one step that a handler is asked about."""
    (step_key,) = context.execute_step_args.step_keys_to_execute or [""]
    return step_key


def attempts_of(context: StepHandlerContext) -> int:
    """How many attempts of the step came before this one."""
    state = context.execute_step_args.known_state
    return state.get_retry_state().get_attempt_count(step_of(context)) if state else 0


def has_ended(context: StepHandlerContext) -> bool:
    """Whether the step's newest attempt has reported its end, which the executor may not have read yet."""
    entries = context.instance.all_logs(context.execute_step_args.run_id, of_type=ENDS)
    events = (entry.dagster_event for entry in entries)
    return sum(event is not None and event.step_key == step_of(context) for event in events) > attempts_of(
        context
    )


def was_interrupted(event: DagsterEvent) -> bool:
    """Whether a step's process has reported that it was told to end."""
    error = getattr(event.event_specific_data, "error", None) if event.is_step_event else None
    while error is not None:
        if INTERRUPTED in (error.cls_name or ""):
            return True
        error = error.cause
    return False
