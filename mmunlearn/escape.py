"""Text of others (labels, names, reasons) in what we write: one function a format. HTML is escaped by its templates."""

from __future__ import annotations

import re
import unicodedata

_LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}", '"': "''", "[": "{[}", "]": "{]}",
    "*": "{*}",
}  # fmt: skip
_MARKDOWN = {character: f"\\{character}" for character in "\\`*_[]|~$#!"} | {
    "&": "&amp;",
    "<": "&lt;",
}
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def line(text: str) -> str:
    """The text in one line: runs of white space, line breaks among them, are a blank, control characters go."""
    return "".join(one for one in " ".join(text.split()) if unicodedata.category(one) != "Cc")


def latex(text: str) -> str:
    r"""For running text and tables of LaTeX: no command, no `\\*` or `\\[` at a row's start, no dash of hyphens."""
    return "".join(_LATEX.get(one, one) for one in line(text)).replace("--", "-{}-").replace("--", "-{}-")


def markdown(text: str) -> str:
    """For running text and table cells of Markdown: no mark-up, HTML, table cell or formula."""
    escaped = "".join(_MARKDOWN.get(one, one) for one in line(text))
    return f"\\{escaped}" if escaped[:1] == ">" else escaped


def code(text: str) -> str:
    """A code span of Markdown in a table: whatever it holds is shown as it is."""
    plain = line(text).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", plain)), default=0))
    pad = " " if plain[:1] == "`" or plain[-1:] == "`" else ""
    return f"{fence}{pad}{plain}{pad}{fence}"


def guard(text: str) -> str:
    """A cell of a CSV file: one that a spreadsheet would run as a formula gets an apostrophe; numbers do not.

    A carriage return becomes a line feed, as Python's writer would not quote it.
    """
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{plain}" if _FORMULA.match(plain) and not _NUMBER.fullmatch(plain) else plain


def unguard(cell: str) -> str:
    """The text that `guard` was given."""
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell
