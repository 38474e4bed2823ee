"""What a pod's containers have printed, as `kubectl logs` asks for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

from tests.services.kubernetes_api.kubelet import Kubelet
from tests.services.kubernetes_api.objects import Object, name_of
from tests.services.kubernetes_api.pod_life import TICK_SECONDS
from tests.services.kubernetes_api.refusals import Refusal
from tests.services.kubernetes_api.requests import Request
from tests.services.kubernetes_api.store import Store


def log_lines(kubelet: Kubelet, store: Store, pod: Object, request: Request) -> Iterator[bytes]:
    """The lines that the request asks for; with `follow`, until the container ends."""
    options = request.options
    name = container_name(pod, options.get("container", ""))
    container = kubelet.containers(pod).get(name)
    if container is None:
        raise Refusal(
            "BadRequest", f'container "{name}" in pod "{name_of(pod)}" is waiting to start: {why(pod, name)}'
        )
    if request.flag("previous"):
        raise Refusal(
            "BadRequest", f'previous terminated container "{name}" in pod "{name_of(pod)}" not found'
        )
    lines = list(container.lines)
    tail = options.get("tailLines")
    sent = len(lines)
    for moment, text in lines if tail is None else lines[max(sent - int(tail), 0) :]:
        yield stamped(moment, text, request)
    yield b""
    while request.flag("follow"):
        ended = container.exit_code() is not None
        for moment, text in container.lines[sent:]:
            sent += 1
            yield stamped(moment, text, request)
        if ended:
            return
        time.sleep(TICK_SECONDS)


def container_name(pod: Object, asked: str) -> str:
    """The container that is meant; one of several must be named."""
    names = [spec["name"] for spec in pod["spec"]["containers"]]
    if not asked and len(names) > 1:
        message = (
            f"a container name must be specified for pod {name_of(pod)}, choose one of: [{' '.join(names)}]"
        )
        raise Refusal("BadRequest", message)
    if asked and asked not in names:
        raise Refusal("BadRequest", f"container {asked} is not valid for pod {name_of(pod)}")
    return asked or names[0]


def why(pod: Object, name: str) -> str:
    """Why a container has not started, as the log's refusal words it."""
    for status in pod["status"].get("containerStatuses", []):
        if status["name"] == name:
            reason: str = status["state"].get("waiting", {}).get("reason", "ContainerCreating")
            if reason in ("ErrImagePull", "ImagePullBackOff"):
                return "trying and failing to pull image"
            return reason
    return "ContainerCreating"


def stamped(moment: datetime, text: bytes, request: Request) -> bytes:
    """A line, with its time if the request wants it."""
    if not request.flag("timestamps"):
        return text
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z ").encode() + text
