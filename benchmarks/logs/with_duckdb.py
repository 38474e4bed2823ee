"""`python -m benchmarks.logs.with_duckdb FILE...`: the same counts with DuckDB's CSV reader.

Its reader takes a blank as the delimiter and understands quotes with a backslash, so a log line is a row of ten
columns. Lines that do not fit, or are no UTF-8, are left out. Robots are told apart for each distinct agent once, photos for each distinct request.
"""

from __future__ import annotations

import os
import sys

import duckdb

from benchmarks.logs.robot_patterns import expression, literals

_COLUMNS = "address identity login time zone request status size referrer agent".split()
_QUERY = r"""
with lines as (
    select address, time, zone, request, try_cast(status as integer) as status,
        case when size = '-' then 0 else try_cast(size as bigint) end as size, coalesce(referrer, '') as referrer, agent
    from read_csv(?, delim = ' ', quote = '"', escape = '\', header = false, auto_detect = false, strict_mode = false,
        null_padding = true, ignore_errors = true, max_line_size = 65536, columns = {columns})
    where request is not null and regexp_matches(request, '^(GET|POST) .*(/photos/|%)')
), robots as (
    select agent, coalesce(trim(agent) in ('', '-') or regexp_matches(agent, ?)
        or exists (select * from (select unnest(?) as word) where contains(agent, word)), false) as robot
    from (select distinct agent from lines)
), targets as (
    select request, split_part(request, ' ', 1) as method,
        url_decode(split_part(regexp_replace(substr(request, instr(request, ' ') + 1), ' HTTP/\d(\.\d)?$', ''), '?', 1)) as path
    from (select distinct request from lines)
), photos as (
    select request, 'view' as deed, regexp_extract(path, '^/photos/([^/]+)\.[^./]+$', 1) as photo from targets
    where method = 'GET' and regexp_matches(path, '^/photos/[^/]+\.(?i:jpe?g|png|gif|webp|avif|heic|bmp|tiff?)$')
    union all
    select request, 'like', regexp_extract(path, '^/photos/([^/]+)/like$', 1) from targets
    where method = 'POST' and regexp_matches(path, '^/photos/[^/]+/like$')
    union all
    select request, 'download', regexp_extract(path, '^/photos/([^/]+)/download$', 1) from targets
    where method = 'GET' and regexp_matches(path, '^/photos/[^/]+/download$')
), deeds as (
    select strftime(
            try_strptime(substr(time, 2), '%d/%b/%Y:%H:%M:%S')
                - to_minutes(60 * try_cast(substr(zone, 1, 3) as integer) + try_cast(substr(zone, 4, 2) as integer)),
            '%Y-%m-%d') as day,
        photo, deed, robot, address, size,
        regexp_matches(referrer, '^(?i:https?)://[^/?#]') and not
            regexp_matches(referrer, '^(?i:https?://([^/?#@]*@)?photos\.example\.*)([:/?#]|$)') as external
    from lines join photos using (request) join robots on lines.agent is not distinct from robots.agent
    where size is not null
        and (deed = 'view' and status in (200, 206, 304) or deed <> 'view' and status between 200 and 299)
)
select day, photo as photo_id,
    count(*) filter (deed = 'view' and not robot) as views,
    count(distinct address) filter (deed = 'view' and not robot) as unique_visitors,
    count(*) filter (deed = 'like' and not robot) as likes,
    count(*) filter (deed = 'download' and not robot) as downloads,
    coalesce(sum(size) filter (deed = 'view' and not robot), 0) as bytes,
    count(*) filter (deed = 'view' and not robot and external) as external_referrals,
    count(*) filter (deed = 'view' and robot) as robot_views
from deeds where day is not null and photo <> '' and (deed = 'view' or not robot)
group by all order by all
"""


def main(files: list[str]) -> None:
    """Print the counts as CSV."""
    columns = "{" + ", ".join(f"'{name}': 'varchar'" for name in _COLUMNS) + "}"
    with duckdb.connect() as connection:
        connection.execute(f"set threads = {len(os.sched_getaffinity(0))}")
        found = connection.execute(_QUERY.replace("{columns}", columns), [files, expression(), literals()])
        print(",".join(column[0] for column in found.description))
        while rows := found.fetchmany(10_000):
            for day, photo, *counts in rows:
                print(day, '"' + photo.replace('"', '""') + '"', *counts, sep=",")


if __name__ == "__main__":
    main(sys.argv[1:])
