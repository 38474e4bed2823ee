"""One container as a process of this machine, with its log."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from tests.services.kubernetes_api.objects import CONFIG_MAPS, SECRETS, Object, Resource
from tests.services.kubernetes_api.store import Store

REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")


class ConfigurationError(Exception):
    """Why the kubelet cannot make a container: something that it refers to is not there."""


class Container:
    """A started process; what it prints is kept, each line with its time."""

    def __init__(self, command: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self.lines: list[tuple[datetime, bytes]] = []
        self.process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """All that it has printed."""
        return b"".join(line for _, line in list(self.lines)).decode(errors="replace")

    def exit_code(self) -> int | None:
        """How it ended, as a container runtime says it, or None while it runs."""
        code = self.process.poll()
        return code if code is None or code >= 0 else 128 - code

    def terminate(self) -> None:
        """Ask the first process to end."""
        if self.process.poll() is None:
            self.process.terminate()

    def kill(self) -> None:
        """Kill all that runs in it: with its first process, a container ends."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def finish(self) -> None:
        """Leave nothing behind, and take the last lines."""
        self.kill()
        self.process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((datetime.now(UTC), line))


def command_of(spec: Object, environment: Mapping[str, str]) -> list[str]:
    """The container's command and arguments with `$(NAME)` expanded."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else environment.get(found[1], found[0])

    words = [*(spec.get("command") or []), *(spec.get("args") or [])]
    return [REFERENCE.sub(value, word) for word in words]


def variables_of(store: Store, pod: Object, spec: Object) -> dict[str, str]:
    """The container's environment: whole ConfigMaps and Secrets first, then single variables."""
    namespace = pod["metadata"]["namespace"]
    variables: dict[str, str] = {}
    for source in spec.get("envFrom") or []:
        for key, resource in (("configMapRef", CONFIG_MAPS), ("secretRef", SECRETS)):
            if reference := source.get(key):
                data = data_of(store, resource, namespace, reference) or {}
                variables |= {source.get("prefix", "") + name: text for name, text in data.items()}
    for entry in spec.get("env") or []:
        source = entry.get("valueFrom")
        text = entry.get("value", "") if not source else value_from(store, pod, source)
        if text is not None:
            variables[entry["name"]] = REFERENCE.sub(
                lambda found: "$" if found[0] == "$$" else variables.get(found[1], found[0]), text
            )
    return variables


def value_from(store: Store, pod: Object, source: Object) -> str | None:
    """The value that a variable takes from elsewhere; None if it may be missing and is."""
    for key, resource in (("secretKeyRef", SECRETS), ("configMapKeyRef", CONFIG_MAPS)):
        if reference := source.get(key):
            namespace = pod["metadata"]["namespace"]
            data = data_of(store, resource, namespace, reference)
            if data is None:
                return None
            if reference["key"] not in data and not reference.get("optional"):
                place = f"{resource.kind} {namespace}/{reference['name']}"
                raise ConfigurationError(f"couldn't find key {reference['key']} in {place}")
            return data.get(reference["key"])
    if reference := source.get("fieldRef"):
        found = pod
        for name in reference["fieldPath"].split("."):
            found = found[name]
        return str(found)
    raise ConfigurationError(f"the test's kubelet does not know the source {sorted(source)}")


def data_of(store: Store, resource: Resource, namespace: str, reference: Object) -> dict[str, str] | None:
    """What a ConfigMap or a Secret holds, as text; None if it may be missing and is."""
    item = store.find(resource, namespace, reference["name"])
    if item is None:
        if reference.get("optional"):
            return None
        raise ConfigurationError(f'{resource.kind.lower()} "{reference["name"]}" not found')
    if resource == CONFIG_MAPS:
        return dict(item.get("data") or {})
    coded = {name: base64.b64decode(text).decode() for name, text in (item.get("data") or {}).items()}
    return coded | (item.get("stringData") or {})
