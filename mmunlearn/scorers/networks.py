"""The paper's five networks behind the scorers' protocol (PEBench, section III-A)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from mmunlearn.records import digest_of
from mmunlearn.scorers.device import device_of
from mmunlearn.scorers.files import require_files
from mmunlearn.scorers.protocol import Measurements, Scorers
from mmunlearn.weights import WeightsError, fingerprint

if TYPE_CHECKING:
    from mmunlearn.scorers.aesthetic import AestheticScorer
    from mmunlearn.scorers.distortion import DistortionScorer
    from mmunlearn.scorers.face import FaceScorer
    from mmunlearn.scorers.scene import SceneScorer
    from mmunlearn.scorers.subject import SubjectScorer

CODE_VERSION = 1
"""Counts changes of the networks' code that change a score."""

FOLDERS = ("face", "scene", "subject", "distortion", "aesthetic")
"""Options that name a network's folder of weights."""

CHOICES: dict[str, tuple[Any, ...]] = {
    "device": ("auto", "cpu", "cuda"),
    "subject_crop": ("person", "face", "none"),
    "quick_gelu": (True, False),
}
"""The other options and their values."""


class Networks(NamedTuple):
    """The five scorers, loaded."""

    face: FaceScorer
    scene: SceneScorer
    subject: SubjectScorer
    distortion: DistortionScorer
    aesthetic: AestheticScorer


class NetworkScorers(Scorers):
    """FaceNet, CLIP, DINO, MUSIQ and LAION's aesthetic head, loaded from local files when first needed.

    A picture is looked at alone. Faces are searched once, for FaceNet and DINO's crop; CLIP's features are
    computed once, for the scene and the aesthetic head.

    Args:
        options: `images.networks` of the config: the folder of each of the five networks, `device` (`auto` is the
            GPU if there is one), `subject_crop` and `quick_gelu`.

    Raises:
        ValueError: an option is missing, unknown or has no such value.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        _check(options)
        self._options = dict(options)

    @cached_property
    def version(self) -> str:
        """Name and digest of this code's version, the weights' fingerprints and the options that change a score.

        Raises:
            WeightsError: a folder of weights is missing.
        """
        settings = {name: self._options[name] for name in CHOICES if name != "device"}
        weights = {name: fingerprint(require_files(self._options[name])) for name in FOLDERS}
        return f"networks-{CODE_VERSION}-{digest_of([CODE_VERSION, settings, weights])}"

    @cached_property
    def networks(self) -> Networks:
        """The five scorers.

        Raises:
            WeightsError: weights are missing, damaged, another network's or do not fit together.
            ImportError: a package of the extra `paper` is missing.
            RuntimeError: a GPU is asked for and there is none.
        """
        return _load(self._options)

    def measure(self, image: Image.Image) -> Measurements:
        """What the five measure in an RGB picture. Raises as `networks` does, on the first call."""
        networks = self.networks
        import torch

        image = image.convert("RGB")
        # One way to compute: TF32 and cuDNN's choice by speed would make a score depend on the GPU and the moment.
        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        with torch.inference_mode(), exact:
            boxes = networks.face.detect(image)
            scene = networks.scene.embed_images([image])
            return Measurements(
                faces=len(boxes),
                face=networks.face.embed(image, boxes),
                scene=scene[0],
                subject=networks.subject.embed(image, boxes),
                distortion=networks.distortion.rate(image),
                aesthetic=float(networks.aesthetic.rate(scene)[0]),
            )


def _check(options: Mapping[str, Any]) -> None:
    names = (*FOLDERS, *CHOICES)
    if set(options) != set(names):
        raise ValueError(
            f"asked for images.networks with {', '.join(names)}; found {', '.join(options) or 'nothing'}; add "
            f"{sorted(set(names) - set(options))}, remove {sorted(set(options) - set(names))}"
        )
    for name, values in CHOICES.items():
        if options[name] not in values:
            raise ValueError(
                f"images.networks.{name} must be one of {list(values)}; found {options[name]!r}; choose one"
            )


def _load(options: Mapping[str, Any]) -> Networks:
    try:
        from mmunlearn.scorers.aesthetic import AestheticScorer
        from mmunlearn.scorers.distortion import DistortionScorer
        from mmunlearn.scorers.face import FaceScorer
        from mmunlearn.scorers.scene import SceneScorer
        from mmunlearn.scorers.subject import SubjectScorer
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        what = "the extra `paper`: make paper" if missing else "the system library named"
        raise ImportError(f"asked for the paper's scorers; found: {error}; install {what}") from error
    device = device_of(options["device"])
    networks = Networks(
        FaceScorer(options["face"], device),
        SceneScorer(options["scene"], device, options["quick_gelu"]),
        SubjectScorer(options["subject"], device, options["subject_crop"]),
        DistortionScorer(options["distortion"], device),
        AestheticScorer(options["aesthetic"], device),
    )
    if networks.aesthetic.width != networks.scene.width:
        raise WeightsError(
            f"asked for the aesthetic head {Path(options['aesthetic'])} on the CLIP {Path(options['scene'])}; found "
            f"a head for features of {networks.aesthetic.width} numbers and a CLIP that gives "
            f"{networks.scene.width}; name the CLIP that the head was trained on: LAION's is OpenAI's ViT-L/14"
        )
    return networks
