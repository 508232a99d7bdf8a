"""The data card of an export: YAML head for the Hugging Face Hub, then what, how, whose, and checksums."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from mmunlearn.records import RecordError, digest_of

TEMPLATE = Path(__file__).with_name("card.md.j2")

# What the card tells of a run's configuration: a value that is not named here stays behind.
SETTINGS: dict[str, Any] = {
    "seed": True,
    "curation": dict.fromkeys(("backend", "n_people", "n_events"), True),
    "review": {"reviewers": True},
    "images": {
        **dict.fromkeys(("generator", "scorers", "size", "guidance_scales", "candidates"), True),
        **dict.fromkeys(("stop_at_first_valid", "max_attempts", "references_per_event"), True),
        **dict.fromkeys(("person_reference", "min_accepted_share"), True),
        "thresholds": dict.fromkeys(
            (
                "identity_l2",
                "scene_cosine",
                "scene_pair",
                "subject_cosine",
                "distortion",
                "aesthetic",
            ),
            True,
        ),
    },
    "dataset": {
        **dict.fromkeys(("targets", "percents"), True),
        "questions": {"person": True, "event": True},
        "answers": {"person": True, "event": True},
    },
}
OPTIONS = {  # of the backends that a run has chosen
    "curation": {"openai": ("model", "temperature")},
    "images": {
        "pocket": ("defect_rate",),
        "flux": ("dtype", "steps", "max_sequence_length", "compile", "quantisation"),
        "networks": ("subject_crop", "quick_gelu"),
    },
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
        config: the run's merged configuration; only what `SETTINGS` and `OPTIONS` name is told.
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
    told = settings(config)
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
        writer=told["curation"].get("openai", {}).get("model"),
        settings=_yaml(told),
        counts=statistics,
        files=[(name, _readable(sizes[name]), digest) for name, digest in digests.items()],
        flux_licence=FLUX_LICENCE,
    )


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that made the data set, without paths, addresses and names of keys."""
    told = _chosen(config, SETTINGS)
    for section, options in OPTIONS.items():
        used = {told[section].get(role) for role in ("backend", "generator", "scorers")}
        for name, keys in options.items():
            if name in used and isinstance(config[section].get(name), Mapping):
                told[section][name] = _chosen(config[section][name], dict.fromkeys(keys, True))
    return told


def _chosen(values: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The named keys, in order of the names; where a plain value is wanted, a mapping is none."""
    found = {}
    for name, inner in wanted.items():
        value = values.get(name)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            found[name] = _chosen(value, inner)
        elif inner is True and name in values and not isinstance(value, Mapping):
            found[name] = value
    return found


def _head(config: Mapping[str, Any], statistics: Mapping[str, Any], content: str) -> dict[str, Any]:
    """What the Hub reads: licence, task, size, and which files make which table.

    `content`, a digest of the files, is told with each table: the cache of `datasets` knows a local folder by its
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
