"""The error of missing or wrong weights."""

from __future__ import annotations

from mmunlearn.records import RecordError


class WeightsError(RecordError):
    """Weights are missing, damaged or other ones; the message says which, what was found, and what to do."""


def brief(error: Exception) -> str:
    """An error's text on one line, 300 characters of it."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:299]}…"
