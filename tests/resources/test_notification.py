"""Telling people of a failed run, with a real server at the other end."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from photo_popularity.domain.errors import InputError
from resources.notification import SilentNotifier, WebhookNotifier, build_notifier
from tests.services.webhook import webhook


def test_the_message_arrives_as_json() -> None:
    with webhook(204) as (url, heard):
        build_notifier(url).notify({"text": "run 7 failed: „nein“"})
    [(content_type, body)] = heard
    assert content_type == "application/json"
    assert json.loads(body) == {"text": "run 7 failed: „nein“"}


def test_a_service_that_does_not_take_it_is_an_error_without_the_secret() -> None:
    with webhook(500) as (url, _), pytest.raises(OSError, match="500") as error:
        build_notifier(url).notify({"text": "x"})
    assert "s3cret" not in str(error.value)


def test_a_service_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError, match="refused"):
        build_notifier("http://127.0.0.1:9/hook").notify({"text": "x"})


def test_a_service_that_speaks_no_http_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.sendall(b"220 mail ready\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(OSError, match="no answer in HTTP"):
            WebhookNotifier(f"http://127.0.0.1:{server.getsockname()[1]}/").notify({"text": "x"})


def test_without_a_webhook_nobody_is_told() -> None:
    notifier = build_notifier("")
    assert isinstance(notifier, SilentNotifier)
    notifier.notify({"text": "x"})


def test_an_address_that_is_none_is_told_at_once() -> None:
    with pytest.raises(
        InputError, match=r"setting 'failure_webhook' is no http\(s\) URL; correct it \(it is not shown"
    ):
        build_notifier("file:///etc/passwd")
