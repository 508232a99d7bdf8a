"""What the pocket generator can draw, for those who check people and events; nothing here needs its packages."""

from __future__ import annotations

from mmunlearn.curation.fields import Drawings
from mmunlearn.pocket import identities, scenes
from mmunlearn.records import Event, Person


class PocketDrawings(Drawings):
    """Identities of `identities.ATTRIBUTES` and scenes of `scenes.CHOICES`."""

    def problem(self, row: Person | Event) -> str | None:
        """All that is wrong with the person's `identity` or the event's `scene`."""
        if isinstance(row, Person):
            field, found = "identity", identities.problems(row.identity)
        else:
            field, found = "scene", scenes.problems(row.scene)
        return "; ".join(f"{field}: {problem}" for problem in found) or None
