"""Telling people that a run failed: a webhook, and its twin that tells nobody."""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Mapping
from typing import Protocol

from photo_popularity.domain.errors import InputError

TIMEOUT_SECONDS = 10


class Notifier(Protocol):
    """Tells somebody about a failed run."""

    def notify(self, message: Mapping[str, str]) -> None:
        """Deliver the message, or raise OSError without the webhook's address, which is a secret."""
        ...


class SilentNotifier:
    """Tells nobody: for local work and tests."""

    def notify(self, message: Mapping[str, str]) -> None:
        """Do nothing."""


class WebhookNotifier:
    """Posts the message as JSON to a URL, as chat and paging services take it; `text` is the sentence to show."""

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise InputError(
                "setting 'failure_webhook' is no http(s) URL; correct it (it is not shown, for it may hold a secret)"
            )
        self._url = url

    def notify(self, message: Mapping[str, str]) -> None:
        """Post the message; OSError when the service does not take it."""
        request = urllib.request.Request(
            self._url, data=json.dumps(dict(message)).encode(), headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                response.read()
        except http.client.HTTPException as error:
            raise OSError(f"the webhook gave no answer in HTTP ({type(error).__name__})") from error


def build_notifier(webhook: str) -> Notifier:
    """The webhook when one is set, else its silent twin."""
    return WebhookNotifier(webhook) if webhook else SilentNotifier()
