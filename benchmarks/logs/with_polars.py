"""`python -m benchmarks.logs.with_polars FILE...`: the same counts with Polars, which reads lines and matches them.

Its CSV reader knows no backslash before a quote, so a whole line is one column, matched with one regular expression,
and only the lines that could be about a photo are; `scan_lines` stops at bytes that are no UTF-8. Robots are told apart for each distinct agent once, photos for each distinct request.
"""

from __future__ import annotations

import re
import sys
from urllib.parse import unquote

import polars as pl

from benchmarks.logs.robot_patterns import expression, literals

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_LINE = (
    r"^(?<address>[!#-Z^-~]+) \S+ \S+ \[(?<time>\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    + _QUOTED.replace("(", "(?<request>", 1)
    + r" (?<status>\d{3}) (?<size>\d{1,12}|-)(?: "
    + _QUOTED.replace("(", "(?<referrer>", 1)
    + " "
    + _QUOTED.replace("(", "(?<agent>", 1)
    + r"(?: .*)?)?\s*$"
)
_TARGET = re.compile(r"(GET|POST) (\S.*?)(?: HTTP/\d(?:\.\d)?)?")
_DEEDS = {
    "view": re.compile(r"GET /photos/([^/]+)\.(?i:jpe?g|png|gif|webp|avif|heic|bmp|tiff?)"),
    "like": re.compile("POST /photos/([^/]+)/like"),
    "download": re.compile("GET /photos/([^/]+)/download"),
}
NO_UTF_8 = "\N{REPLACEMENT CHARACTER}"
_DEED = {"deed": pl.String, "photo_id": pl.String}


def _deed(request: str) -> dict[str, str] | None:
    """What a request does to which photo."""
    match = _TARGET.fullmatch(request)
    if match is None:
        return None
    method, target = match.groups()
    path = unquote(target.partition("?")[0])
    for deed, pattern in _DEEDS.items():
        found = pattern.fullmatch(f"{method} {path}")
        if found and path.isprintable() and NO_UTF_8 not in path:
            return {"deed": deed, "photo_id": found[1]}
    return None


def _count(files: list[str]) -> pl.DataFrame:
    lines = (
        pl.scan_csv(
            files,
            has_header=False,
            separator="\x1f",
            quote_char=None,
            schema={"line": pl.String},
            encoding="utf8-lossy",
            truncate_ragged_lines=True,
        )
        .filter(pl.col("line").str.contains('"(GET|POST) [^"]*(/photos/[^/?"]+[./]|%|\\\\)'))
        .select(pl.col("line").str.extract_groups(_LINE))
        .unnest("line")
        .filter(pl.col("request").is_not_null())
        .collect()
    )
    deeds = (
        lines.select("request")
        .unique()
        .with_columns(pl.col("request").map_elements(_deed, return_dtype=pl.Struct(_DEED)).alias("found"))
        .unnest("found")
        .filter(pl.col("photo_id").is_not_null())
    )
    agent = pl.col("agent")
    robots = (
        lines.select("agent")
        .unique()
        .with_columns(
            robot=(
                agent.str.strip_chars().is_in(["", "-"])
                | agent.str.contains_any(literals())
                | agent.str.contains(expression())
            ).fill_null(value=False)
        )
    )
    status, view = pl.col("status").cast(pl.Int32), pl.col("deed") == "view"
    by_person = view & ~pl.col("robot")
    referrer = pl.col("referrer").fill_null("")
    external = referrer.str.contains("^(?i:https?)://[^/?#]") & ~referrer.str.contains(
        r"^(?i:https?://([^/?#@]*@)?photos\.example\.*)([:/?#]|$)"
    )
    return (
        lines.lazy()
        .join(deeds.lazy(), on="request")
        .join(robots.lazy(), on="agent", nulls_equal=True)
        .filter(pl.when(view).then(status.is_in([200, 206, 304])).otherwise(status.is_between(200, 299)))
        .filter(view | ~pl.col("robot"))
        .with_columns(
            day=pl.col("time").str.to_datetime("%d/%b/%Y:%H:%M:%S %z", strict=False).dt.strftime("%Y-%m-%d"),
            size=pl.col("size").cast(pl.Int64, strict=False).fill_null(0),
        )
        .filter(pl.col("day").is_not_null())
        .group_by("day", "photo_id")
        .agg(
            views=by_person.sum(),
            unique_visitors=pl.col("address").filter(by_person).n_unique(),
            likes=(pl.col("deed") == "like").sum(),
            downloads=(pl.col("deed") == "download").sum(),
            bytes=pl.col("size").filter(by_person).sum(),
            external_referrals=(by_person & external).sum(),
            robot_views=(view & pl.col("robot")).sum(),
        )
        .sort("day", "photo_id")
        .collect()
    )


if __name__ == "__main__":
    _count(sys.argv[1:]).write_csv(sys.stdout)
