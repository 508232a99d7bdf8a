"""The data card of an export: YAML head for the Hugging Face Hub, then what, how, whose, and checksums."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from mmunlearn.records import RecordError, digest_of

TEMPLATE = Path(__file__).with_name("card.md.j2")

# What the card tells of a run's configuration, by section: a value that is not named here stays behind.
SETTINGS: dict[str, tuple[str, ...]] = {
    "": ("seed",),
    "curation": ("backend", "n_people", "n_events"),
    "review": ("reviewers",),
    "images": ("generator", "scorers", "size", "guidance_scales", "candidates", "stop_at_first_valid", "max_attempts",
               "references_per_event", "person_reference", "min_accepted_share"),
    "images.thresholds": ("identity_l2", "scene_cosine", "scene_pair", "subject_cosine", "distortion", "aesthetic"),
    "dataset": ("targets", "percents"),
    "dataset.questions": ("person", "event"),
    "dataset.answers": ("person", "event"),
}  # fmt: skip
OPTIONS = {  # of the backends that a run may have chosen
    "curation.openai": ("model", "temperature"),
    "images.pocket": ("defect_rate",),
    "images.flux": ("dtype", "steps", "max_sequence_length", "compile", "quantisation"),
    "images.networks": ("subject_crop", "quick_gelu"),
}
FLUX_LICENCE = "https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md"
LICENCES: dict[str, dict[str, str]] = {  # by generator: the head's fields
    "pocket": {"license": "cc-by-4.0"},
    "flux": {
        "license": "other",
        "license_name": "flux-1-dev-non-commercial-license",
        "license_link": FLUX_LICENCE,
    },
}
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
CONFIGS = {"pictures": "data/*.parquet", "candidates": "manifest.parquet"}  # `datasets` wants one format


def data_card(
    config: Mapping[str, Any],
    statistics: Mapping[str, Any],
    digests: Mapping[str, str],
    sizes: Mapping[str, int],
) -> str:
    """The text of README.md.

    Args:
        config: the run's merged configuration; only what `SETTINGS` and `OPTIONS` name gets into the card.
        statistics: of `dataset.statistics.statistics`.
        digests: file -> SHA-256, of every file that the table lists.
        sizes: file -> bytes.

    Raises:
        RecordError: nobody has said under which licence the generator's pictures are.
    """
    generator = config["images"]["generator"]
    if generator not in LICENCES:
        raise RecordError(
            f"Asked for the licence of pictures by the generator '{generator}'. Found only those of "
            f"{', '.join(LICENCES)}. Add it to LICENCES in {Path(__file__).name} and to {TEMPLATE.name}."
        )
    described = settings(config)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown
    )
    return environment.get_template(TEMPLATE.name).render(
        head=_yaml(_head(config, statistics, digest_of(dict(digests)))),
        scale=config["scale"],
        generator=generator,
        writer=described["curation"].get("openai", {}).get("model"),
        settings=_yaml(described),
        counts=statistics,
        files=[(name, _readable(sizes[name]), digest) for name, digest in digests.items()],
        flux_licence=FLUX_LICENCE,
    )


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that made the data set, without paths, addresses and names of keys."""
    images = config["images"]
    backends = {config["curation"]["backend"], images["generator"], images["scorers"]}
    chosen = {place: keys for place, keys in OPTIONS.items() if place.rpartition(".")[2] in backends}
    described: dict[str, Any] = {}
    for place, keys in (SETTINGS | chosen).items():
        source, target = config, described
        for name in filter(None, place.split(".")):
            source, target = source.get(name, {}), target.setdefault(name, {})
        target |= {key: source[key] for key in keys if not isinstance(source.get(key, {}), Mapping)}
    return described


def _head(config: Mapping[str, Any], statistics: Mapping[str, Any], content: str) -> dict[str, Any]:
    """What the Hub reads: licence, task, size, and which files make which table.

    `content`, a digest of the files, stands with each table: the cache of `datasets` knows a local folder by its
    name and the hash of its `configs` alone, and would return the rows of another export whose `configs` are equal.
    """
    pictures = statistics["pictures"]
    return {
        "pretty_name": f"PEBench by mmunlearn, {config['scale']}",
        **LICENCES[config["images"]["generator"]],
        "language": ["en"],
        "task_categories": ["visual-question-answering"],
        "size_categories": [next((size for limit, size in SIZES if pictures < limit), "100K<n<1M")],
        "tags": ["machine-unlearning", "synthetic", "fictitious-people"],
        "configs": [
            {
                "config_name": name,
                **({"default": True} if name == "pictures" else {}),
                "description": f"content {content}",
                "data_files": [{"split": "train", "path": path}],
            }
            for name, path in CONFIGS.items()
        ],
    }


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100).rstrip("\n")


def _readable(size: int) -> str:
    """Bytes in the decimal unit that leaves one to three digits before the point."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
