"""Who the people are and what the events speak of, as in Figure 4 of PEBench."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmunlearn.curation.attributes import AGE_BANDS, categories, continents
from mmunlearn.dataset.statistics import AGE_BIN, by_age, by_group, falling, known
from mmunlearn.records import Event, Person, RecordError, read_jsonl
from mmunlearn.reporting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

CATEGORIES, CONTINENTS = 17, 8  # bars that have room: one continent more than there is, for `other`
BLUE = "#004488"
GENDERS = (
    ("#EECC66", ""),
    ("#994455", "////"),
    ("#6699CC", "...."),
    ("#BBBBBB", "xxxx"),
)  # the rest's is the last
INKS = (BLUE, "#994455", "#775C00")  # of words: at least 6 to 1 against white
SMALLEST, LARGEST = 8, 34  # letters, points
PIXELS = 4  # of the word cloud's grid, a point
WORDS = 90  # at most
DULL = """
across along among another around behind beneath beside beyond every finally hundred hundreds inside many near one
onto outside past several somebody still together toward towards two three until upon within without
"""


def plot_figure4(people: Path, events: Path, png: Path, pdf: Path) -> None:
    """Plot (a) professions, (b) regions, (c) ages by gender, (d) genders and (e) the words of the events.

    Professions are categories and regions continents where `curation.attributes` knows most of them; otherwise
    they are shown as written, the most frequent ones, with the number of the others below, or by their number
    alone where each comes once; a panel of which nothing is known says so. Ages are in the bands of
    `curation.attributes`, or in decades where these do not hold everybody. The word cloud is of the descriptions: a
    word's size follows its frequency.

    Raises:
        RecordError: a file is not what its name promises, or holds no row.
    """
    persons, scenes = _filled(people, Person), _filled(events, Event)
    genders = falling(known(one.gender for one in persons))
    looks = {gender: _look(index) for index, gender in enumerate(sorted(genders))}
    figure = style.new_figure(7.2, 7.1)
    a, b, c, d, e = _panels(figure)
    for axes in (a, b, c):
        axes.set_title(f"n = {len(persons)} people", loc="right", fontsize=SMALLEST)
    e.set_title(f"n = {len(scenes)} events", loc="right", fontsize=SMALLEST)
    _bars(a, "Profession", by_group(known(one.job for one in persons), categories()), CATEGORIES)
    _bars(b, "Region", by_group(known(one.birthplace for one in persons), continents()), CONTINENTS)
    _ages(c, [one for one in persons if one.age is not None and one.gender], looks)
    _genders(d, genders, looks)
    _words(figure, e, known(scene.description for scene in scenes))
    style.save_figure(figure, png, pdf)


def _panels(figure: Figure) -> list[Axes]:
    """(a) at the left of (b) above (c) and (d), and (e) below them all."""
    figure.get_layout_engine().set(wspace=0.06)
    above, below = figure.subfigures(2, 1, height_ratios=[1.42, 1])
    left, right = above.subfigures(1, 2, width_ratios=[1.1, 1.2])
    upper, lower = right.subfigures(2, 1, height_ratios=[1, 1.15])
    panels = [left.subplots(), upper.subplots()]
    panels += [*lower.subplots(1, 2, width_ratios=[2.1, 1]), below.subplots()]
    for letter, axes in zip("abcde", panels, strict=True):
        axes.set_title(f"({letter})", loc="left", fontweight="bold")
        axes.grid(visible=False)
    return panels


def _filled(path: Path, kind: type) -> list[Any]:
    rows = read_jsonl(path, kind)
    if not rows:
        raise RecordError(f"Asked for Figure 4 of {path}. Found no row. Curate at least one and run again.")
    return rows


def _look(index: int) -> dict[str, Any]:
    """Fill and hatching of a gender; the fifth and later ones share the last look."""
    colour, hatch = GENDERS[min(index, len(GENDERS) - 1)]
    return {"facecolor": colour, "hatch": hatch, "edgecolor": "black", "linewidth": 0.7}


def _bars(axes: Axes, what: str, counts: Mapping[str, int], room: int) -> None:
    """Horizontal bars with their counts, the largest on top; what has no room is a line of text.

    Where more come than have room and each of them once, none deserves a bar: their number is all there is to say.
    """
    axes.set_ylabel(what)
    if not counts:
        _unknown(axes)
        return
    if len(counts) > room and max(counts.values()) == 1:
        _unknown(axes, f"{len(counts)} different ones")
        return
    names, heights = zip(*list(counts.items())[:room], strict=True)
    bars = axes.barh(range(len(names)), heights, height=0.72, color=BLUE)
    axes.bar_label(bars, padding=2.5, fontsize=SMALLEST)
    axes.set_yticks(range(len(names)), [name[:1].upper() + name[1:] for name in names])
    axes.set_xticks([])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, max(heights) * 1.12)
    axes.tick_params(axis="y", length=0)
    axes.spines["bottom"].set_visible(False)
    rest = list(counts.values())[room:]
    if rest:
        each = "1 each" if max(rest) == 1 else f"at most {max(rest)} each"
        axes.set_xlabel(f"and {len(rest)} others, {each}", loc="left")


def _unknown(axes: Axes, text: str = "not known") -> None:
    """A panel that is a line of text."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center")


