"""The pictures that the Real set's events are retrieved from: a folder of images, or Parquet files of LAION rows.

A folder is searched with all folders below it; a text file of an image's stem is its caption (the layout that
img2dataset writes). A Parquet file has its pictures in a column `jpg` or `image` (bytes, or {bytes, path} as
Hugging Face datasets store them) or as a column `path`, relative to the file; captions are in `caption` or `TEXT`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mmunlearn.dataset.pictures import SUFFIXES, EncodedPicture
from mmunlearn.records import RecordError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

BLOCK = 512  # pictures that are read, embedded and cached together
IMAGE_COLUMNS = ("jpg", "image", "path")
CAPTION_COLUMNS = ("caption", "TEXT")


@dataclass(frozen=True)
class PoolPicture:
    """A picture to choose from. `source` is its place below the pool; `stored` is None where the row has none."""

    source: str
    caption: str
    stored: EncodedPicture | None


class PoolPart(Protocol):
    """Pictures that are read together: a folder, or one Parquet file."""

    name: str

    def __len__(self) -> int: ...

    def stamp(self) -> list[Any]:
        """Plain data that differs where the pictures do: names, sizes and times of the files."""
        ...

    def blocks(self) -> Iterator[list[PoolPicture]]:
        """All pictures in a fixed order, BLOCK at a time."""
        ...


def open_pool(path: Path) -> list[PoolPart]:
    """The parts of a pool: a Parquet file, the Parquet files of a folder, or else the folder's images.

    Raises:
        RecordError: nothing is there, or a file is no Parquet file with pictures.
    """
    if path.is_file() and path.suffix == ".parquet":
        return [ParquetPart(path, path.parent)]
    if not path.is_dir():
        raise RecordError(
            f"dataset.files.events should be a folder of images or a .parquet file, {path} is neither: "
            f"put the pictures there or correct the path"
        )
    tables = sorted(path.rglob("*.parquet"))
    if tables:
        return [ParquetPart(table, path) for table in tables]
    images = sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())
    if not images:
        raise RecordError(
            f"dataset.files.events should hold images or Parquet files, {path} holds neither: put some there"
        )
    return [FolderPart(path, images)]


class FolderPart:
    """The images of a folder."""

    def __init__(self, folder: Path, images: Sequence[Path]) -> None:
        self.name, self._folder, self._images = folder.as_posix(), folder, images

    def __len__(self) -> int:
        return len(self._images)

    def stamp(self) -> list[Any]:
        texts = [text for image in self._images if (text := image.with_suffix(".txt")).is_file()]
        return [_stamp(path) for path in (*self._images, *texts)]

    def blocks(self) -> Iterator[list[PoolPicture]]:
        for start in range(0, len(self._images), BLOCK):
            yield [self._picture(path) for path in self._images[start : start + BLOCK]]

    def _picture(self, path: Path) -> PoolPicture:
        text = path.with_suffix(".txt")
        caption = _tidy(text.read_text(encoding="utf-8", errors="replace")) if text.is_file() else ""
        source = path.relative_to(self._folder).as_posix()
        return PoolPicture(source, caption, EncodedPicture(path.as_posix(), path))


class ParquetPart:
    """The rows of a Parquet file."""

    def __init__(self, path: Path, folder: Path) -> None:
        """`folder`: what sources are relative to."""
        self.name, self._path = path.as_posix(), path
        self._source = path.relative_to(folder).as_posix()
        with self._open() as table:
            columns, self._count = table.schema_arrow.names, table.metadata.num_rows
        self._image = next((name for name in IMAGE_COLUMNS if name in columns), None)
        self._caption = next((name for name in CAPTION_COLUMNS if name in columns), None)
        if self._image is None:
            raise RecordError(
                f"{path} needs a column {', '.join(IMAGE_COLUMNS)} with pictures, found {', '.join(columns)}: "
                f"rename the column, or store the pictures with the rows"
            )

    def __len__(self) -> int:
        return self._count

    def stamp(self) -> list[Any]:
        stamps = [_stamp(self._path)]
        if self._image == "path":  # the pictures lie beside the file and may change without it
            with self._open() as table:
                named = table.read(columns=["path"]).column("path").to_pylist()
            files = [self._path.parent / name for name in named if isinstance(name, str) and name]
            stamps += [_stamp(file) for file in files if file.is_file()]
        return stamps

    def blocks(self) -> Iterator[list[PoolPicture]]:
        columns = [name for name in (self._image, self._caption) if name]
        number = 0
        with self._open() as table:
            block: list[PoolPicture] = []
            for batch in table.iter_batches(batch_size=BLOCK, columns=columns):
                for row in batch.to_pylist():
                    block.append(self._picture(number, row))
                    number += 1
                    if len(block) == BLOCK:
                        yield block
                        block = []
            if block:
                yield block

    def _open(self) -> pq.ParquetFile:
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self._path)
        except (OSError, ValueError) as error:
            raise RecordError(
                f"{self._path} is not a Parquet file ({error}): fetch it again or remove it"
            ) from error

    def _picture(self, number: int, row: dict[str, Any]) -> PoolPicture:
        name, value = f"{self._path.as_posix()}, row {number}", row[self._image]
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if not isinstance(value, bytes | str | None):
            raise RecordError(
                f"{name}: column {self._image} should hold bytes or {{bytes, path}}, "
                f"found {type(value).__name__}: store the encoded pictures"
            )
        data = self._path.parent / value if isinstance(value, str) and value else value
        caption = _tidy(row[self._caption] or "") if self._caption else ""
        if isinstance(data, Path):
            name = f"{data.as_posix()} ({name})"
        return PoolPicture(f"{self._source}#{number}", caption, EncodedPicture(name, data) if data else None)


def _stamp(path: Path) -> list[Any]:
    status = path.stat()
    return [path.as_posix(), status.st_size, status.st_mtime_ns]


def _tidy(caption: str) -> str:
    return " ".join(caption.split())
