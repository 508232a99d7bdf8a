"""The pocket world's picture generator: a stand-in for a diffusion model that errs as often as it is told."""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mmunlearn.pocket import identities, scenes
from mmunlearn.pocket.defects import plan_defect, render_with_defect
from mmunlearn.pocket.identities import Identity
from mmunlearn.pocket.scenes import Scene
from mmunlearn.records import Prompt, RecordError, digest_of
from mmunlearn.synthesis.generate import DrawRequest, Generator

_WRONG_FACE_DISTANCE = 3


class PocketGenerator(Generator):
    """Draws people at events, some of them wrongly."""

    name = "pocket-1"

    def __init__(
        self, prompts: Sequence[Prompt], options: Mapping[str, Any], *, seed: int, work: Path
    ) -> None:
        """Set up a generator over the people and events that a set of prompts draws.

        Args:
            prompts: a wrong face is never one of their people's; a wrong scene is one of their events'.
            options: `defect_rate`, the share of defective pictures at the best guidance scale, 0 to 1.
            seed: decides which attempts go wrong.
            work: stays empty.

        Raises:
            RecordError: a prompt carries no drawing: its people or events were not made for the pocket world.
            ValueError: the defect rate is not between 0 and 1.
        """
        self._defect_rate, self._seed = options["defect_rate"], seed
        if not 0 <= self._defect_rate <= 1:
            raise ValueError(f"the defect rate must be between 0 and 1, not {self._defect_rate}")
        missing = [prompt.image_id for prompt in prompts if prompt.drawing is None]
        if missing:
            raise RecordError(
                f"the pocket generator draws from `identity` and `scene`, but {missing[0]} has none; "
                f"use people and events of resources/pocket, or another generator"
            )
        people = {json.dumps(prompt.drawing["identity"]): prompt.drawing["identity"] for prompt in prompts}
        events = {json.dumps(prompt.drawing["scene"]): prompt.drawing["scene"] for prompt in prompts}
        self._identity_keys = {identities.from_json(row).key for row in people.values()}
        self._scenes = tuple(map(scenes.from_json, events.values()))
        pools = [sorted(map(str, self._identity_keys)), [str(scene.key) for scene in self._scenes]]
        self.version = digest_of([self._defect_rate, seed, pools])

    def draw(self, requests: Sequence[DrawRequest]) -> list[Image.Image]:
        """Draw one RGB image a request, in order; equal requests give equal images."""
        return [self._draw_one(request) for request in requests]

    def _draw_one(self, request: DrawRequest) -> Image.Image:
        identity = identities.from_json(request.drawing["identity"])
        scene = scenes.from_json(request.drawing["scene"])
        text = f"{request.image_id}|{request.attempt}|{request.seed}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        rng = random.Random(f"wrong {seed}")
        defect = plan_defect(
            request.image_id, request.attempt, self._seed, request.guidance_scale, self._defect_rate
        )
        return render_with_defect(
            identity,
            scene,
            self._wrong_face(identity, rng),
            self._wrong_scene(scene, rng),
            seed,
            request.size,
            defect,
        )

    def _wrong_face(self, identity: Identity, rng: random.Random) -> Identity:
        while True:
            other = identities.sample_identity(rng)
            if (
                identities.distance(other, identity) >= _WRONG_FACE_DISTANCE
                and other.key not in self._identity_keys
            ):
                return other

    def _wrong_scene(self, scene: Scene, rng: random.Random) -> Scene:
        others = [other for other in self._scenes if other.key != scene.key]
        return rng.choice(others) if others else _other_than(scene, rng)


def _other_than(scene: Scene, rng: random.Random) -> Scene:
    """Sample a scene of another sky and ground, for a pool of one."""
    while True:
        other = scenes.sample_scene(rng)
        if other.sky != scene.sky and other.ground != scene.ground:
            return other
