"""Leaf values of what the data rests on: texts, pictures, reference sets and the weights behind them.

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from snakemake.io import ancient

from mmunlearn.endpoint import identity_of
from mmunlearn.ids import shard_id
from mmunlearn.records import digest_of
from mmunlearn.verdicts import confirmed, read_verdicts, rejected, verdict_files
from mmunlearn.weights.entries import entry
from mmunlearn.workflow.errors import decisive
from mmunlearn.workflow.identity import Contents, Param, Recorded

Config = Mapping[str, Any]

NETWORKS = ("face", "scene", "subject", "distortion", "aesthetic")
THRESHOLDS = ("identity_l2", "scene_cosine", "scene_pair", "subject_cosine", "distortion", "aesthetic")
PLACES = ("people", "events", "clip", "pope", "coco")
"""Keys of `dataset.files` that name a file or a folder."""
SET_OPTIONS = {
    "real": ("people", "events", "real_reference", "clip", "quick_gelu"),
    "world": ("pope", "coco"),
    "replay": (),
}
"""What a reference set reads of its backend's section, `dataset.<backend>`: no other set's key rebuilds it."""


@decisive
class DataParams:
    """What the rules up to the data set take of a checked configuration; see `Params`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        receipts = Path("results", config["scale"], "weights")
        self.contents = Contents(receipts, config["weights"]["folder"])

    def resource(self, path: str) -> Param:
        """A file of this repository that a job reads."""
        return lambda wildcards: self.contents.of(f"resources/{path}", Path)

    def verdict_files(self, wildcards: Any) -> list[Recorded]:
        """The reviewers' CSV files."""
        return [self.contents.of(path, Path) for path in verdict_files(self._config["review"]["verdicts"])]

    # pictures and texts

    @cached_property
    def decided(self) -> dict[str, str]:
        """Digests of what the reviewers have decided on texts and on pictures.

        As a param, they make a job run anew when a decision that matters to it changes, where the files themselves
        would rerun everything after each further CSV. Raises RecordError where a file is damaged.
        """
        review = self._config["review"]
        verdicts, reviewers = (
            read_verdicts(map(Path, verdict_files(review["verdicts"]))),
            review["reviewers"],
        )
        refused = {kind: sorted(rejected(verdicts, kind)) for kind in ("person", "event", "picture")}
        agreed = {kind: sorted(confirmed(verdicts, kind, reviewers)) if reviewers else [] for kind in refused}
        texts = [refused["person"], refused["event"], agreed["person"], agreed["event"]]
        decided = {"texts": texts, "rejected": [refused["picture"]], "confirmed": [agreed["picture"]]}
        return {name: digest_of(parts) if any(parts) else "none" for name, parts in decided.items()}

    def curator(self, what: str) -> list[Any]:
        """What decides the texts of `people` or `events`: the file, or the model that writes them."""
        backend = self._config["curation"]["backend"]
        if backend == "files":  # the list of pictures, an input
            return []
        options = self._config["curation"][backend]
        if backend == "shipped":
            return [self.contents.of(options[what])]
        return [identity_of(options["base_url"]), options["model"], options["temperature"]]

    @property
    def pictures(self) -> dict[str, Any]:
        """What shapes a picture and its scores: settings of `synthesis.candidate_store.PictureSettings`."""
        images = self._config["images"]
        return {
            **{key: images[key] for key in ("generator", "scorers", "size", "guidance_scales")},
            "generator_options": self._generator_options(images),
            "scorers_options": self._placed(images[images["scorers"]], "weights", *NETWORKS),
            "seed": self._config["seed"],
        }

    def _generator_options(self, images: Mapping[str, Any]) -> dict[str, Any]:
        if not self._found:
            return self._placed(images[images["generator"]], "source", "weights")
        return {
            "folder": Recorded(images["files"]["folder"], lambda: "which prompts.jsonl has the digests of")
        }

    @property
    def _found(self) -> bool:
        """Whether the pictures are there already."""
        return self._config["images"]["generator"] == "files"

    @property
    def listed_pictures(self) -> str | list[str]:
        """The list of the pictures that are there, as an input; none where pictures are drawn."""
        return "<results>/curation/drafts/pictures.jsonl" if self._found else []

    @property
    def listing_report(self) -> str | list[str]:
        """What that list left out, likewise."""
        return "<results>/curation/drafts/pictures.json" if self._found else []

    def listing(self, wildcards: Any) -> dict[str, Any]:
        """What says who and what the pictures of `images.files` show."""
        options = self._config["images"]["files"]
        table = options["manifest"] and self.contents.of(options["manifest"], Path)
        pictures = self.contents.pictures(options["folder"])
        return {
            "folder": pictures,
            "manifest": table,
            **{key: options[key] for key in ("columns", "pattern")},
        }

    @property
    def attempts(self) -> int:
        """Pictures drawn for a prompt at most."""
        return 1 if self._found else self._config["images"]["max_attempts"]

    @property
    def redraws(self) -> int:
        """Pictures drawn in place of one that is refused afterwards, at most."""
        return 0 if self._found else self._config["images"]["candidates"]

    @property
    def reported(self) -> dict[str, Any]:
        """The limits of filters that refuse nothing, and are only counted."""
        images = self._config["images"]
        return {} if images["filter"] == "enforce" else {"thresholds": self._limits}

    @property
    def _limits(self) -> dict[str, float]:
        return {name: self._config["images"]["thresholds"][name] for name in THRESHOLDS}

    def _placed(self, section: Mapping[str, Any], *places: str) -> dict[str, Any]:
        """Options in which what some keys name counts by its content."""
        return {key: self.contents.of(one) if key in places else one for key, one in section.items()}

    @property
    def sampler(self) -> dict[str, Any]:
        """What shapes candidates, their scores and verdicts: settings of `synthesis.candidates.CandidateSampler`."""
        images = self._config["images"]
        return {
            "pictures": self.pictures,
            "thresholds": None if images["filter"] == "report" else self._limits,
            "person_reference": images["person_reference"],
            "batch": 1 if images["stop_at_first_valid"] or self._found else images["candidates"],
        }

    @property
    def shards(self) -> list[str]:
        """Ids of the blocks of people that a job draws each."""
        blocks = -(-self._config["curation"]["n_people"] // self._config["images"]["people_per_shard"])
        return list(map(shard_id, range(blocks)))

    @property
    def networks(self) -> list[str]:
        """Names of the weights of `picture_weights`."""
        return [Path(receipt).stem for receipt in self.picture_weights]

    @property
    def pilot(self) -> list[Any]:
        """What a pilot takes from the configuration besides: how much there is to draw, and what the plan assumes."""
        images, curation = self._config["images"], self._config["curation"]
        sizes = (
            "people_per_shard",
            "max_attempts",
            "candidates",
            "references_per_event",
            "min_accepted_share",
            "filter",
            "job",
        )
        bootstrap = self._config["evaluation"]["bootstrap"]
        return [
            *(images[key] for key in sizes), curation["n_people"], curation["n_events"], bootstrap, self._config["plan"]
        ]  # fmt: skip

    @property
    def planted_truth(self) -> str | list[str]:
        """Which pictures have planted defects, where the generator plants any."""
        return "<results>/images/truth.jsonl" if self._config["images"]["generator"] == "pocket" else []

    def receipts(self, folders: Iterable[str]) -> list[str]:
        """Receipts of the rule fetch_weights for those of the folders that it fills. It has to have run: what it has
        found counts by the weights themselves."""
        home = Path(self._config["weights"]["folder"])
        names = sorted({Path(folder).name for folder in folders if Path(folder).parent == home})
        return [ancient(f"<results>/weights/{name}.json") for name in names]

    def weights(self, wildcards: Any) -> list[Any]:
        """What decides whether weights are fetched and compared again: their row in resources/weights.yaml, and what
        lies in the user's own folder."""
        source = self._config["weights"]["sources"].get(wildcards.weights)
        pinned = entry(wildcards.weights, self._config["weights"]["revisions"].get(wildcards.weights))
        row = pinned.model_dump(mode="json", exclude={"gigabytes"})
        return [digest_of(row), source and self.contents.of(source)]

    @property
    def picture_weights(self) -> list[str]:
        """Receipts of the weights of the generator and the scorers in use, as inputs of the rules that draw."""
        images = self._config["images"]
        folders = [images["flux"]["source"]] if images["generator"] == "flux" else []
        if images["scorers"] == "networks":
            folders += [images["networks"][name] for name in NETWORKS]
        return self.receipts(folders)

    # reference sets

    def set_options(self, wildcards: Any) -> dict[str, Any]:
        """What a reference set reads of its backend's section."""
        section = self._config["dataset"].get(self._config["dataset"]["reference_sets"], {})
        return self._placed(
            {key: section[key] for key in SET_OPTIONS[wildcards.set] if key in section}, *PLACES
        )

    def set_weights(self, wildcards: Any) -> list[str]:
        """Receipts of the weights that retrieve a reference set's pictures."""
        section = self.set_options(wildcards)
        return self.receipts([section["clip"]]) if "clip" in section else []

    def set_size(self, wildcards: Any) -> int:
        """Pictures of a reference set."""
        return self._config["dataset"][f"n_{wildcards.set}"]
