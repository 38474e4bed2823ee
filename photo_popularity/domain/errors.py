"""The one exception that domain code raises for input it cannot work with."""

from __future__ import annotations


class InputError(Exception):
    """Input that will fail again until somebody changes it: never retried.

    The message is one sentence that names the file, line or key, the cause and the next step.
    """
