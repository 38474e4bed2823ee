"""Running `photo-popularity` as a person does: in a process of its own, with a home folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class CommandLine:
    """The command line on one home folder."""

    home: Path

    def __call__(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command; variables are set in its environment."""
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("PHOTO_POPULARITY_", "DAGSTER_"))
        }
        return subprocess.run(
            [Path(sys.executable).with_name("photo-popularity"), *arguments],
            env={**inherited, "PHOTO_POPULARITY_HOME": str(self.home), **variables},
            cwd=self.home.parent,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    def query(self, sql: str, **variables: str) -> list[dict[str, Any]]:
        """The rows that answer a query."""
        answer = self("query", sql, "--format", "json", **variables)
        assert answer.returncode == 0, answer.stderr
        rows: list[dict[str, Any]] = json.loads(answer.stdout)
        return rows

    def history(self, *arguments: str, **variables: str) -> list[dict[str, Any]]:
        """Every execution."""
        answer = self("history", *arguments, "--format", "json", **variables)
        assert answer.returncode == 0, answer.stderr
        return [json.loads(line) for line in answer.stdout.splitlines()]
