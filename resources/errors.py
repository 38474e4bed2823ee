"""What reading from outside raises, beside bad input."""

from __future__ import annotations


class SourceUnavailable(Exception):
    """A source that cannot be reached now and may be again later: worth a retry."""
