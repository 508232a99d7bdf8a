"""Templates of answers: text with `{field}` where a person or an event differs from the others. Nothing heavy here."""

from __future__ import annotations

from collections.abc import Collection
from string import Formatter

from mmunlearn.records import Record
from mmunlearn.text import nearest


def template_problem(
    template: str, record: type[Record], needed: str, *, only: Collection[str] | None = None
) -> str | None:
    """What is wrong with a template, or None.

    Args:
        record: whose fields of one value, text or number, it may name.
        needed: the field that tells records apart; without it all answers are one.
        only: the fields that it may name, where these are fewer.
    """
    fields = only or [
        name
        for name, field in record.model_fields.items()
        if field.annotation in (str, int, float, int | None)
    ]
    try:
        parts = [part[1:] for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        return (
            f"'{template}' is no template ({error}); write a brace that is meant as such twice, {{{{ or }}}}"
        )
    for name, form, conversion in parts:
        if name not in fields:
            return f"no field '{name}'; {nearest(name, fields)}"
        if form or conversion:
            return f"a field stands alone in its braces; write {{{name}}}"
    if needed not in {name for name, _, _ in parts}:
        return (
            f"'{template}' has no field {{{needed}}}, so all answers would be one; add it, in single braces"
        )
    return None
