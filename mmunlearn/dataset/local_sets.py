"""Whether the folders of `dataset.files` hold what the reference sets need: lists are read, pictures only looked for.

Imported when the workflow is parsed: nothing heavy here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmunlearn.dataset.pope_files import choose_pictures, pope_file, read_pope
from mmunlearn.dataset.real_people import MANIFEST, choose_people, read_people
from mmunlearn.files import PICTURES, RecordError
from mmunlearn.records import POPE_SUBSETS

HOW = {
    "people": "pictures of public figures with a manifest.csv (columns file,name), such as MIKE's (arXiv 2402.14835; "
    "its licence is not known to us, and each picture has its own)",
    "events": "pictures or Parquet of LAION rows, as img2dataset fetches them (LAION's lists: CC BY 4.0; each picture "
    "is under its owner's terms)",
    "pope": "the three files of output/coco/ in github.com/AoiDragon/POPE (MIT)",
    "coco": "images.cocodataset.org/zips/val2014.zip, 6 GB (annotations CC BY 4.0; each picture is under Flickr's "
    "terms)",
}
"""Key of `dataset.files` -> what lies there, where it comes from, and under which licence."""


def problems(files: Mapping[str, str], n_real: int, n_world: int) -> Iterator[tuple[tuple[str, ...], str]]:
    """What folders that are there lack: keys of `dataset.files`, and what was found.

    Args:
        files: keys people, events, pope and coco -> paths. Of lists and folders that are not there nothing is said.
        n_real, n_world: pictures that are asked for.
    """
    people, events, pope, coco = (Path(files[key]) for key in HOW)
    lists = [pope / pope_file(subset) for subset in POPE_SUBSETS]
    checks = {
        ("people",): ([people / MANIFEST], lambda: choose_people(read_people(people), n_real, seed=0)),
        ("events",): ([events], lambda: check_pool(events)),
        ("pope", "coco"): ([*lists, coco], lambda: choose_pictures(read_pope(pope, coco), n_world, seed=0)),
    }
    for keys, (needed, look) in checks.items():
        if not all(one.exists() for one in needed):
            continue
        try:
            look()
        except (RecordError, OSError) as error:
            yield keys, str(error)


def check_pool(path: Path) -> None:
    """See that a file or a folder has a picture or a Parquet file by its name; the first one is enough.

    Raises:
        RecordError: it has none.
    """
    packed = False
    names = [path.name] if path.is_file() else (name for _, _, found in os.walk(path) for name in found)
    for name in names:
        suffix = Path(name).suffix.lower()
        if suffix == ".parquet" or (suffix in PICTURES and path.is_dir()):
            return
        packed = packed or suffix == ".tar"
    raise RecordError(
        f"Asked dataset.files.events for pictures or Parquet files. Found none in {path}"
        f"{', only .tar files: unpack them' if packed else ''}. Put some there, or correct the path."
    )
