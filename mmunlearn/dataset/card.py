"""The data card of an export: YAML head for the Hugging Face Hub, then what, how, whose, and checksums."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from mmunlearn import escape
from mmunlearn.records import RecordError, digest_of

TEMPLATE = Path(__file__).with_name("card.md.j2")

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
    scale: str,
    settings: Mapping[str, Any],
    statistics: Mapping[str, Any],
    digests: Mapping[str, str],
    sizes: Mapping[str, int],
) -> str:
    """The text of README.md.

    Args:
        settings: of the run, by section of its configuration; all of them get into the card.
        statistics: of `dataset.statistics.statistics`.
        digests: file -> SHA-256, of every file that the table lists.
        sizes: file -> bytes.

    Raises:
        RecordError: nobody has said under which licence the generator's pictures are.
    """
    generator = settings["images"]["generator"]
    if generator not in LICENCES:
        raise RecordError(
            f"Asked for the licence of pictures by the generator '{generator}'. Found only those of "
            f"{', '.join(LICENCES)}. Add it to LICENCES in {Path(__file__).name} and to {TEMPLATE.name}."
        )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown
    )
    environment.filters |= {"md": escape.markdown, "code": escape.code}
    written = _yaml(dict(settings))
    return environment.get_template(TEMPLATE.name).render(
        fence="`" * max(3, 1 + max(map(len, re.findall("`+", written)), default=0)),
        head=_yaml(_head(scale, generator, statistics, digest_of(dict(digests)))),
        scale=scale,
        generator=generator,
        writer=settings["curation"].get("openai", {}).get("model"),
        settings=written,
        counts=statistics,
        files=[(name, _readable(sizes[name]), digest) for name, digest in digests.items()],
        flux_licence=FLUX_LICENCE,
    )


def _head(scale: str, generator: str, statistics: Mapping[str, Any], content: str) -> dict[str, Any]:
    """What the Hub reads: licence, task, size, and which files make which table.

    `content`, a digest of the files, stands with each table: the cache of `datasets` knows a local folder by its
    name and the hash of its `configs` alone, and would return the rows of another export whose `configs` are equal.
    """
    pictures = statistics["pictures"]
    return {
        "pretty_name": f"PEBench by mmunlearn, {scale}",
        **LICENCES[generator],
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
