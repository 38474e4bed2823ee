"""The salt that turns client addresses into hashes which tell visitors apart without telling who they are."""

from __future__ import annotations

import hashlib

from photo_popularity.domain.errors import InputError
from resources.environment import Environment
from resources.settings import Settings


class VisitorSalt:
    """The salt and its version; partials of one day must all be made with one version.

    Raises InputError in production while it has the salt that everybody can read here.
    """

    def __init__(self, environment: Environment) -> None:
        settings = environment.settings
        if environment.name == "production" and settings.visitor_salt == Settings().visitor_salt:
            raise InputError(
                "production has no salt of its own, so anybody could reverse the hashes of its visitors; set "
                "PHOTO_POPULARITY_VISITOR_SALT to a secret, the same for staging"
            )
        self.value = settings.visitor_salt
        # the digest moves with the salt and does not reveal it
        self.public_version = (
            f"{settings.visitor_salt_version}-{hashlib.sha256(self.value.encode()).hexdigest()[:8]}"
        )
