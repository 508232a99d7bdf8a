"""What must hold across the keys of the section `lifelong`."""

import copy
import csv
from pathlib import Path

import pytest
import yaml

from mmunlearn.lifelong.gates.vlm import class_of
from mmunlearn.workflow.check import prepare
from mmunlearn.workflow.identity import Contents
from mmunlearn.workflow.lifelong import Lifelong
from mmunlearn.workflow.lifelong_check import conflicts

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
prepare(CONFIG)


def changed(**sections):
    config = copy.deepcopy(CONFIG)
    for key, value in sections.items():
        place = config["lifelong"]
        *above, last = key.split("__")
        for name in above:
            place = place[name.replace("_", "-") if name.replace("_", "-") in place else name]
        place[last] = place[last] | value if isinstance(value, dict) else value
    return config


def test_the_shipped_section_has_no_problem():
    assert list(conflicts(CONFIG)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"orders": [["A", "B"]]},
            "lifelong.orders.0: A, B is no order of all tasks, A, B, C, D; name each once",
        ),
        ({"tasks": ["A", "a"]}, "lifelong.tasks: two names differ in capitals alone"),
        ({"tasks": ["t", "tt"], "orders": [["t", "tt"], ["t", "tt"]]}, "two orders are both spelt t-tt"),
        (
            {"methods": {"gaa": {"learning_rate": 1.0, "max_steps": 1}}},
            "lifelong.methods.gaa: 'gaa' is no method",
        ),
        (
            {"methods": {"x": {"method": "gaa", "learning_rate": 1.0, "max_steps": 1}}},
            "lifelong.methods.x.method: 'gaa' is no method",
        ),
        (
            {"methods__npo": {"targets": "person"}},
            "lifelong.methods.npo.targets: `targets` belongs to `methods`; lifelong.methods has none",
        ),
        (
            {"pocket": {"things": 40, "people": 40}},
            "Asked for 20 of class Animals to forget in task A, by lifelong.pocket.things: 40. Found 10 that",
        ),
        (
            {"pocket": {"people": 11}},
            "11 of class Personage to forget in task D, by lifelong.pocket.people: 11.",
        ),
        ({"methods__npo": {"betta": 1.0}}, "unknown key 'lifelong.methods.npo.betta'"),
        ({"methods__npo": {"beta": 0.0}}, "lifelong.methods.npo: beta must be above 0"),
        (
            {"methods": {"kl+bgd": {"learning_rate": 1.0, "max_steps": 1}}},
            "lifelong.methods.kl+bgd: kl+bgd weighs people against events",
        ),
        (
            {"methods": {"dpo": {"learning_rate": 1.0, "max_steps": 1, "reference": "refusals"}}},
            "lifelong.methods.dpo.reference: no model is trained on refusals here",
        ),
        ({"methods__ga": {"task_rates": {"E": 1.0}}}, "lifelong.methods.ga.task_rates: 'E' is no task"),
        (
            {"lumoe": {"ga": {"gate": "last"}}},
            "lifelong.lumoe.ga: a row of lifelong.methods has this name, too",
        ),
        ({"lumoe": {"experts": {"gate": "last"}}}, "lifelong.lumoe.experts: the name of a folder"),
        (
            {"lumoe": {"second": {"gate": "vlm", "label": "lumoe"}}},
            "rows lumoe and second are both spelt 'lumoe'",
        ),
        (
            {"gates__clip": {"names": True}},
            "lifelong.gates.clip.names: the base's own features know no names",
        ),
        ({"gates__clip": {"prototypes": False}}, "lifelong.gates.clip: pictures are compared with nothing"),
        (
            {"test_share": None},
            "lifelong.gates.clip.prototypes: with test_share null they are made of the very pictures that are asked",
        ),
        (
            {"gates__clip": {"prompt": "a photo"}},
            "lifelong.gates.clip.prompt: {name} is the place of the name",
        ),
        (
            {"gates__vlm": {"class_question": "What is <image>?"}},
            "lifelong.gates.vlm.class_question: models may read '<image>' as a token of their own; leave out < and >",
        ),
        (
            {"gates__vlm": {"name_questions": {"other": "What?", "TV series": "Which <|im_end|>?"}}},
            "lifelong.gates.vlm.name_questions.TV series: models may read '<|im_end|>' as a token of their own",
        ),
        ({"gates__vlm__openai": {"base_url": "http://far.example/v1"}}, "lifelong.gates.vlm.openai: "),
        ({"drift": {"methods": ["gaa"]}}, "lifelong.drift.methods: 'gaa' is none of them"),
        ({"drift": {"methods": ["base"]}}, "lifelong.drift.methods: 'base' is the base, which does not move"),
        ({"drift": {"models": ["llava"]}}, "lifelong.drift.models: 'llava' is none of them"),
    ],
)
def test_what_does_not_go_together_is_named(change, message):
    assert any(message in line for line in conflicts(changed(**change)))


