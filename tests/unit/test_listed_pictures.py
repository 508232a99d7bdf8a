"""The configuration of pictures that are there: what is refused, and which params follow from them."""

from __future__ import annotations

import re

import pytest
import yaml
from snakemake.utils import update_config

from mmunlearn.workflow.check import OUTPUT_OF, ConfigError, check, outputs_error, prepare
from mmunlearn.workflow.params import Params, relearn_problem
from tests.unit.test_config_schema import ROOT, merged

CONFIG = merged({})
FILES = {
    "curation": {"backend": "files"},
    "images": {"generator": "files", "files": {"folder": "tests", "pattern": "{person}_{event}.jpg"}},
}


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        (
            {"curation": {"backend": "shipped"}},
            "curation.backend: people, events and pictures are of one list",
        ),
        ({"images": {"generator": "flux"}}, "images.generator: people, events and pictures are of one list"),
        ({"images": {"files": {"pattern": None}}}, "images.files: manifest or pattern says who and what"),
        ({"images": {"files": {"manifest": "pyproject.toml"}}}, "images.files: manifest or pattern says who"),
        (
            {
                "images": {
                    "files": {"pattern": None, "manifest": "pyproject.toml", "columns": {"person": "file"}}
                }
            },
            "images.files.columns: 'file' is named twice; a column says one thing",
        ),
        ({"images": {"files": {"pattern": "{name}.jpg"}}}, r"images.files.pattern: '{name}' says nothing"),
        ({"images": {"files": {"pattern": "*.jpg"}}}, r"pattern: '\*\.jpg' must hold {person} or {event}"),
        ({"images": {"files": {"pattern": "{person}/*"}}}, "dataset.targets: .* no event, .*\\['person'\\]"),
        ({"images": {"files": {"pattern": "{event}/*"}}}, "curation.n_people: .* no person, so it must be 1"),
        ({"images": {"files": {"folder": "nowhere"}}}, "images.files.folder: there is no folder 'nowhere'"),
        (
            {"dataset": {"answers": {"person": "{name}, {age}"}}},
            "dataset.answers.person: .* all that is known",
        ),
        ({"outputs": ["robustness"]}, "outputs: robustness needs pictures that no model has seen"),
    ],
)
def test_pictures_that_are_there_are_described_once(overlay, message):
    config = merged(FILES)
    check(config)
    update_config(config, overlay)
    with pytest.raises(ConfigError, match=message):
        check(config)


def test_people_alone_are_asked_after_where_no_event_is_named():
    overlay = {
        "curation": {"n_events": 1},
        "dataset": {"targets": ["person"]},
        "images": {"files": {"pattern": "{person}/*"}},
    }
    config = merged(FILES)
    update_config(config, overlay)
    check(config)
    for output in ("table4", "figures"):
        with pytest.raises(ConfigError, match=f"outputs: {output} forgets people and events"):
            check(config | {"outputs": [output]})


@pytest.mark.parametrize(
    ("pattern", "rules", "said"),
    [
        ("{person}/*", {"make_table4"}, ["outputs: table4 forgets people and events, .* names no event"]),
        ("{person}/*", {"plot_figure10"}, ["outputs: figures forgets people and events, .* names no event"]),
        ("{person}/*", {"draw_unseen", "make_table3"}, ["outputs: robustness needs pictures that no model"]),
        ("{person}/{event}.*", {"export_dataset"}, ["export: a data card names the licence"]),
        ("{person}/{event}.*", {"make_table4"}, ["5% of 4 events: nothing to forget or to retain"]),
        ("{person}/*", {"make_table3", "plot_figure7"}, []),
    ],
)
def test_outputs_that_pictures_cannot_give_are_refused_by_name_too(pattern, rules, said):
    """What stands in `outputs` is refused when the configuration is read, what a run is asked for before its jobs."""
    overlay = {
        "curation": {"n_events": 4 if "event" in pattern else 1},
        "dataset": {"targets": ["person"]},
        "images": {"files": {"pattern": pattern}},
    }
    config = merged(FILES)
    update_config(config, overlay)
    check(config)
    found = str(outputs_error(config, rules) or "").splitlines()[1:]
    assert len(found) == len(said) and all(map(re.search, said, found))
    assert outputs_error(CONFIG, set(OUTPUT_OF)) is None
    config["robustness"]["relearn"]["samples"] = 10_000
    assert relearn_problem(config, "person05") is None, "there is none, so nothing is advised of it"


def test_the_configurations_of_the_page_can_be_run():
    page = (ROOT / "docs" / "your_own_pictures.md").read_text(encoding="utf-8")
    texts = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(texts) == 2
    for text in texts:
        config = merged(yaml.safe_load(text))
        prepare(config)
        config["images"]["files"] |= {"folder": "tests", "manifest": None}
        config["images"]["files"]["pattern"] = config["images"]["files"]["pattern"] or "{person}/{event}.*"
        check(config)


def test_a_table_of_pictures_is_looked_at_before_anything_runs(tmp_path):
    table = tmp_path / "list.csv"
    table.write_text("image,person,event\n")
    config = merged(FILES)
    update_config(
        config, {"images": {"files": {"folder": str(tmp_path), "manifest": str(table), "pattern": None}}}
    )
    with pytest.raises(
        ConfigError, match=r"images\.files\.manifest: .*the columns 'file' .*Found the columns 'image'"
    ):
        check(config)
    config["images"]["files"]["columns"]["file"] = "image"
    check(config)


def test_pictures_that_are_there_have_one_attempt_and_no_other():
    params, drawn = Params(merged(FILES)), Params(CONFIG)
    assert (params.attempts, params.redraws, params.sampler["batch"]) == (1, 0, 1)
    assert (drawn.attempts, drawn.redraws) == (15, 5)
    whole = Params(
        merged(FILES | {"images": FILES["images"] | {"stop_at_first_valid": False, "max_attempts": 25}})
    )
    assert (whole.attempts, whole.sampler["batch"]) == (1, 1)
    assert (params.listed_pictures, drawn.listed_pictures) == ("<results>/curation/drafts/pictures.jsonl", [])


def test_filters_that_report_refuse_nothing():
    params, enforcing = Params(merged({"images": {"filter": "report"}})), Params(CONFIG)
    assert params.sampler["thresholds"] is None and enforcing.reported == {}
    assert params.reported == {"thresholds": enforcing.sampler["thresholds"]}


def test_the_list_of_pictures_counts_by_the_pictures_and_the_table_alone(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"one")
    (tmp_path / "list.csv").write_text("file,person,event\n")
    files = {"folder": str(tmp_path), "manifest": str(tmp_path / "list.csv"), "pattern": None}

    def listed() -> str:
        return repr(Params(merged(FILES | {"images": {"generator": "files", "files": files}})).listing(None))

    def drawn() -> str:
        return repr(Params(merged(FILES | {"images": {"generator": "files", "files": files}})).pictures)

    before, pictures = listed(), drawn()
    (tmp_path / "notes.txt").write_text("no picture")
    assert listed() == before
    (tmp_path / "list.csv").write_text("file,person,event\na.jpg,Ada Lund,fair\n")
    changed_table = listed()
    (tmp_path / "a.jpg").write_bytes(b"other")
    assert len({before, changed_table, listed()}) == 3
    assert drawn() == pictures, "which prompts.jsonl has the digests of"