def _ages(axes: Axes, people: Sequence[Person], looks: Mapping[str, dict[str, Any]]) -> None:
    """People by age band, or by decade; the genders stand on each other."""
    from matplotlib.ticker import MaxNLocator

    if not people:
        axes.set(xlabel="Age in years", ylabel="People")
        _unknown(axes)
        return
    banded = all(any(first <= one.age <= last for first, last in AGE_BANDS) for one in people)
    bins = AGE_BANDS if banded else [(low, low + AGE_BIN - 1) for low in by_age(people)]
    bottom = [0] * len(bins)
    for gender, look in looks.items():
        ages = [one.age for one in people if one.gender == gender]
        heights = [sum(first <= age <= last for age in ages) for first, last in bins]
        axes.bar(range(len(bins)), heights, 0.8 if banded else 1, bottom, label=gender, **look)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    if banded:
        axes.set_xticks(range(len(bins)), [f"{first}\N{EN DASH}{last}" for first, last in bins])
    else:  # at the edges between decades
        edges = [first for first, _ in bins] + [bins[-1][1] + 1]
        axes.set_xticks([place - 0.5 for place in range(len(edges))], [str(edge) for edge in edges])
    axes.set(xlabel=f"Age in years, by {'band' if banded else 'decade'}", ylabel="People")
    axes.set_ylim(0, max(bottom) * 1.22)  # room for the legend
    axes.grid(visible=True, axis="y")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.legend(loc="upper right", ncols=len(looks), borderaxespad=0, handlelength=1.6, columnspacing=1.2)


def _genders(axes: Axes, counts: Mapping[str, int], looks: Mapping[str, dict[str, Any]]) -> None:
    axes.set_xlabel("Gender")
    if not counts:
        _unknown(axes)
        return
    for place, (gender, look) in enumerate(looks.items()):
        bar = axes.bar(place, counts[gender], 0.72, **look)
        axes.bar_label(bar, padding=2, fontsize=SMALLEST)
    axes.set_xticks(range(len(looks)), list(looks))
    axes.set_yticks([])
    axes.set_xlim(-0.6, len(looks) - 0.4)
    axes.set_ylim(0, max(counts.values()) * 1.12)
    axes.tick_params(axis="x", length=0)
    axes.spines["left"].set_visible(False)


def _words(figure: Figure, axes: Axes, texts: Sequence[str]) -> None:
    """The word cloud, laid out for the panel's final size and set as text that can be read and searched."""
    from PIL import ImageFont
    from wordcloud import STOPWORDS, WordCloud

    if not texts:
        _unknown(axes)
        return
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    figure.draw_without_rendering()  # settles the size of the panels
    box = axes.get_window_extent()
    width, height = (round(side / figure.dpi * 72 * PIXELS) for side in (box.width, box.height))
    cloud = WordCloud(
        font_path=str(_font()), width=width, height=height, margin=4 * PIXELS, max_words=WORDS, random_state=4,
        min_font_size=SMALLEST * PIXELS, max_font_size=LARGEST * PIXELS, prefer_horizontal=1.0, collocations=False,
        relative_scaling=0.5, min_word_length=3, stopwords=STOPWORDS | set(DULL.split()), color_func=_ink,
    ).generate(" ".join(texts).lower())  # fmt: skip
    axes.set(xlim=(0, width), ylim=(height, 0))
    for (word, _), size, (top, left), _, ink in cloud.layout_:  # top and left of the ink
        offset = ImageFont.truetype(str(_font()), size).getbbox(word, anchor="ls")
        place = (left - offset[0], top - offset[1])
        axes.text(*place, word, size=size / PIXELS, color=ink, va="baseline").set_in_layout(False)
    logger.info("%d words in the cloud", len(cloud.layout_))


def _font() -> Path:
    """The file of the house font that matplotlib brings along: the same on every machine."""
    import matplotlib

    return Path(
        matplotlib.get_data_path(), "fonts", "ttf", f"{style.SETTINGS['font.family']}.ttf".replace(" ", "")
    )


def _ink(*_: Any, random_state: Any, **__: Any) -> str:
    return random_state.choice(INKS)
