"""Picture files of others: what is shown of each kind, and what is refused by name."""

from __future__ import annotations

import ast
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import mmunlearn
from mmunlearn.files import RecordError
from mmunlearn.pictures import open_picture

RAMP = np.linspace(0, 1, 256).reshape(16, 16)
GREY = np.rint(RAMP * 255).astype(np.uint8)


def saved(image: Image.Image, form: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def array(values, dtype=None) -> Image.Image:
    return Image.fromarray(np.asarray(values, dtype))


def png(mode: int, depth: int, rows: bytes, size: tuple[int, int], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of colour type `mode`; each row begins with its filter's byte."""
    head = struct.pack(">IIBBBBB", *size, depth, mode, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def tiff_12(first: int, second: int) -> bytes:
    """A TIFF of two grey pixels of 12 bits: three bytes."""
    strip = bytes([first >> 4, (first & 15) << 4 | second >> 8, second & 255])
    tags = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(strip)}
    entries = b"".join(struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, tags[tag]) for tag in tags)
    return (
        struct.pack("<2sHI", b"II", 42, 12)
        + strip
        + b"\0"
        + struct.pack("<H", len(tags))
        + entries
        + b"\0" * 4
    )


DEEP = np.rint(RAMP * 65535)
GREYS = {
    "png, 16 bits": (saved(array(DEEP, np.uint16), "PNG"), GREY),
    "tiff, 16 bits": (saved(array(DEEP, np.uint16), "TIFF"), GREY),
    "tiff, 16 bits, big end first": (saved(array(DEEP, ">u2"), "TIFF"), GREY),
    "tiff, 16 bits, white is zero": (saved(array(DEEP, np.uint16), "TIFF", tiffinfo={262: 0}), 255 - GREY),
    "tiff, 32 bits within 16": (saved(array(DEEP, np.int32), "TIFF"), GREY),
    "tiff, 32 bits within 8": (saved(array(GREY, np.int32), "TIFF"), GREY),
    "tiff, 32 bits": (saved(array(RAMP * 2**30, np.int32), "TIFF"), GREY),
    "tiff, 32 bits below 0": (saved(array(RAMP * 2000 - 1000, np.int32), "TIFF"), GREY),
    "tiff, float to 1": (saved(array(RAMP, np.float32), "TIFF"), GREY),
    "tiff, float to 255": (saved(array(RAMP * 255, np.float32), "TIFF"), GREY),
    "tiff, float below 0": (saved(array(RAMP * 2 - 1, np.float32), "TIFF"), GREY),
    "tiff, float, black": (saved(array(RAMP * 0, np.float32), "TIFF"), GREY * 0),
    "tiff, float, one value below 0": (saved(array(RAMP * 0 - 3, np.float32), "TIFF"), GREY * 0),
    "tiff, 32 bits, one value above 16": (saved(array(RAMP * 0 + 70000, np.int32), "TIFF"), GREY * 0),
    "png, dark 16 bits": (saved(array(DEEP / 257, np.uint16), "PNG"), np.rint(GREY / 257).astype(np.uint8)),
    "tiff, 12 bits": (tiff_12(0, 4095), np.array([[0, 255]], np.uint8)),
    "tiff, 12 bits, half": (tiff_12(1365, 2730), np.array([[85, 170]], np.uint8)),
    "png, 1 bit": (saved(array(RAMP > 0.5), "PNG"), np.where(RAMP > 0.5, 255, 0).astype(np.uint8)),
    "png, 8 bits": (saved(array(GREY), "PNG"), GREY),
}


@pytest.mark.filterwarnings("error:.*encountered in")
@pytest.mark.parametrize("name", GREYS)
def test_grey_of_any_depth_is_scaled(name):
    data, expected = GREYS[name]
    picture = open_picture(data)
    assert picture.mode == "RGB"
    for channel in np.moveaxis(np.asarray(picture), 2, 0):
        assert np.abs(channel.astype(int) - expected).max() <= 1
        assert (channel.min(), channel.max()) == (expected.min(), expected.max())


def hidden_red() -> Image.Image:
    """Left half opaque blue, right half red that is wholly transparent."""
    image = Image.new("RGBA", (4, 2), (0, 0, 255, 255))
    image.paste((255, 0, 0, 0), (2, 0, 4, 2))
    return image


def palette() -> Image.Image:
    image = Image.new("P", (4, 2), 0)
    image.putpalette([0, 0, 255, 255, 0, 0])
    image.paste(1, (2, 0, 4, 2))
    return image


GREY_ROWS = b"\0\0\0\xff\xff" * 2
CLEAR = {
    "png, RGBA": saved(hidden_red(), "PNG"),
    "webp, RGBA": saved(hidden_red(), "WEBP", lossless=True, exact=True),
    "tiff, RGBA": saved(hidden_red(), "TIFF"),
    "png, palette": saved(palette(), "PNG", transparency=1),
    "png, palette of alphas": saved(palette(), "PNG", transparency=b"\xff\0"),
    "gif": saved(palette(), "GIF", transparency=1),
    "png, a colour": saved(hidden_red().convert("RGB"), "PNG", transparency=(255, 0, 0)),
    "png, a colour, 16 wide": saved(
        ImageOps.expand(hidden_red().convert("RGB"), (0, 0, 12, 14), "red"), "PNG", transparency=(255, 0, 0)
    ),
    "png, LA": saved(Image.merge("LA", [Image.new("L", (4, 2), 29), hidden_red().getchannel("A")]), "PNG"),
    "png, a grey": png(0, 8, b"\0\x1d\x1d\x07\x07" * 2, (4, 2), (b"tRNS", b"\0\7")),
    "png, a grey of 16 bits": png(0, 16, b"\0" + b"\x1d\0" * 2 + b"\0\7" * 2, (4, 1), (b"tRNS", b"\0\7")),
    "png, a colour of 16 bits": png(
        2, 16, b"\0" + b"\0\0\0\0\xff\xff" * 2 + b"\x75\x30\0\1\0\2" * 2, (4, 1), (b"tRNS", b"\x75\x30\0\1\0\2"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CLEAR)
def test_transparent_pixels_are_white_whatever_colour_they_hide(name):
    picture = open_picture(CLEAR[name])
    opaque = (29, 29, 29) if "grey" in name or "LA" in name else (0, 0, 255)
    assert [picture.getpixel((x, 0)) for x in (0, 1, 2, 3)] == [opaque] * 2 + [(255, 255, 255)] * 2


def test_half_transparent_pixels_are_mixed_with_white():
    data = saved(Image.new("RGBA", (1, 1), (255, 0, 0, 128)), "PNG")
    assert open_picture(data).getpixel((0, 0)) == (255, 127, 127)


def lab() -> bytes:
    return saved(Image.merge("LAB", [Image.new("L", (2, 2), v) for v in (255, 128, 128)]), "TIFF")


RED = Image.new("RGB", (8, 8), (200, 30, 30))
COLOURS = {
    "jpeg, CMYK": (saved(RED.convert("CMYK"), "JPEG", quality=100), (200, 30, 30)),
    "tiff, CMYK": (saved(RED.convert("CMYK"), "TIFF"), (200, 30, 30)),
    "tiff, YCbCr": (saved(RED.convert("YCbCr"), "TIFF"), (200, 30, 30)),
    "tiff, LAB": (lab(), (255, 255, 255)),
    "png, palette": (saved(RED.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"), (200, 30, 30)),
    "bmp": (saved(RED, "BMP"), (200, 30, 30)),
    "gif, first frame": (
        saved(RED, "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8))]),
        (200, 30, 30),
    ),
    "webp, first frame": (
        saved(RED, "WEBP", save_all=True, append_images=[Image.new("RGB", (8, 8))], lossless=True),
        (200, 30, 30),
    ),
    "png, first frame": (
        saved(RED, "PNG", save_all=True, append_images=[Image.new("RGB", (8, 8))]),
        (200, 30, 30),
    ),
    "mpo, first frame": (
        saved(RED, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))]),
        (200, 30, 30),
    ),
    "tiff, first page": (
        saved(RED, "TIFF", save_all=True, append_images=[Image.new("RGB", (8, 8))]),
        (200, 30, 30),
    ),
}


@pytest.mark.parametrize("name", COLOURS)
def test_other_spaces_and_first_frames(name):
    data, colour = COLOURS[name]
    picture = open_picture(data)
    assert picture.mode == "RGB"
    assert np.abs(np.subtract(picture.getpixel((3, 1) if picture.width > 2 else (0, 0)), colour)).max() <= 3


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "WEBP"])
def test_an_ordinary_picture_is_what_pillow_reads(form):
    data = saved(array(np.random.default_rng(1).integers(0, 256, (9, 7, 3)), np.uint8), form)
    with Image.open(io.BytesIO(data)) as stored:
        assert open_picture(data).tobytes() == stored.convert("RGB").tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_pictures_stand_upright(form, orientation):
    exif, source = Image.Exif(), array(GREY[:6, :9].repeat(3).reshape(6, 9, 3))
    exif[0x0112] = orientation
    data = saved(source, form, exif=exif)
    with Image.open(io.BytesIO(data)) as stored:
        expected = ImageOps.exif_transpose(stored).convert("RGB")
    assert expected.size == ((6, 9), (9, 6))[orientation < 5]
    assert open_picture(data).tobytes() == expected.tobytes()


def odd_exif(*entry) -> bytes:
    """A TIFF header with one entry: tag, type, count and value."""
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHI4s", 1, *entry) + b"\0\0\0\0"


EXIFS = {
    "cut": b"Exif\0\0II*\0\x08\0",
    "no header": b"Exif\0\0xxxxxxxxxxxx",
    "a text": odd_exif(0x0112, 2, 2, b"6\0\0\0"),
    "another number": odd_exif(0x0112, 3, 1, b"\x63\0\0\0"),
    "no number": odd_exif(0x0112, 3, 0, b"\0\0\0\0"),
    "a fraction of zero": odd_exif(0x0112, 5, 1, b"\xff\xff\0\0"),
    "an offset behind the end": odd_exif(0x0112, 3, 9999, b"\xff\xff\xff\0"),
    "a type that there is not": odd_exif(0x0112, 99, 1, b"\6\0\0\0"),
    "a resolution of text": odd_exif(0x011A, 2, 4, b"abc\0"),
    "an IFD of its own": odd_exif(0x8769, 4, 1, b"\x08\0\0\0"),
    "floats for bytes": odd_exif(0x9286, 12, 1, b"\x08\0\0\0"),
}


@pytest.mark.parametrize("name", EXIFS)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_picture_of_odd_exif_is_used_as_it_lies(form, name):
    """Writing it back, as `exif_transpose` does, raises struct.error and TypeError for some of them."""
    picture = open_picture(saved(Image.new("RGB", (6, 4), "white"), form, exif=EXIFS[name]))
    assert (picture.size, picture.getpixel((0, 0))) == ((6, 4), (255, 255, 255))


def test_exif_that_cannot_be_read_is_named(caplog, monkeypatch):
    def fail(self):
        raise struct.error("unpack requires 4 bytes")

    monkeypatch.setattr(Image.Image, "getexif", fail)
    assert open_picture(saved(RED, "PNG"), "pool/7.png").size == (8, 8)
    assert "pool/7.png: its EXIF cannot be read (unpack requires 4 bytes)" in caplog.text


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(%stderr) (w) file (x) writestring\n%%EOF\n"
REFUSED = {
    "eps": EPS,
    "pdf": b"%PDF-1.4\n",
    "ppm": b"P6 2 2 255\n" + bytes(12),
    "text": b"no picture",
    "nothing": b"",
    "html": b"<html>404</html>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "a jpeg that is cut": saved(RED, "JPEG")[:200],
    "a png that is cut": saved(array(GREY), "PNG")[:-40],
    "a png of no pixels": png(2, 8, b"", (0, 0)),
    "a png of no width": png(2, 8, b"\0" * 4, (0, 4)),
    "a png of 100,000 x 100,000": png(2, 8, b"\0" * 4, (100_000, 100_000)),
    "a gif of 60,000 x 60,000": (
        b"GIF89a\x60\xea\x60\xea\x80\0\0" + b"\0" * 6 + b",\0\0\0\0\x60\xea\x60\xea\0\2\2D\1\0;"
    ),
    "a gif of no pixels": b"GIF89a\0\0\0\0\x80\0\0" + b"\0" * 6 + b",\0\0\0\0\0\0\0\0\0\2\2D\1\0;",
    "a png of texts without end": png(
        2, 8, b"\0\0\0\0", (1, 1), (b"zTXt", b"a\0\0" + zlib.compress(bytes(70_000_000)))
    ),
    "floats that are none": saved(array([[np.nan, 1.0]], np.float32), "TIFF"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_is_named(tmp_path, name):
    (tmp_path / "face.png").write_bytes(REFUSED[name])
    with pytest.raises(
        RecordError, match=r"expected in .*face\.png, but it cannot be read \(.+\): put an intact"
    ):
        open_picture(tmp_path / "face.png")


def test_no_other_program_is_started(monkeypatch):
    """Ghostscript would be, for an EPS of whatever name."""
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a program was started"))
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("a program was started"))
    with pytest.raises(RecordError):
        open_picture(EPS)


def test_a_missing_picture_and_a_folder_are_named(tmp_path):
    for path in (tmp_path, tmp_path / "gone.png"):
        with pytest.raises(RecordError, match=f"expected in {path}, but"):
            open_picture(path)


def test_the_library_opens_pictures_in_one_place():
    """`Image.open` elsewhere would try all formats, and clip what is deep or transparent."""
    library = Path(mmunlearn.__file__).parent
    found = [
        path.relative_to(library).as_posix()
        for path in library.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in ("Image.open", "PIL.Image.open", "plt.imread", "image.imread")
    ]
    assert set(found) == {"pictures.py"}
