"""The salt that turns client addresses into hashes which tell visitors apart without telling who they are."""

from __future__ import annotations

import hashlib

from resources.settings import Settings


class VisitorSalt:
    """The salt and its version; partials of one day must all be made with one version."""

    def __init__(self, settings: Settings) -> None:
        self.value = settings.visitor_salt
        self.version = settings.visitor_salt_version

    @property
    def public_version(self) -> str:
        """The version and a digest that moves with the salt and does not reveal it."""
        return f"{self.version}-{hashlib.sha256(self.value.encode()).hexdigest()[:8]}"
