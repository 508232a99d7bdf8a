"""Name accuracy: did an answer say the full name?"""

from __future__ import annotations

import re

from mmunlearn.text import fold


def says_name(answer: str, name: str) -> bool:
    """Whether `answer` holds the full `name` between word boundaries.

    A first or last name alone does not count, nor a name inside another word. Raises ValueError for an empty
    name, which every answer would contain.
    """
    wanted = fold(name)
    if not wanted:
        raise ValueError("the name to look for is empty")
    return re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", fold(answer)) is not None
