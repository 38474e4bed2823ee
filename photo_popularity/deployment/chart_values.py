"""What Dagster's chart is told of one environment; what it is told of all stands in `deploy/kubernetes/values.yaml`."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from photo_popularity.deployment.s3_policies import results_in_s3
from photo_popularity.deployment.tasks import LOGS
from photo_popularity.domain.errors import InputError
from resources.databases import database_url
from resources.environment import PREFIX, Environment
from resources.identity import dagster_role_of


def chart_values(environment: Environment) -> dict[str, Any]:
    """Dagster's own database, on the catalog's server, and where the output of steps is kept, as the chart's values.

    InputError when the catalog is on no server, or results are not kept in S3.
    """
    server = sa.make_url(database_url(environment.catalog_url))
    if not server.host:
        raise InputError(f"{PREFIX}CATALOG names no host; set it to postgresql://OWNER:PASSWORD@HOST/NAME")
    bucket, _, root = results_in_s3(environment).partition("/")
    logs = {"bucket": bucket, "prefix": f"{root}/{LOGS}"}
    if environment.settings.s3_endpoint:
        logs["endpointUrl"] = environment.settings.s3_endpoint
    its = dagster_role_of(environment)
    database: dict[str, Any] = {
        "postgresqlHost": server.host,
        "postgresqlUsername": its,
        "postgresqlDatabase": its,
    }
    if server.port:
        database["service"] = {"port": server.port}
    return {
        "postgresql": database,
        "computeLogManager": {"config": {"s3ComputeLogManager": logs}},
    }
