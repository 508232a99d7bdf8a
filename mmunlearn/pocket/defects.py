"""Planted defects: the mistakes of a picture generator, made on purpose so that curation has work to do.

Manifest and filters know nothing of them: `write_truth` replays the plan for every drawn candidate.
"""

import hashlib
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from mmunlearn.pocket.identities import Identity
from mmunlearn.pocket.render import compose_person, render_person
from mmunlearn.pocket.scenes import Scene
from mmunlearn.records import DEFECTS, Defect, Truth, read_manifest, write_jsonl

BEST_GUIDANCE = 3.5
"""The guidance scale with the fewest defects."""

_NOISE = 62.0
_BLUR = 0.024


def guidance_factor(guidance_scale: float) -> float:
    """Return how much a guidance scale multiplies the defect rate.

    The factor is ``1 + ((g - 3.5) / 3.5) ** 2``, at most 4: 1 at the best scale, 2 at 0 and at 7.
    """
    return min(1.0 + ((guidance_scale - BEST_GUIDANCE) / BEST_GUIDANCE) ** 2, 4.0)


def plan_defect(image_id: str, attempt: int, seed: int, guidance_scale: float, rate: float) -> Defect | None:
    """Decide whether one attempt at a picture goes wrong, and how.

    The choice is a pure function of the arguments: two numbers from their SHA-256.

    Args:
        image_id: the picture.
        attempt: how many times it was drawn before; a new attempt has new luck.
        seed: the generator's seed.
        guidance_scale: see ``guidance_factor``.
        rate: the share of defects at the best guidance scale, 0 to 1.

    Returns:
        A name of ``DEFECTS``, each equally likely, or None.

    Raises:
        ValueError: the rate is not between 0 and 1.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"the defect rate must be between 0 and 1, not {rate}")
    digest = hashlib.sha256(f"{image_id}|{attempt}|{seed}|{guidance_scale!r}".encode()).digest()
    luck, kind = (int.from_bytes(digest[i : i + 8], "big") for i in (0, 8))
    if luck / 2**64 >= rate * guidance_factor(guidance_scale):
        return None
    return DEFECTS[kind % len(DEFECTS)]


def render_with_defect(
    identity: Identity,
    scene: Scene,
    other_identity: Identity,
    other_scene: Scene,
    seed: int | str,
    size: int,
    defect: Defect | None,
) -> Image.Image:
    """Draw a person at an event with one defect.

    Args:
        identity, scene: what was asked for.
        other_identity, other_scene: what the "identity" and "scene" defects show instead.
        seed: the picture's seed, as for ``render_person``.
        size: side of the RGB image in pixels.
        defect: a name of ``DEFECTS``, or None for a faultless picture.

    Raises:
        ValueError: the defect is unknown.
    """
    if defect is not None and defect not in DEFECTS:
        raise ValueError(f"unknown defect {defect!r}, expected one of {DEFECTS}")
    rng = random.Random(f"defect {seed}")
    shift = (0.0, 0.0)
    if defect == "cutoff":
        shift = _cut(identity, scene, seed, rng)
    image = render_person(
        other_identity if defect == "identity" else identity,
        other_scene if defect == "scene" else scene,
        seed,
        size,
        shift=shift,
    ).image
    if defect == "blur":
        return image.filter(ImageFilter.GaussianBlur(_BLUR * size))
    if defect == "noise":
        return _noisy(image, rng)
    return image


def write_truth(manifest: Path, output: Path, *, seed: int, defect_rate: float) -> None:
    """Write one row a candidate of the manifest, in its order."""
    write_jsonl(
        output,
        [
            Truth(
                image_id=row.image_id,
                attempt=row.attempt,
                defect=plan_defect(row.image_id, row.attempt, seed, row.guidance_scale, defect_rate) or "",
            )
            for row in read_manifest(manifest)
        ],
    )


def _cut(identity: Identity, scene: Scene, seed: int | str, rng: random.Random) -> tuple[float, float]:
    """Return the shift that leaves half of the head outside a side or the bottom of the frame."""
    left, top, right, bottom = compose_person(identity, scene, seed).head_box
    across, down = (left + right) / 2, (top + bottom) / 2
    if rng.random() < 0.3:
        return 0.0, 1 - down
    return (-across, 0.0) if across < 0.5 else (1 - across, 0.0)


def _noisy(image: Image.Image, rng: random.Random) -> Image.Image:
    """Add Gaussian noise of standard deviation ``_NOISE`` (of 255) to every channel."""
    grain = np.random.default_rng(rng.getrandbits(64)).normal(0.0, _NOISE, (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))