@pytest.mark.parametrize("method", ["kl", "dpo"])
def test_a_reference_of_refusals_is_one_mistake(method):
    row = {"learning_rate": 1.0, "max_steps": 1, "reference": "refusals"}
    (line,) = conflicts(changed(methods={method: row}))
    assert f"lifelong.methods.{method}.reference" in line


def test_prototypes_of_a_gate_that_no_row_uses_may_be_of_anything():
    lumoe = {name: row for name, row in CONFIG["lifelong"]["lumoe"].items() if row["gate"] != "clip"}
    config = changed(test_share=None)
    config["lifelong"]["lumoe"] = lumoe
    assert list(conflicts(config)) == []
    assert (
        list(
            conflicts(
                changed(test_share=None, gates__clip={"names": True, "prototypes": False, "encoder": "e"})
            )
        )
        == []
    )


def test_a_row_of_null_is_left_out():
    config = changed(methods={"ga": None}, lumoe={"base": None})
    prepare(config)
    assert "ga" not in config["lifelong"]["methods"]
    assert "base" not in config["lifelong"]["lumoe"]


def test_the_base_alone_is_no_gate(tmp_path):
    """The table of gates has no row of it."""
    own = Lifelong(changed() | {"seeds": [1]}, Contents(tmp_path, "weights"))
    assert "base" in own.mixtures and list(own.gates) == [name for name in own.mixtures if name != "base"]


def test_sequences_are_rows_by_orders_by_seeds(tmp_path):
    config = changed(orders=[["A", "B", "C", "D"], ["D", "A", "B", "C"]]) | {"seeds": [1, 2]}
    own = Lifelong(config, Contents(tmp_path, "weights"))
    rows = len(own.trained) + len(own.mixtures)
    assert len(own.sequences) == 2 * rows * 2
    assert own.sequences[0].folder == "pocket-llava/ga/ABCD/seed-1"
    assert {one.order for one in own.sequences} == {"ABCD", "DABC"}
    assert len(own.drifts) == 2 * len(config["lifelong"]["drift"]["methods"])
    assert {path.split("/")[4] for path in own.drifts} == {"ABCD"}
    trainings = [*own.stage_files("training.json", own.trained), *own.expert_files("training.json")]
    ends = {"training.json": trainings, "adapter/adapter_model.safetensors": own.adapter_files}
    folders = [{path.removesuffix(end) for path in paths} for end, paths in ends.items()]
    assert folders[0] == folders[1] and len(folders[0]) == 2 * 4 * (2 * len(own.trained) + 1)
    every = Lifelong(changed(drift={"methods": None}), Contents(tmp_path, "weights"))
    assert [path.split("/")[3] for path in every.drifts] == [*own.trained, "lumoe"], "the base does not move"


@pytest.mark.parametrize(
    "changes", ["Tasks/TaskA/taskA_forget.json", "Animals/Cat/0.jpg", "Animals/Cat/1.jpg"]
)
def test_another_zip_or_another_picture_is_read_anew(tmp_path, changes):
    """By what the files hold: their place is the same. The last one is brought later."""
    files = {"tasks": str(tmp_path / "release"), "pictures": str(tmp_path / "pictures")}
    home = tmp_path / ("release" if changes.startswith("Tasks") else "pictures")
    for folder, name in (
        (tmp_path / "release", "Tasks/TaskA/taskA_forget.json"),
        (tmp_path / "pictures", "Animals/Cat/0.jpg"),
    ):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"one")

    def params() -> list[str]:
        own = Lifelong(changed(data="files", files=files), Contents(tmp_path, "weights"))
        return [repr(own.source(None)), repr(own.pictures(None))]

    before = params()
    assert before == params()
    (home / changes).write_bytes(b"another")
    after = params()
    assert [one != two for one, two in zip(before, after, strict=True)] == [
        home.name == "release",
        home.name == "pictures",
    ]


def test_rows_that_no_gate_of_a_picture_sends_are_references(tmp_path):
    own = Lifelong(CONFIG, Contents(tmp_path, "weights"))
    assert own.references == ["base", "lumoe-oracle", "last-expert"]


