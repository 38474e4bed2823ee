"""The nightly schedule: one run a night, for the UTC day that has just ended."""

# no postponed annotations here: Dagster compares the annotation of `context` itself
from datetime import timedelta

import dagster as dg

from photo_popularity.domain.errors import InputError
from photo_popularity.jobs import NIGHTLY_JOB
from photo_popularity.planning import last_complete_day
from resources.installation import Installation
from resources.io_managers import ONLY_OUT_OF_DATE_TAG

NIGHT_PRIORITY = "10"


def build_nightly_schedule(installation: Installation) -> dg.ScheduleDefinition:
    """Launch the nightly job for yesterday (UTC), at a time when the last log of the day has arrived.

    While the logs do not cover the day it skips: `changed_days_sensor` makes the night once they do. For nothing else it
    waits: what a run is still at work on at that time is taken up afterwards, by that sensor.
    """

    by_itself = installation.environment.works_by_itself

    @dg.schedule(
        name="nightly_schedule",
        job_name=NIGHTLY_JOB,
        cron_schedule=installation.environment.settings.night_cron,
        execution_timezone="UTC",
        description="Predict the coming seven days from what is known at the end of yesterday (UTC).",
        default_status=dg.DefaultScheduleStatus.RUNNING if by_itself else dg.DefaultScheduleStatus.STOPPED,
    )
    def nightly_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        day = (context.scheduled_execution_time - timedelta(days=1)).date()
        try:
            covered = last_complete_day(installation)
        except InputError as error:
            return dg.SkipReason(str(error))
        if covered < day:
            return dg.SkipReason(
                f"the logs do not reach the end of {day}: {covered} is the last day that they cover"
            )
        night = day.isoformat()
        # the request carries the priority, not the job: a backfill of the job must not overtake the night
        return dg.RunRequest(
            run_key=night,
            partition_key=night,
            tags={"dagster/priority": NIGHT_PRIORITY, ONLY_OUT_OF_DATE_TAG: "yes"},
        )

    return nightly_schedule
