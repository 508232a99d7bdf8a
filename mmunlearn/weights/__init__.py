"""Trained weights that presets use: what they are, where they lie, and whether they are still the same.

`mmunlearn.weights.fetch` brings them; it alone needs the hub's client and torch.
"""

from mmunlearn.weights.entries import Entry, entry, known
from mmunlearn.weights.errors import WeightsError
from mmunlearn.weights.lock import fingerprint

__all__ = ["Entry", "WeightsError", "entry", "fingerprint", "known"]
