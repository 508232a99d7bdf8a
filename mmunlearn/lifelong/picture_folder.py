"""Where the pictures of a release lie: in a folder of the user's, with or without the released first folder.

Imported when the workflow is parsed: nothing heavy here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

from mmunlearn.files import RecordError, inside
from mmunlearn.lifelong.released import read_released

NAMED = 5  # missing pictures in a message


class Missing(NamedTuple):
    """Pictures that a release names and a folder lacks, `of` how many, and entities (<Class>/<Entity>) without any."""

    pictures: list[str]
    of: int
    entities: list[str]

    @property
    def found(self) -> int:
        """How many are there."""
        return self.of - len(self.pictures)

    def problem(self, folder: Path, keep_available: bool) -> str | None:
        """What was asked, what was found, what to do; None where those that are there are enough."""
        if not self.found:
            return (
                f"Asked for the pictures that the tasks name, as <Class>/<Entity>/<file>. Found that none of the "
                f"{self.of:,} pictures is in {folder}; the first is {self.pictures[0]}. Put them there, or correct "
                f"lifelong.files.pictures."
            )
        if not self.pictures or keep_available:
            return None
        empty = f"; no picture at all of {_some(self.entities)}" if self.entities else ""
        return (
            f"Asked {folder} for the {self.of} pictures that the tasks name, as <Class>/<Entity>/<file>. Found "
            f"{self.found} of them; missing are {_some(self.pictures)}{empty}. Put them there, or "
            f"set lifelong.keep_available: true to go on with the questions whose picture is there."
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def missing_pictures(source: Path, pictures: Path, tasks: Sequence[str]) -> Missing:
    """What a folder lacks, by names alone. Raises RecordError as of `read_released`, and where there is no folder."""
    folder = PictureFolder(pictures)
    return missing_in(folder, (one.picture for one in read_released(source, tasks).questions))


def missing_in(folder: PictureFolder, pictures: Iterable[str]) -> Missing:
    """Which of the pictures a folder lacks."""
    names = dict.fromkeys(pictures)
    lacking = [_below(name) for name in names if folder.find(name) is None]
    some = {_below(name).rpartition("/")[0] for name in names if folder.find(name) is not None}
    entities = dict.fromkeys(_below(name).rpartition("/")[0] for name in names)
    return Missing(lacking, len(names), [name for name in entities if name not in some])


def _below(picture: str) -> str:
    return picture.partition("/")[2]


class PictureFolder:
    """Finds released pictures below a folder, whichever of Unicode's forms its file system stores names in."""

    def __init__(self, folder: Path) -> None:
        """Raises RecordError where there is no folder."""
        if not folder.is_dir():
            raise RecordError(
                f"Asked for the tasks' pictures in {folder}. Found no folder there. Correct lifelong.files.pictures."
            )
        self._folder = folder
        self._listings: dict[Path, dict[str, str]] = {}

    def find(self, picture: str) -> Path | None:
        """The file of <folder>/<Class>/<Entity>/<file>, of which <folder> may be missing on the disk.

        Raises:
            RecordError: it is a link that leads out of the folder.
        """
        for name in (picture, _below(picture)):
            place = self._folder
            for part in name.split("/"):
                stored = self._names(place).get(part)
                if stored is None:
                    break
                place /= stored
            else:
                return inside(self._folder, place.relative_to(self._folder).as_posix(), str(self._folder))
        return None

    def _names(self, folder: Path) -> dict[str, str]:
        """Names in a folder: in Unicode's form C, and as stored, -> as stored."""
        if folder not in self._listings:
            stored = [one.name for one in folder.iterdir()] if folder.is_dir() else []
            self._listings[folder] = {normalize("NFC", name): name for name in sorted(stored)} | {
                name: name for name in stored
            }
        return self._listings[folder]
