"""Every picture file is opened here: as RGB, upright, its transparent parts on white, whatever it is stored as.

- Grey of more than 8 bits is scaled, not cut off: 16 bits by 65535 (12 bits of a TIFF by 4095). Integers of 32 bits are
  taken as they are within 0 to 255 and divided by 257 within 0 to 65535; floats are multiplied by 255 within 0 to 1 and
  taken as they are within 0 to 255. Any other range is stretched, its least value to black, its greatest to white (of
  one value alone, to black).
- Of animations and of files with several pictures, the first is taken.
- EXIF counts for the orientation alone; one that cannot be read is passed over with a warning.
"""

from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms

from mmunlearn.files import RecordError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What is tried, whatever a file is called (MPO is read as JPEG). EPS would be handed to another program."""
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = tuple(_UPRIGHT[turn] for turn in (5, 6, 7, 8))
_BITS, _PHOTOMETRIC = 258, 262  # tags of a TIFF
logger = logging.getLogger(__name__)


def open_picture(source: str | Path | bytes, name: str | Path | None = None) -> Image.Image:
    """The picture of a file, or of a file's bytes, as RGB.

    Args:
        name: what errors call it; the path by default.
    Raises:
        RecordError: it is missing, damaged, empty, larger than Pillow's limit against decompression bombs, or of
            another format than FORMATS; names it.
    """
    name = name or ("a picture" if isinstance(source, bytes) else source)
    Image.init()  # with `formats`, open looks among the decoders that are loaded
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file, formats=FORMATS) as stored:
            deep = any(";16" in str(tile.args) for tile in stored.tile)
            stored.load()
            picture, turn = _rgb(stored, deep=deep), _turn(stored, name)
    except (
        Exception
    ) as error:  # what a decoder raises for hostile bytes is not documented and differs by format
        raise _unreadable(name, error) from error
    return picture if turn is None else picture.transpose(turn)


def picture_size(path: str | Path) -> tuple[int, int]:
    """Width and height of the picture that `open_picture` gives, by its header alone. Raises RecordError likewise."""
    Image.init()
    try:
        with Image.open(path, formats=FORMATS) as stored:
            width, height = stored.size
            turn = _turn(stored, path)
    except Exception as error:  # as above
        raise _unreadable(path, error) from error
    return (height, width) if turn in _LYING else (width, height)


def _unreadable(name: object, error: Exception) -> RecordError:
    return RecordError(
        f"a picture was expected in {name}, but it cannot be read ({error or type(error).__name__}): put an intact "
        f"copy there ({', '.join(FORMATS)}), or take it out of its list"
    )


def _turn(stored: Image.Image, name: object) -> Image.Transpose | None:
    try:
        orientation = stored.getexif().get(ExifTags.Base.Orientation)
    except Exception as error:  # as above: struct.error, TypeError, and others
        logger.warning("%s: its EXIF cannot be read (%s) and is not used", name, error)
        return None
    return _UPRIGHT.get(orientation) if isinstance(orientation, int) else None


def _rgb(stored: Image.Image, *, deep: bool) -> Image.Image:
    """`deep`: the file has 16 bits a channel, of which Pillow keeps the upper 8 of colours."""
    hidden = stored.info.get("transparency")
    if stored.mode in ("I", "F") or stored.mode.startswith("I;16"):
        grey = _grey(stored)
        if isinstance(hidden, int):
            grey.paste(255, mask=Image.fromarray(np.asarray(stored) == hidden))
        return grey.convert("RGB")
    if stored.mode == "LAB":
        spaces = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(stored, *spaces, outputMode="RGB")
    if not stored.has_transparency_data:
        return stored.convert("RGB")
    if deep and isinstance(hidden, tuple):
        stored.info["transparency"] = tuple(value >> 8 for value in hidden)
    white = Image.new("RGBA", stored.size, "white")
    white.alpha_composite(stored.convert("RGBA"))
    return white.convert("RGB")


def _grey(stored: Image.Image) -> Image.Image:
    values = np.asarray(stored).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    least, greatest = values.min(), values.max()
    low, high = 0.0, 255.0
    if stored.mode.startswith("I;16"):
        tags = getattr(stored, "tag_v2", {})
        high = 2.0 ** tags.get(_BITS, (16,))[0] - 1
        values = high - values if tags.get(_PHOTOMETRIC) == 0 else values
    elif stored.mode == "F" and least >= 0 and greatest <= 1:
        high = 1.0
    elif stored.mode == "I" and least >= 0 and 255 < greatest <= 65535:
        high = 65535.0
    elif least < 0 or greatest > 255:
        low, high = least, greatest
    return Image.fromarray(
        np.rint((values - low) * (255 / ((high - low) or 1))).clip(0, 255).astype(np.uint8)
    )
