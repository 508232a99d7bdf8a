"""The README's picture, from a finished default run: python docs/make_sample.py"""

from pathlib import Path

from PIL import Image

IMAGES, SIDE, GAP = Path("results/pocket/images"), 112, 6
PEOPLE, EVENTS = range(0, 40, 10), (0, 2, 4, 7, 8, 12, 15)


def main() -> None:
    width, height = (len(axis) * (SIDE + GAP) - GAP for axis in (EVENTS, PEOPLE))
    sheet = Image.new("RGB", (width, height), "white")
    for row, person in enumerate(PEOPLE):
        for column, event in enumerate(EVENTS):
            with Image.open(IMAGES / f"p{person:03d}-e{event:02d}.png") as picture:
                tile = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(tile, (column * (SIDE + GAP), row * (SIDE + GAP)))
    sheet.quantize(200).save("docs/pocket.png", optimize=True)


if __name__ == "__main__":
    main()
