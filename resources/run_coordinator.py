"""Who launched a run: put on record as it is queued, by whoever knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._config.config_schema import UserConfigSchema
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext
from dagster._serdes import ConfigurableClassData

from resources.environment import read_environment

LAUNCHED_BY_TAG, USER_TAG, DAGSTERS_BACKFILL = "photo_popularity/launched_by", "user", "dagster/backfill"
# of runs that nobody has launched himself
AUTOMATIC = {
    "dagster/schedule_name": "schedule",
    "dagster/sensor_name": "sensor",
    DAGSTERS_BACKFILL: "backfill",
}
THE_PAGES = "the pages"


def launched_by(tags: Mapping[str, str]) -> str | None:
    """Who launched a run, from its tags: a person, a schedule, a sensor or a backfill; None where they do not say."""
    if LAUNCHED_BY_TAG in tags:
        return tags[LAUNCHED_BY_TAG]
    user = tags.get(USER_TAG)
    automatic = next((f"{what} {tags[tag]}" for tag, what in AUTOMATIC.items() if tag in tags), None)
    return f"{user}, {automatic}" if user and automatic else automatic or user


class AttributingRunCoordinator(QueuedRunCoordinator):
    """Dagster's queue, for servers that several people use: a run's process is no more any of theirs.

    Of a run from the pages the proxy before them says whose it is, in the header `user_header`, whatever the run's tags say.
    A run from a command line is its user's. Of a backfill from the pages nobody says whose it is.
    """

    user_header = "X-Forwarded-User"

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """What Dagster's queue takes, and the header's name."""
        header = dg.Field(str, default_value=cls.user_header, description="Who is at the pages.")
        its: Any = super().config_type()
        return {**its, "user_header": header}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> AttributingRunCoordinator:
        """As Dagster makes it from `dagster.yaml`."""
        made = super().from_config_value(inst_data, config_value)
        made.user_header = config_value["user_header"]
        return made

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Queue the run, and note who launched it."""
        run = context.dagster_run
        # every request names the host that it is for
        if context.get_request_header("host"):
            who = context.get_request_header(self.user_header) or THE_PAGES
        else:
            tags = run.tags
            # a command line tells Dagster of a backfill once its runs are queued
            if DAGSTERS_BACKFILL in tags and self._instance.get_backfill(tags[DAGSTERS_BACKFILL]) is None:
                tags = {USER_TAG: read_environment().user, **tags}
            who = launched_by(tags) or read_environment().user
        self._instance.add_run_tags(run.run_id, {LAUNCHED_BY_TAG: who})
        return super().submit_run(context)