def test_a_task_has_a_rate_of_its_own(tmp_path):
    own = Lifelong(
        changed(methods__ga={"learning_rate": 2.0e-4, "task_rates": {"D": 1.0e-5}}),
        Contents(tmp_path, "weights"),
    )
    wildcards = type("Wildcards", (), {"method": "ga"})
    assert own.rates(wildcards) == {"A": 2.0e-4, "B": 2.0e-4, "C": 2.0e-4, "D": 1.0e-5}


def test_no_param_of_a_gate_holds_a_key_of_an_address(tmp_path):
    address = {"base_url": "https://host/abcdef0123456789abcdef/v1"}
    config = changed(gates__vlm={"asks": "openai"})
    config["lifelong"]["gates"]["vlm"]["openai"] |= address
    own = Lifelong(config, Contents(tmp_path, "weights"))
    settings = own.gate_settings(type("Wildcards", (), {"gate": "vlm"}))
    assert "abcdef0123456789" not in str(settings)
    assert settings["openai"]["base_url"].startswith("https://host/[key]/v1#")


def test_the_report_shows_the_phase_when_asked_for_and_ever_after(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Lifelong(CONFIG, Contents(tmp_path, "weights"), lambda: {"all"})
    asked = Lifelong(CONFIG, Contents(tmp_path, "weights"), lambda: {"lifelong"})
    assert run.reported(None) == []
    assert "<results>/tables/mlubench.csv" in asked.reported(None)
    (tmp_path / "results/pocket/tables").mkdir(parents=True)
    (tmp_path / "results/pocket/tables/mlubench.csv").touch()
    assert run.reported(None) == asked.reported(None)


RELEASED = {
    "Animals",
    "Astronomy",
    "Buildings",
    "Cartoon",
    "Corporation",
    "Movies",
    "Personage",
    "Plants",
    "TV series",
}


def test_the_preset_offers_each_released_class_with_a_question_of_its_own():
    preset = yaml.safe_load((ROOT / "presets/mlubench.yaml").read_text(encoding="utf-8"))
    gate = preset["lifelong"]["gates"]["vlm"]
    assert gate["name_questions"].keys() == RELEASED | {"other"}
    assert len(set(gate["name_questions"].values())) == 10
    offered = gate["class_question"].partition(": ")[2].partition("?")[0].replace(" (a person)", "")
    assert set(offered.replace("or other", "other").split(", ")) == RELEASED | {"other"}
    said = {
        "A cartoon.": "Cartoon",
        "a movie": "Movies",
        "TV": "TV series",
        "A person": "Personage",
        "A car.": "other",
    }
    assert {reply: class_of(reply, list(gate["name_questions"])) for reply in said} == said


def test_models_of_the_preset_are_spelt_as_published():
    preset = yaml.safe_load((ROOT / "presets/mlubench.yaml").read_text(encoding="utf-8"))
    tables = (ROOT / "resources/published/mlubench_tables_2_and_23.csv").open(encoding="utf-8")
    names = {name for name, row in preset["models"].items() if row}
    assert names == {row["model"] for row in csv.DictReader(tables)}
    assert set(preset["lifelong"]["drift"]["models"]) <= names


def test_rates_and_steps_are_those_that_the_written_rule_chose():
    """The smallest rate of the grid that did what the rule asks on both seeds: benchmarks/choose_lifelong_rates.py."""
    with (ROOT / "benchmarks/lifelong_rates.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = {}
    for method, first in {"ga": 1e-4, "gd": 1e-4, "kl": 1e-4, "npo": 1e-4, "po": 8e-4}.items():
        met: dict[float, list[bool]] = {}
        for row in (row for row in rows if row["method"] == method):
            share = float(row["refused"]) >= 0.9 if method == "po" else float(row["known"]) < 0.25
            assert (row["steps"], row["met"]) == ("60", str(share))
            met.setdefault(float(row["learning_rate"]), []).append(share)
        assert list(met) == [first * 2**k for k in range(len(met))], "every smaller rate was tried"
        chosen[method] = min(rate for rate, both in met.items() if both == [True, True])
    own = CONFIG["lifelong"]
    rates = {name: chosen[row.get("method", name)] for name, row in own["methods"].items()}
    assert {name: row["learning_rate"] for name, row in own["methods"].items()} == rates
    assert {name: row["max_steps"] for name, row in own["methods"].items()} == {
        **dict.fromkeys(("ga", "gd", "kl", "npo"), 30), **dict.fromkeys(("po", "ga-stop", "gd-stop"), 60),
    }  # fmt: skip
    assert own["experts"] == {"learning_rate": chosen["po"], "max_steps": 60, "stop": None}
