"""One log file a run, which tells what happened without Dagster's database."""

# no postponed annotations here: Dagster compares the annotation of `context` itself
import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

CONFIG = """
python_logs:
  dagster_handler_config:
    handlers:
      run_log:
        class: resources.run_logs.RunLogHandler
        level: INFO
"""


@dg.op
def speak(context: dg.OpExecutionContext) -> None:
    context.log.info("three photos read")
    context.log.debug("not for the file")


@dg.op
def stumble(context: dg.OpExecutionContext) -> None:
    raise ZeroDivisionError("of ours \udcff")


@dg.job(executor_def=dg.in_process_executor)
def good_and_bad() -> None:
    speak()
    stumble()


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("PHOTO_POPULARITY_HOME", str(tmp_path / "home"))
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text(CONFIG)
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as made:
        yield made


def test_a_run_leaves_its_messages_and_the_traceback_of_its_failure(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # times are UTC, wherever the machine stands
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    result = good_and_bad.execute_in_process(instance=instance, raise_on_error=False)
    [file] = (tmp_path / "home" / "run_logs" / "local").iterdir()
    text = file.read_text(encoding="utf-8")
    assert file.name == f"{result.run_id}.log"
    assert re.search(
        r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO speak three photos read$", text, re.MULTILINE
    )
    assert "not for the file" not in text
    assert re.search(r"ERROR stumble .*\n(?:.*\n)*?.*ZeroDivisionError: of ours \\udcff", text)
    assert 'raise ZeroDivisionError("of ours' in text
    assert text.count("Stack Trace") >= 1


def test_a_log_that_cannot_be_written_fails_no_run(
    instance: dg.DagsterInstance, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")

    @dg.job(executor_def=dg.in_process_executor)
    def good() -> None:
        speak()

    assert good.execute_in_process(instance=instance).success
    assert "NotADirectoryError" in capsys.readouterr().err
