"""A disk that is full, a real one: said with its place and the cure, nothing half left, and a rerun equals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmunlearn.atomic import DiskFullError

ROOT = Path(__file__).resolve().parents[2]
SIZE = 16 * 2**20
"""Bytes of the disk."""
ROOMS = {"pictures": 98_304, "features": 131_072, "checkpoints": 0, "answers": 65_536}
"""Kind -> bytes that are free on it; of checkpoints those that the second one lacks are taken behind the first."""
BEFORE = {
    "pictures": ["a00.png", "a01.png", "a02.png", "sha256.json", "took.json"], "features": [],
    "checkpoints": ["checkpoint-2"], "answers": ["000000.json"],
}  # fmt: skip
"""Kind -> what was finished before the disk was full."""
PLACE = {"pictures": "draws/*/*/*", "checkpoints": "**/checkpoint-*"}
MOUNT = "mount -t tmpfs -o size={size} none {disk} && exec {python} -m {module} {disk} {inputs} {apart}"


@pytest.fixture(scope="module")
def found(finetuned: Path, tmp_path_factory) -> dict[str, dict]:
    """Kind -> what happened to it on a small disk."""
    disk, apart = tmp_path_factory.mktemp("disk"), tmp_path_factory.mktemp("apart")
    command = ["unshare", "--user", "--mount", "--map-root-user", "sh", "-c"]
    try:
        subprocess.run([*command, f"mount -t tmpfs none {disk}"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this machine lets nobody mount a small disk in a namespace of its own: {error}")
    mount = MOUNT.format(
        size=SIZE, python=sys.executable, disk=disk, module=__name__, inputs=finetuned, apart=apart
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, mount], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("kind", ROOMS)
def test_a_full_disk_is_told_leaves_nothing_half_and_a_rerun_equals(found, kind):
    of = found[kind]
    assert of["error"].startswith(f"Asked for room for {of['disk']}/{kind}/")
    assert f"16,777,216 bytes are free on the disk of {of['disk']}/{kind}" in of["error"]
    assert "Free some, then run the same command again" in of["error"]
    assert of["left"] == BEFORE[kind] and of["hidden"] == []
    assert of["again"] == of["undisturbed"]


def pictures(folder: Path, inputs: Path, fill: Callable[[], None]) -> list:
    """Two units of three pictures of some 12 kB."""
    import random

    from PIL import Image

    from mmunlearn.backends import GENERATORS, SCORERS
    from mmunlearn.registry import Entry
    from tests.unit.test_candidate_store import Brush, plain, prompts, store

    def draw(self, unit):
        noise = (random.Random(one.seed).randbytes(64 * 64 * 3) for one in unit)
        return [Image.frombytes("RGB", (64, 64), one) for one in noise]

    Brush.draw = draw
    GENERATORS["brush"], SCORERS["eye"] = (Entry(f"{Brush.__module__}:{name}") for name in ("Brush", "Eye"))
    return [plain(store(folder).get(prompt, range(3))) for prompt in prompts(2)]


def features(folder: Path, inputs: Path, fill: Callable[[], None]) -> str:
    """Eight pictures of 64 kB each."""
    import torch

    from mmunlearn.models.feature_file import write_features
    from mmunlearn.records import atomic_path, sha256_of

    path, ids = folder / "real.safetensors", [f"p{number:03d}" for number in range(8)]
    with atomic_path(path) as temporary:
        write_features(temporary, ((one, {"features": torch.ones(16384) * len(one)}) for one in ids), ids)
    return sha256_of(path)


def checkpoints(folder: Path, inputs: Path, fill: Callable[[], None]) -> list:
    """Six steps, a checkpoint every two."""
    from transformers import TrainerCallback

    from tests.unit.training_fixtures import digest, unlearner

    class Filling(TrainerCallback):
        def on_save(self, *_, **__):
            fill()

    trainer = unlearner(inputs, "ga", folder)
    trainer.add_callback(Filling)
    return [trainer.run(), digest(trainer.model)]


def answers(folder: Path, inputs: Path, fill: Callable[[], None]) -> list:
    """Three batches of 40 kB."""
    from mmunlearn.evaluation.answer_store import AnswerStore

    store = AnswerStore(folder, [["a"], ["b"], ["c"]])
    for number, text in enumerate("abc"):
        if store.get(number) is None:
            store[number] = [text * 40_000]
    return [store.get(number) for number in range(3)]


def main(disk: Path, inputs: Path, apart: Path) -> None:
    """Run on the small disk: each kind when it is full, again when it has room, and where it never was full."""
    found, filler = {}, disk / "filler"

    def fill(room: int = 0) -> None:
        filler.write_bytes(bytes(max(0, os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - room)))

    for kind, room in ROOMS.items():
        make, folder = globals()[kind], disk / kind
        folder.mkdir()
        if room:
            fill(room)
        try:
            make(folder, inputs, fill)
        except DiskFullError as error:
            found[kind] = {"disk": str(disk), "error": str(error)}
        found[kind]["left"] = sorted(path.name for path in folder.glob(PLACE.get(kind, "*")))
        found[kind]["hidden"] = list(map(str, folder.rglob(".*")))
        filler.unlink()
        found[kind]["again"] = make(folder, inputs, lambda: None)
        found[kind]["undisturbed"] = make(apart / kind, inputs, lambda: None)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
