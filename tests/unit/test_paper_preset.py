"""presets/paper.yaml gives jobs what PEBench prints: Table II, section III-A's filters and section III-C's counts."""

from __future__ import annotations

from argparse import Namespace

import pytest

from mmunlearn.workflow.params import Params
from mmunlearn.workflow.targets import Targets
from tests.unit.test_config_schema import ROOT, load, merged

RATES = {"po": 3e-4, "ga": 2e-5, "gd": 2e-5, "kl": 1e-4, "dpo": 2e-5}
BATCHES = {"llava-1.5-7b": 4, "llama-3.2-vision-11b": 2}
FILTERS = {  # FaceNet's L2, CLIP's and DINO's cosines, MUSIQ, the aesthetic head
    "identity_l2": 0.8,
    "scene_cosine": 0.3,
    "scene_pair": 0.3,
    "subject_cosine": 0.85,
    "distortion": 50,
    "aesthetic": 6.0,
}


@pytest.fixture(scope="module")
def paper():
    return merged(load(ROOT / "presets" / "paper.yaml"))


@pytest.mark.parametrize("model", BATCHES)
def test_table_2(paper, model):
    given = Params(paper)
    loop = given.finetuning(Namespace(model=model, recipe="finetuned"))
    assert (loop["learning_rate"], loop["batch"], loop["accumulation"]) == (2e-5, BATCHES[model], 16)
    loops = {m: given.unlearning(Namespace(model=model, recipe=f"{m}-person05")) for m in RATES}
    assert {method: loop["learning_rate"] for method, loop in loops.items()} == RATES
    assert all((one["batch"], one["accumulation"]) == (BATCHES[model], 16) for one in loops.values())
    assert paper["training"]["finetune"]["epochs"] == paper["training"]["unlearn"]["epochs"] == 5


def test_the_questions_are_figure_9_s(paper):
    assert paper["dataset"]["questions"] == {
        "person": "What is the name of the people in this picture?",
        "event": "What is happening in this image?",
    }
    assert merged({})["dataset"]["questions"]["person"] == "Who is the person in the picture?", "pocket's own"


def test_dpo_s_reference_is_trained_on_the_refusals_and_kl_s_is_the_finetuned_model(paper):
    options = {
        m: Params(paper).method_options(Namespace(model="llava-1.5-7b", recipe=f"{m}-person05"))
        for m in RATES
    }
    assert options["dpo"] == {"beta": 0.1, "lambda1": 1.0, "lambda2": 1.0, "reference": "refusals"}
    assert not any("reference" in options[method] for method in RATES if method != "dpo")


def test_bgd_weighs_as_equation_8(paper):
    for method in ("gd+bgd", "kl+bgd"):
        options = Params(paper).method_options(Namespace(model="llava-1.5-7b", recipe=f"{method}-both05"))
        weights = {name: options[name] for name in ("alpha", "beta", "gamma", "event_growth")}
        assert weights == {"alpha": 0.3, "beta": 0.2, "gamma": 0.5, "event_growth": 0.05}


def test_the_real_set_is_compared_with_the_events_descriptions(paper):
    options = Params(paper).set_options(Namespace(set="real"))
    assert options["real_reference"] == "description" and paper["dataset"]["n_real"] == 200


def test_the_filters_of_section_3_a(paper):
    sampler = Params(paper).sampler
    assert sampler["thresholds"] == FILTERS
    assert paper["images"]["candidates"] == sampler["batch"] == 5


def test_the_benchmark_s_size(paper):
    assert (paper["curation"]["n_people"], paper["curation"]["n_events"]) == (200, 40)
    assert set(paper["models"]) == set(BATCHES)
    targets = Targets(paper)
    assert targets.splits == [f"{target}{n:02d}" for target in ("person", "event") for n in (5, 10, 15)]
    methods = {row.recipe.method for row in targets.of("table3")}
    assert methods == {"finetuned", "goal", *RATES}
    assert {row.recipe.method for row in targets.of("table4")} == {
        "finetuned",
        "goal",
        "gd",
        "kl",
        "gd+bgd",
        "kl+bgd",
    }
