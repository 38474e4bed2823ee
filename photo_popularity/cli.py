"""The command line: run the night, ask for results, look back, make days again, train the classifier, open the UI.

Only arguments, settings and exit codes belong here; each command's work is in the module of its name. Heavy imports
stand inside the commands, so that `query`, `history` and `scan-logs` answer at once.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photo_popularity.domain.errors import InputError
from photo_popularity.interruption import interruptible
from photo_popularity.text import counted
from resources.environment import Environment, read_environment
from resources.errors import SourceUnavailable
from resources.settings import write_settings_file

if TYPE_CHECKING:
    from rich.console import Console

    from photo_popularity.night import Night

CHECKOUT = Path(__file__).resolve().parents[1]
app = typer.Typer(
    help="Learn every night how popular each photo of a photo site will be.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run(
    sample: Annotated[
        bool, typer.Option("--sample", help="Generate the sample site first, and run on it.")
    ] = False,
    site: Annotated[Path | None, typer.Option(help="A folder with photos/, logs/ and site.sqlite.")] = None,
    photos: Annotated[str | None, typer.Option(help="Folder or s3:// URL of the photo files.")] = None,
    logs: Annotated[str | None, typer.Option(help="Folder or s3:// URL of the access logs.")] = None,
    database: Annotated[str | None, typer.Option(help="SQLAlchemy URL of the photo database.")] = None,
    classifier: Annotated[Path | None, typer.Option(help="Cat/dog classifier, .skops or .onnx.")] = None,
    until: Annotated[
        str | None, typer.Option(help="The night, YYYY-MM-DD; default: the last day the logs cover.")
    ] = None,
    first_day: Annotated[
        str | None, typer.Option(help="First day with partitions; default: from the data.")
    ] = None,
) -> None:
    """Run the nightly pipeline on whatever is out of date, and report."""
    from rich.console import Console

    from photo_popularity.site_choice import (
        chosen_settings,
        drawn_classifier,
        make_sample_site,
        refuse_another_site,
        with_settings,
    )
    from resources.dagster_home import make_folder
    from resources.run_lock import only_night

    console, started = Console(), time.monotonic()
    environment = read_environment()
    make_folder(environment.home)
    last = date.fromisoformat(_day(until)) if until else None
    with interruptible() as was_pressed, only_night(environment):
        if sample:
            refuse_another_site(environment)
            site = make_sample_site(environment.home, tell=typer.echo)
        chosen = chosen_settings(
            site, photos=photos, logs=logs, database=database, classifier=classifier, first_day=first_day
        )
        environment = with_settings(environment, chosen)
        if not environment.settings.classifier:
            chosen["classifier"] = str(drawn_classifier(environment.home, tell=typer.echo))
            environment = with_settings(environment, chosen)
        night = _run_night(environment, console, until=last, started=started, interrupted=was_pressed)
        if night.failed_runs:
            raise typer.Exit(1)
        # options that led to a failure are none to go on with
        data_since = night.environment.settings.data_since
        write_settings_file(environment.settings_file, {**chosen, "data_since": data_since})


def _run_night(
    environment: Environment,
    console: Console,
    *,
    until: date | None,
    started: float,
    interrupted: Callable[[], bool],
) -> Night:
    # Dagster takes a second to import, which query and history need not wait for
    import dagster as dg

    from photo_popularity.definitions import PIPELINE, build_defs
    from photo_popularity.night import run_night
    from photo_popularity.night_progress import ConsoleObserver, progress_logger
    from photo_popularity.report import print_report
    from resources.dagster_home import open_instance
    from resources.installation import install

    observer = ConsoleObserver(console, interrupted=interrupted)
    loggers = {"progress": progress_logger(observer)}
    with open_instance(environment) as instance:
        night = run_night(
            environment,
            instance,
            until=until,
            observer=observer,
            build=lambda chosen, installation: build_defs(chosen, installation=installation, loggers=loggers),
            run_config=dg.RunConfig(loggers={name: {} for name in loggers}),
        )
    installation = install(night.environment, PIPELINE)
    print_report(console, installation, night, night.detected, seconds=time.monotonic() - started)
    return night


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help='For example: "SELECT * FROM popularity_predictions LIMIT 10".')],
    form: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    env: Annotated[
        str | None, typer.Option(help="local, staging or production; default: PHOTO_POPULARITY_ENV.")
    ] = None,
) -> None:
    """Answer SQL over the current outputs: every asset is a table under its own name."""
    from photo_popularity.query import run_query
    from photo_popularity.query_formats import render

    typer.echo(render(run_query(_environment(env), sql), form, width=_terminal_width()))


@app.command()
def scan_logs(
    files: Annotated[
        list[str], typer.Argument(help="Access logs: plain, gzip or zstd; - is standard input.")
    ],
    form: Annotated[str, typer.Option("--format", help="csv or parquet, on standard output.")] = "csv",
    quarantine: Annotated[
        Path | None, typer.Option(help="Write the lines that are in no known format here, as CSV.")
    ] = None,
) -> None:
    """Count views, visitors and the rest per day and photo in log files (plain, gzip, zstd; - is standard input).

    By the site's settings, without catalog and assets. The counts go to standard output, the summary to standard error.
    """
    # NumPy would start threads for linear algebra, which wait for it in a loop
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # all objects stay to the end, so that looking for garbage among them would only take time
    gc.disable()
    from photo_popularity.scan_logs import FORMATS, scan_files

    if form not in FORMATS:
        raise InputError(f"--format {form!r} is not known; use one of {', '.join(FORMATS)}")
    if form == "parquet" and sys.stdout.isatty():
        raise InputError(
            "a Parquet file is nothing for a terminal; write it to a file: ... > signals.parquet"
        )
    scanned = scan_files(files, rules=read_environment().settings.behavior_rules, quarantine=quarantine)
    try:
        scanned.write(form, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # or Python would try once more to write the rest, at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise InputError(f"the counts cannot be written: {error.strerror or error}") from error
    for line in scanned.summary():
        typer.echo(line, err=True)
    for problem in scanned.problems:
        typer.echo(f"photo-popularity: {problem}", err=True)
    gc.freeze()
    if scanned.problems:
        raise typer.Exit(1)


@app.command()
def history(
    assets: Annotated[list[str] | None, typer.Argument(help="Only these assets.")] = None,
    form: Annotated[
        str, typer.Option("--format", help="table, or json for one JSON object a line.")
    ] = "table",
    run_id: Annotated[str, typer.Option("--run", help="Only this run.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many executions, the newest.")] = None,
    every: Annotated[
        bool, typer.Option("--every", help="A line for each execution in the table too.")
    ] = False,
    picture: Annotated[Path | None, typer.Option(help="Write a PNG of the runtimes over nights.")] = None,
    env: Annotated[str | None, typer.Option(help="local, staging or production.")] = None,
) -> None:
    """Show every execution: who ran what, when, for how long, with what result, and where its log lies."""
    from photo_popularity.history import history_rows, picture_of_runtimes, render_history

    environment = _environment(env)
    if picture is not None:
        picture_of_runtimes(environment, picture)
        typer.echo(f"wrote {picture}")
        return
    rows = history_rows(environment, assets=assets or (), run_id=run_id, limit=limit)
    typer.echo(render_history(rows, form, every=every, width=_terminal_width()))


@app.command()
def backfill(
    assets: Annotated[list[str], typer.Argument(help="Day assets to make again.")],
    first: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD.")],
    last: Annotated[str, typer.Option("--to", help="Last day, YYYY-MM-DD.")],
    order: Annotated[str, typer.Option(help="newest-first or oldest-first.")] = "newest-first",
) -> None:
    """Make days again, one run a day, strictly in order."""
    from photo_popularity.backfill import OrderedBackfill, run_backfill
    from photo_popularity.definitions import build_defs
    from photo_popularity.jobs import NIGHTLY_JOB
    from resources.dagster_home import open_instance

    environment = read_environment()
    wanted = OrderedBackfill(assets=assets, first_day=first, last_day=last, order=order)
    job = build_defs(environment).resolve_job_def(NIGHTLY_JOB)
    with interruptible() as was_pressed, open_instance(environment) as instance:

        def tell(day: str, succeeded: bool) -> None:
            typer.echo(f"{day}  {'done' if succeeded else 'FAILED'}")
            if was_pressed():
                raise KeyboardInterrupt

        failed = run_backfill(
            job,
            instance,
            wanted,
            launched_by=environment.user,
            backfill_id=f"cli-{int(time.time())}",
            tell=tell,
        )
    if failed:
        typer.echo(
            f"{len(failed)} days failed: {', '.join(failed)}; photo-popularity history says why", err=True
        )
        raise typer.Exit(1)


@app.command()
def train_classifier(
    folder: Annotated[
        Path, typer.Argument(help="cat/, dog/, neither/ with photos; or labels.csv beside images/.")
    ],
    output: Annotated[Path | None, typer.Option(help="Where to write it; default: the home folder.")] = None,
    seed: Annotated[int, typer.Option(help="The same photos and seed give the same file.")] = 0,
) -> None:
    """Train the cat/dog classifier from labelled photos, and use it from now on."""
    from photo_popularity.domain.classifier_training import train_classifier as train
    from photo_popularity.site_choice import write_classifier

    environment = read_environment()
    trained = train(folder, seed=seed)
    path = (output or environment.home / "classifier.skops").absolute()
    write_classifier(trained, path)
    write_settings_file(environment.settings_file, {"classifier": str(path)})
    card = trained.card
    typer.echo(
        f"{card['cross_validated_accuracy']:.3f} accuracy in cross-validation on {sum(card['photos_per_class'].values())} "
        f"photos (always the largest class: {card['majority_share']:.3f})"
    )
    for file, reason in card["skipped"].items():
        typer.echo(f"skipped {file}: {reason}", err=True)
    typer.echo(f"wrote {path}; the next run scores every photo with it")


@app.command()
def verify(
    all_lost: Annotated[
        bool, typer.Option("--all-lost", help="Believe it also when not one file is there.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what is lost.")] = False,
    env: Annotated[str | None, typer.Option(help="local, staging or production.")] = None,
) -> None:
    """Look whether the files of all current outputs are there; what is lost is made again by the next night."""
    from photo_popularity.catalog_tables import ASSETS
    from resources.lost_files import find_lost, record_lost
    from resources.outputs import read_outputs

    environment = _environment(env)
    reader = read_outputs(environment)
    lost = find_lost(reader, environment.label, ASSETS, may_be_all=all_lost)
    for asset, its in lost.items():
        keys = sorted(its)
        typer.echo(f"{asset:<22} {len(keys):>9,} lost: {keys[0]}{f' … {keys[-1]}' if keys[1:] else ''}")
    if not lost:
        typer.echo(f"every file of {environment.label} is there")
    elif not dry_run:
        record_lost(reader.catalog, lost)
        typer.echo("they are made again by the next night; of earlier nights by photo-popularity backfill")


@app.command()
def upgrade(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be made; change nothing.")
    ] = False,
    env: Annotated[str | None, typer.Option(help="local, staging or production.")] = None,
) -> None:
    """Make the changes of the catalog after which older releases cannot use it any more; stop these before."""
    from resources.outputs import read_outputs
    from resources.table_storage import life_of

    catalog = read_outputs(_environment(env)).catalog
    lacked = catalog.lacked()
    if not lacked:
        typer.echo(f"the catalog {catalog.place} has every version that this release knows: nothing to do")
        return
    typer.echo(f"the catalog {catalog.place} lacks:")
    for one in lacked:
        typer.echo(f"  {one}{', and older releases fail from then on' if one.breaking else ''}")
    if dry_run:
        return
    at_work = [run for run in catalog.unfinished_runs() if catalog.locks.is_held(life_of(run))]
    if at_work:
        raise InputError(
            f"{counted(len(at_work), 'run')} at work ({at_work[0]}); wait or stop them, then upgrade"
        )
    for one in catalog.contract():
        typer.echo(f"made {one}")
    typer.echo("the catalog has every version that this release knows")


@app.command()
def dev(
    port: Annotated[int, typer.Option(help="Port of the UI.")] = 3000,
    host: Annotated[str, typer.Option(help="Address that the UI listens on.")] = "127.0.0.1",
) -> None:
    """Open Dagster's UI on the same storage and instance that `run` uses."""
    from resources.dagster_home import prepare_home

    environment = read_environment()
    home = prepare_home(environment)
    variables = {**os.environ, "DAGSTER_HOME": str(home), "PHOTO_POPULARITY_HOME": str(environment.home)}
    # it advises another command, whose package only tests install
    variables.setdefault("PYTHONWARNINGS", "ignore:Function `dev_command` is superseded")
    typer.echo(f"Dagster's UI: http://{host}:{port}  (Ctrl-C ends it)")
    dagster = Path(sys.executable).with_name("dagster")
    workspace = CHECKOUT / "workspace.yaml"
    # it does not go with an installed package, and no more than the location's name comes from it
    target = ["-w", str(workspace)] if workspace.exists() else ["-m", "photo_popularity.definitions"]
    os.execve(dagster, ["dagster", "dev", *target, "-p", str(port), "-h", host], variables)


def _environment(name: str | None) -> Environment:
    return read_environment({**os.environ, "PHOTO_POPULARITY_ENV": name} if name else None)


def _terminal_width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise InputError(f"--until {text!r} is no day; write it as YYYY-MM-DD") from error


def main() -> None:
    """Run the command line; bad input ends it with one sentence and status 2."""
    # preview and beta notices of Dagster's are for us, who pin its version and test what we lean on
    warnings.filterwarnings("ignore", module="dagster|partitions|photo_popularity|assets")
    try:
        app()
    except InputError as error:
        print(f"photo-popularity: {error}", file=sys.stderr)
        sys.exit(2)
    except SourceUnavailable as error:
        print(f"photo-popularity: {error}", file=sys.stderr)
        sys.exit(1)
