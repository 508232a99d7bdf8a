"""The pictures that the Real set's events are retrieved from: a folder of images, or Parquet files of LAION rows.

A folder is searched with all folders below it; a text file of an image's stem is its caption, or else the `caption` of
its JSON file. A Parquet file has its pictures in a column `jpg` or `image` (bytes, or {bytes, path} as Hugging Face
datasets store them) or as a column `path`, relative to the file; captions are in `caption` or `TEXT`.

So two layouts of img2dataset are read: `parquet`, and `files`, whose Parquet files hold no pictures (but a column
`key`) and lie beside folders of the pictures that they list. Its third, `webdataset`, has to be unpacked.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mmunlearn.dataset.pictures import EncodedPicture
from mmunlearn.files import PICTURES, RecordError, inside, read_text

if TYPE_CHECKING:
    import pyarrow.parquet as pq

BLOCK = 512  # pictures that are read, embedded and cached together
IMAGE_COLUMNS = ("jpg", "image", "path")
CAPTION_COLUMNS = ("caption", "TEXT")
KEY = "key"  # of img2dataset's tables: the stem of the row's picture
logger = logging.getLogger(__name__)


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
        RecordError: nothing is there, a file is no Parquet file with pictures, or a picture is a link out of the
            folder.
    """
    if path.is_file() and path.suffix.lower() == ".parquet":
        tables, top, images_in = [path], path.parent, path.with_suffix("")
    elif path.is_dir():
        tables, top, images_in = sorted(_below(path, {".parquet"})), path, path
    else:
        raise RecordError(
            f"dataset.files.events should be a folder of images or a .parquet file, {path} is neither: "
            f"put the pictures there or correct the path"
        )
    filled = [table for table in tables if not _lists_files(table)]
    parts: list[PoolPart] = [ParquetPart(table, top) for table in filled]
    if len(filled) < len(tables) or not tables:
        images = sorted(_below(images_in, PICTURES))
        if not images:
            packed = " (unpack its .tar files)" if any(images_in.rglob("*.tar")) else ""
            raise RecordError(
                f"dataset.files.events should hold images or Parquet files, {images_in} holds neither: put some there"
                f"{packed}"
            )
        parts.append(FolderPart(images_in, images))
    return parts


def _below(folder: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """The files of a folder and all below it. Raises RecordError for a link out of it."""
    for one in folder.rglob("*"):
        if one.suffix.lower() in suffixes and one.is_file():
            if one.is_symlink():
                inside(folder, one.relative_to(folder).as_posix(), f"{folder} (dataset.files.events)")
            yield one


def _lists_files(table: Path) -> bool:
    """Whether a Parquet file holds no pictures but is about files, as img2dataset's: its folder lies beside it."""
    with open_parquet(table) as rows:
        columns = rows.schema_arrow.names
    return not set(IMAGE_COLUMNS) & set(columns) and (KEY in columns or table.with_suffix("").is_dir())


def open_parquet(path: Path) -> pq.ParquetFile:
    """Raises RecordError where it is none."""
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise RecordError(
            f"{path} is not a Parquet file ({error}): fetch it again, or put it elsewhere"
        ) from error


class FolderPart:
    """The images of a folder."""

    def __init__(self, folder: Path, images: Sequence[Path]) -> None:
        self.name, self._folder, self._images = folder.as_posix(), folder, images

    def __len__(self) -> int:
        return len(self._images)

    def stamp(self) -> list[Any]:
        texts = [text for image in self._images if (text := self._text_of(image)) is not None]
        return [_stamp(path) for path in (*self._images, *texts)]

    def blocks(self) -> Iterator[list[PoolPicture]]:
        for start in range(0, len(self._images), BLOCK):
            yield [self._picture(path) for path in self._images[start : start + BLOCK]]

    def _picture(self, path: Path) -> PoolPicture:
        source = path.relative_to(self._folder).as_posix()
        return PoolPicture(source, _caption(self._text_of(path)), EncodedPicture(path.as_posix(), path))

    def _text_of(self, image: Path) -> Path | None:
        """The file beside an image that holds its caption, if any. RecordError for a link out of the folder."""
        texts = (image.with_suffix(suffix) for suffix in (".txt", ".json"))
        text = next((text for text in texts if text.is_file()), None)
        if text is not None and text.is_symlink():
            inside(self._folder, text.relative_to(self._folder).as_posix(), self.name)
        return text


class ParquetPart:
    """The rows of a Parquet file."""

    def __init__(self, path: Path, folder: Path) -> None:
        """`folder`: what sources are relative to."""
        self.name, self._path = path.as_posix(), path
        self._source = path.relative_to(folder).as_posix()
        with open_parquet(self._path) as table:
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
            with open_parquet(self._path) as table:
                named = table.read(columns=["path"]).column("path").to_pylist()
            files = [
                self._file(row, name) for row, name in enumerate(named) if isinstance(name, str) and name
            ]
            stamps += [_stamp(file) for file in files if file.is_file()]
        return stamps

    def blocks(self) -> Iterator[list[PoolPicture]]:
        columns = [name for name in (self._image, self._caption) if name]
        number = 0
        with open_parquet(self._path) as table:
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

    def _file(self, number: int, name: str) -> Path:
        return inside(self._path.parent, name, f"{self._path.as_posix()}, row {number}")

    def _picture(self, number: int, row: dict[str, Any]) -> PoolPicture:
        name, value = f"{self._path.as_posix()}, row {number}", row[self._image]
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if not isinstance(value, bytes | str | None):
            raise RecordError(
                f"{name}: column {self._image} should hold bytes or {{bytes, path}}, "
                f"found {type(value).__name__}: store the encoded pictures"
            )
        data = self._file(number, value) if isinstance(value, str) and value else value
        caption = _tidy(row[self._caption] or "") if self._caption else ""
        if isinstance(data, Path):
            name = f"{data.as_posix()} ({name})"
        return PoolPicture(f"{self._source}#{number}", caption, EncodedPicture(name, data) if data else None)


def _stamp(path: Path) -> list[Any]:
    status = path.stat()
    return [path.as_posix(), status.st_size, status.st_mtime_ns]


def _caption(text: Path | None) -> str:
    """Empty where there is none, or none that can be read: the picture is still one of the pool."""
    if text is None:
        return ""
    try:
        content = read_text(text)
        if text.suffix == ".json":
            row = json.loads(content)
            content = row.get("caption") if isinstance(row, dict) else None
        return _tidy(content) if isinstance(content, str) else ""
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("without its caption: %s", error)
        return ""


def _tidy(caption: str) -> str:
    return " ".join(caption.split())
