"""What tests ask about a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Collects what a test asks about a page, and whether its tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.without_alt = 0
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.ids += [values["id"]] if values.get("id") else []
        self.addresses += [values[name] for name in ("src", "href") if values.get(name)]
        self.without_alt += tag == "img" and not values.get("alt")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def rows_of(text: str, section: str) -> list[tuple[str, list[str]]]:
    """Heading and cells of the rows of a section's tables, as they read."""
    part = text[text.index(f'<section id="{section}"') :].partition("</section>")[0]
    lines = re.findall(r'<tr[^>]*>\s*<th scope="row">(.*?)</th>(.*?)</tr>', part, flags=re.DOTALL)
    cells = [re.findall(r"<td.*?</td>", line, flags=re.DOTALL) for _, line in lines]
    words = [[" ".join(re.sub(r"<[^>]*>", " ", cell).split()) for cell in row] for row in cells]
    return list(zip((head for head, _ in lines), words, strict=True))
