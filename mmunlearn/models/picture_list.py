"""Pictures that a file lists with their checksums: opened one by one, by their image ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mmunlearn.models.feature_file import FeatureTable
from mmunlearn.pictures import open_picture, picture_size
from mmunlearn.records import PictureRow, RecordError, read_jsonl, read_manifest, sha256_of


@dataclass(frozen=True)
class Picture:
    """A picture, the checksum it must have, and the file that says so."""

    path: str
    sha256: str
    listed_in: Path

    def open(self) -> Image.Image:
        """The picture in RGB. Raises RecordError where it is missing, damaged or another than listed."""
        try:
            if sha256_of(self.path) == self.sha256:
                return open_picture(self.path)
            problem = "it is not the one listed"
        except (OSError, RecordError) as error:
            problem = str(error)
        raise self._problem(problem)

    def size(self) -> tuple[int, int]:
        """Width and height, by the file's header alone. Raises RecordError as `open`."""
        try:
            return picture_size(self.path)
        except RecordError as error:
            raise self._problem(str(error)) from error

    def require(self) -> None:
        """Raise RecordError where there is no such file."""
        if not Path(self.path).is_file():
            raise self._problem("there is no such file")

    def _problem(self, problem: str) -> RecordError:
        return RecordError(
            f"picture {self.path} is listed in {self.listed_in}, but {problem}; run the rule that wrote the latter "
            f"again (--forcerun)"
        )


class PictureList(Mapping[str, Picture]):
    """Image id -> picture, of several files: a model that keeps no features takes them in place of a FeatureTable.

    Args:
        paths: images/manifest.parquet (accepted pictures), or JSON lines of rows that name their pictures.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._rows = {
            row.image_id: Picture(row.path, row.sha256, path) for path in paths for row in _rows(path)
        }

    def __getitem__(self, image_id: str) -> Picture:
        return self._rows[image_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def checksums(self) -> list[list[str]]:
        """Image id and SHA-256 of every picture, sorted."""
        return sorted([image_id, one.sha256] for image_id, one in self.items())

    def require(self, image_ids: Iterable[str]) -> None:
        """Refuse a list that lacks a picture or names one that is not there, before a model is loaded: RecordError."""
        for image_id in dict.fromkeys(image_ids):
            if image_id not in self:
                raise RecordError(
                    f"picture {image_id} is asked for, but it is not listed in {', '.join(map(str, self._paths))}; run "
                    f"the rule that wrote that file again (--forcerun)"
                )
            self[image_id].require()


def _rows(path: Path) -> Sequence[PictureRow]:
    if path.suffix == ".parquet":
        return [row for row in read_manifest(path) if row.accepted]
    return read_jsonl(path, PictureRow)


def open_features(*paths: Path) -> FeatureTable | PictureList:
    """What a job is handed of its pictures: files of features, or the lists of pictures that have none.

    Raises:
        WeightsError: a file of features is damaged.
        RecordError: a list is.
    """
    stored = all(path.suffix == ".safetensors" for path in paths)
    return FeatureTable(*paths) if stored else PictureList(*paths)
