"""Configuration: recipes, and errors that name the key and the nearest known one."""

from __future__ import annotations

import copy
import csv
import importlib
import inspect
import json
import re
from argparse import Namespace
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml

from mmunlearn import backends
from mmunlearn.ids import Run
from mmunlearn.registry import Registry
from mmunlearn.training.methods import METHODS
from mmunlearn.verdicts import COLUMNS
from mmunlearn.weights import entries
from mmunlearn.workflow.check import ConfigError, _percent_conflicts, check, fault, gpus_error, prepare
from mmunlearn.workflow.errors import NoPlan
from mmunlearn.workflow.params import Params, labels
from mmunlearn.workflow.targets import Targets
from tests.unit.test_config_schema import merged

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text(encoding="utf-8"))
prepare(CONFIG)


def changed(path: str, value):
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split(".")
    node = config
    for key in parents:
        node = node[key]
    node[last] = value
    return config


def scored(config, output):
    """(recipe, split, seed) of what an output scores."""
    rows = Targets(config).of(output)
    return [(row.run.recipe, split, row.run.seed) for row in rows for split in row.outputs[output]]


def test_the_shipped_configuration_is_valid_and_gives_the_rows_of_table_3():
    check(CONFIG)
    rows = scored(CONFIG, "table3")
    assert len(rows) == len(set(rows)) == 15, "14 rows of the table and one of the ceiling"
    recipes = {recipe for recipe, _, seed in rows if seed == 1}
    methods = ("goal", "po", "ga", "gd", "kl", "dpo")
    assert recipes == {"finetuned", *(f"{m}-{split}" for m in methods for split in ("person05", "event05"))}
    assert rows[-1] == ("goal-event05", "event05", 101)


def test_the_ceiling_has_the_targets_that_are_named_for_it_and_in_the_data_set():
    def ceiling(**changes):
        return [recipe for recipe, _, seed in scored(CONFIG | changes, "table3") if seed == 101]

    both = {"ceiling_targets": ["event", "person"]}
    assert ceiling(**both) == ["goal-person05", "goal-event05"]
    assert ceiling(**both, ceiling_seed=None) == []
    people = {"dataset": CONFIG["dataset"] | {"targets": ["person"]}}
    assert ceiling(**people) == [] and ceiling(**people, **both) == ["goal-person05"]


def test_table_4_has_its_methods_for_both_targets():
    rows = scored(CONFIG, "table4")
    recipes = ("finetuned", *(f"{one}-both05" for one in ("goal", "gd", "kl", "gd+bgd", "kl+bgd")))
    assert rows == [
        *((recipe, split, 1) for recipe in recipes for split in ("person05", "event05")),
        *(("goal-both05", split, 101) for split in ("person05", "event05")),
    ]


def test_figure_7_follows_each_method_and_figure_9_takes_each_concept():
    steps, targets = CONFIG["figures"]["steps"], Targets(CONFIG | {"seeds": [3, 4]})
    traced = [row for row in targets.of("figure7") if row.rule == "trace_unlearned"]
    assert len(traced) == 2 * 5 * len(steps) and {row.run.seed for row in traced} == {3}
    assert f"<results>/scores/pocket-llava/ga-person05@{steps[-1]}/seed-3/person05.json" in targets.scores(
        "figure7"
    )
    assert "<results>/scores/pocket-llava/finetuned/seed-3/event05.sampled.json" in targets.scores("figure7")
    assert targets.concepts == ["gd-person05-0", "gd-person05-1", "gd-event05-0"]
    whole = "<results>/models/pocket-llava/ga-person05/seed-3/training.json"
    assert whole in targets.trainings("figure7") and not any(
        "@" in path for path in targets.trainings("figure7")
    )


def test_every_row_says_what_trains_it_and_what_it_is_asked():
    targets = Targets(CONFIG)
    rules = {row.run.recipe: (row.rule, row.sample) for row in targets.rows}
    assert rules["finetuned"] == ("train_finetuned", None) and rules["goal-both05"] == ("train_goal", None)
    assert rules["ga-event05"] == ("train_unlearned", None)
    questions = dict.fromkeys(("retain", "real", "world"), CONFIG["figures"]["questions"])
    assert rules["ga-event05@2"] == ("trace_unlearned", {"seed": 1, **questions})
    concept = {"seed": 1, **dict.fromkeys(questions, 0)}
    assert (
        rules["gd-event05-0"][0] == "train_unlearned" and concept.items() < rules["gd-event05-0"][1].items()
    )
    assert len(targets.rows) == len({row.run for row in targets.rows})
    spare = targets.row(Run("pocket-llava", "npo-person05", 7))
    assert (spare.rule, spare.outputs) == ("train_unlearned", {})


def test_labels_are_the_published_ones_and_others_their_own():
    names = ("finetuned", "goal", "kl+bgd", "npo")
    assert [labels(CONFIG)[name] for name in names] == ["Finetune", "Goal", "KL+BGD", "NPO"]
    config = changed("methods", CONFIG["methods"] | {"mine": {"label": "Mine"}, "other": {}})
    assert (labels(config)["mine"], labels(config)["other"]) == ("Mine", "OTHER")


def test_splits_and_seeds_multiply():
    config = changed("dataset.percents", [5, 10, 15]) | {"seeds": [1, 2, 3]}
    splits = ["person05", "person10", "person15", "event05", "event10", "event15"]
    assert Targets(config).splits == splits
    assert len(scored(config, "table3")) == 3 * 6 * 7 + 3


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("images.guidance_scale", [1.0], "did you mean 'guidance_scales'"),
        ("training.finetune.learning_rat", 1.0, "did you mean 'learning_rate'"),
        ("trainin", {}, "did you mean 'training'"),
        ("training.finetune.learning_rate", "1e-4", "training.finetune.learning_rate"),
        ("seeds", [], "seeds"),
        ("ceiling_seed", CONFIG["seeds"][0], "ceiling_seed"),
        ("methods.ga.max_step", 3, "unknown key 'methods.ga.max_step': did you mean 'max_steps'"),
        ("methods.dpo.lambda3", 1.0, "unknown key 'methods.dpo.lambda3': did you mean 'lambda"),
        ("methods.ga.label", "GD", "methods.gd.label: 'GD' is also how ga is spelt"),
        ("training.processes", 4, "training.job.gpu: must be training.processes, 4, not 0"),
        ("dataset.both_percents", [10], "figures.percent: 5 is not in dataset.both_percents"),
        ("images.max_attempts", 1, "max_attempts"),
        ("curation.n_events", 2, "nothing to forget or to retain"),
        ("curation.n_events", 1, "at least 2"),
        ("models.pocket-llava.family", "lava", "did you mean 'llava'"),
        (
            "models.pocket-llava",
            CONFIG["models"]["pocket-llava"] | {"family": "other", "cache_features": True},
            "models.pocket-llava.cache_features: family other has no features to keep; set it to null",
        ),
        ("dataset.answers.person", "{name}, {jobb}.", "no field 'jobb'; did you mean 'job'"),
        ("training.finetune.epochs", 2.5, "training.finetune.epochs"),
        ("figures.percent", 10, "figures.percent: 10 is not in dataset.percents"),
        ("figures.concept_method", "gdd", "did you mean 'gd'"),
        ("review.verdicts", "sadi", "review.verdicts: there is no folder 'sadi'"),
        ("review.reviewers", 2, "review.verdicts: name the folder"),
        ("robustness.methods", ["ga", "npo"], "robustness.methods: 'npo' forgets none of dataset.targets"),
        ("curation.backend", "openai", "the pocket generator cannot draw what openai writes"),
        ("weights.sources", {"flux-deb": "/data"}, "did you mean 'flux-dev'"),
        (
            "weights.revisions",
            {"flux-deb": "a" * 40},
            "weights.revisions.flux-deb: unknown weights; did you mean 'flux-dev'",
        ),
        (
            "weights.revisions",
            {"flux-dev": "main"},
            "a commit in 40 digits of 0-9 and a-f is asked for; found 'main'",
        ),
        ("weights.revisions", {"facenet-vggface2": "a" * 40}, "is no repository, so it has no commits"),
    ],
)
def test_mistakes_are_named_with_their_key(path, value, message):
    with pytest.raises(ConfigError, match=message):
        check(changed(path, value))


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("Goal", "is also how goal is spelt"),
        ("goal", "is also how goal is spelt"),
        ("Ｇoal", "is also how goal is spelt"),
        ("Fine tune", "is also how finetuned is spelt"),
        ("Goal, seed 7", "another seed's model"),
        ("GOAL,  seed 101", "another seed's model"),
        ("GA", "is also how ga is spelt"),
        ("kl + BGD", r"is also how kl\+bgd is spelt"),
        ("\u200b", "prints nothing"),
        (" ", "without spaces around it"),
        ("Mine\n", "without spaces around it"),
        ("Mine\nOurs", "a line of text"),
        ("Mine\u2028Ours", "a line of text"),
    ],
)
def test_a_label_that_a_reader_would_take_for_another_is_refused(label, says):
    config = changed("methods.npo.label", label)
    del config["methods"]["kl+bgd"]  # what the published tables spell is theirs, in this run or not
    with pytest.raises(ConfigError, match=f"methods.npo.label.*{says}"):
        check(config)


def test_labels_of_one_s_own_are_as_one_likes():
    config = changed("methods.ga.label", "Gradient ascent (ours)")
    check(config | {"methods": config["methods"] | {"npo": config["methods"]["npo"] | {"label": "NPO"}}})


@pytest.mark.parametrize(
    ("kind", "template", "says"),
    [
        ("person", "{{name}}", "has no field {name}"),
        ("event", "{{description}}", "has no field {description}"),
        ("person", "This is {{{{name}}}}.", "has no field {name}"),
        ("person", "He is {age}.", "has no field {name}"),
        ("event", "{theme}", "has no field {description}"),
        ("person", "{name} {", "is no template"),
        ("person", "{name} }", "is no template"),
        ("person", "{name", "is no template"),
        ("person", "{name!x}", "a field stands alone"),
        ("person", "{name} {age!r}", "a field stands alone"),
        ("person", "{name} {age:>99999999}", "a field stands alone"),
        ("person", "{name:{age}}", "a field stands alone"),
        ("person", "{name} {identity}", "no field 'identity'"),
        ("event", "{description} {scene}", "no field 'scene'"),
        ("person", "{name.__class__}", "no field 'name.__class__'"),
        ("person", "{name[0]}", "no field 'name[0]'; did you mean 'name'"),
        ("person", "{name} {0}", "no field '0'"),
        ("person", "{name} {}", "no field ''"),
        ("person", "{ name }", "no field ' name '"),
        ("event", "{name}", "no field 'name'"),
    ],
)
def test_a_template_teaches_each_concept_its_own_sentence(kind, template, says):
    with pytest.raises(ConfigError, match=re.escape(f"dataset.answers.{kind}: ") + ".*" + re.escape(says)):
        check(changed(f"dataset.answers.{kind}", template))


def test_templates_take_fields_of_one_value_and_doubled_braces():
    check(changed("dataset.answers.person", "{name}, {age}, {job} of {birthplace} ({{sic}})"))
    check(changed("dataset.answers.event", "{theme}: {description}"))


def test_questions_are_no_templates_and_public_figures_have_names_alone(tmp_path):
    with pytest.raises(ConfigError, match=r"dataset\.questions\.event: a question is asked as it stands"):
        check(changed("dataset.questions.event", "What does {name} do?"))
    with pytest.raises(ConfigError, match=r"dataset\.questions: person and event are one question"):
        check(changed("dataset.questions.event", "who is the  person in the PICTURE?"))
    with pytest.raises(ConfigError, match=r"dataset\.questions\.event: '\\u200b' prints nothing"):
        check(changed("dataset.questions.event", "\u200b"))
    for key, text in (("questions.event", "<image> What is it?"), ("answers.person", "{name}<|im_end|>")):
        with pytest.raises(ConfigError, match=rf"dataset\.{key}: models may read '<\S+>' as a token"):
            check(changed(f"dataset.{key}", text))
    config = changed("dataset.answers.person", "{name}, a {job}")
    config["dataset"] |= {"reference_sets": "files"}
    config["weights"]["download"] = True
    with pytest.raises(ConfigError, match=r"dataset\.answers\.person: no field 'job'.*all that is known"):
        check(config)


def test_both_forgets_events_where_no_other_recipe_does():
    config = changed("dataset.targets", ["person"])
    config["curation"]["n_events"] = 2
    with pytest.raises(ConfigError, match="5% of 2 events: nothing to forget or to retain; set 25 to 74"):
        check(config)
    assert [*_percent_conflicts("person", 6, [5, 9, 91, 92])] == [
        f"dataset.percents: {percent}% of 6 people: nothing to forget or to retain; set 9 to 91"
        for percent in (5, 92)
    ]
    assert next(iter(_percent_conflicts("event", 1, [50]))).endswith("set curation.n_events to 2 or more")


def test_a_bound_on_the_cost_needs_prices():
    config = changed("evaluation.openai.max_cost", 1.0)
    check(config)
    config["evaluation"]["openai"]["prompt_price"] = 0
    with pytest.raises(ConfigError, match="needs prompt_price and completion_price"):
        check(config)


def test_every_backend_is_a_class_of_its_kind():
    registries = [one for one in vars(backends).values() if isinstance(one, Registry)]
    assert len(registries) == 7
    assert all(registry.load(name) for registry in registries for name in registry)


def test_the_thresholds_are_the_shipped_calibration():
    shipped = Path(__file__).parents[2] / "resources" / "pocket" / "scorers" / "calibration.json"
    assert CONFIG["images"]["thresholds"] == json.loads(shipped.read_text())["thresholds"]


def test_an_address_with_a_password_is_refused_and_a_key_in_place_of_its_name_is_not_repeated():
    with pytest.raises(ConfigError, match=r"curation\.openai\.base_url"):
        check(changed("curation.openai.base_url", "https://me:word@host/v1"))
    with pytest.raises(ConfigError, match="never the key itself") as told:
        check(changed("curation.openai.key_env", "sk-secret"))
    assert "sk-secret" not in str(told.value)


def test_whole_batches_make_whole_units():
    config = changed("images.stop_at_first_valid", False)
    config["images"]["max_attempts"] = 12
    with pytest.raises(ConfigError, match=r"multiple of images\.candidates"):
        check(config)


def test_an_overlay_can_leave_out_a_model_and_move_the_weights():
    config = changed("weights.folder", "/scratch/weights/")
    config["models"] |= {"other": None, "llava-1.5-7b": {"source": "weights/llava-1.5-7b"}}
    prepare(config)
    assert set(config["models"]) == {"pocket-llava", "llava-1.5-7b"}
    assert config["models"]["llava-1.5-7b"]["source"] == "/scratch/weights/llava-1.5-7b"
    assert config["images"]["flux"]["source"] == "/scratch/weights/flux-dev"
    assert Params(config).receipts([config["images"]["flux"]["source"]]) == [
        "<results>/weights/flux-dev.json"
    ]
    assert config["images"]["pocket"]["weights"] == CONFIG["images"]["pocket"]["weights"]


def test_decisions_that_change_nothing_are_none(tmp_path):
    """An empty folder, and verdicts that only confirm where nobody must, rerun nothing."""
    config = changed("review.verdicts", None)
    assert set(Params(config).decided.values()) == {"none"}
    config["review"]["verdicts"] = str(tmp_path)
    assert set(Params(config).decided.values()) == {"none"}
    row = "picture,p000-e00,{},{},Kim,2026-01-01T10:00:00Z,"
    said = [",".join(COLUMNS), row.format("a" * 64, "accept")]
    (tmp_path / "kim.csv").write_text("\n".join(said) + "\n")
    assert set(Params(config).decided.values()) == {"none"}
    (tmp_path / "kim.csv").write_text("\n".join([*said, row.format("b" * 64, "reject")]) + "\n")
    decided = Params(config).decided
    assert decided["rejected"] != "none" and decided["texts"] == decided["confirmed"] == "none"
    config["review"]["reviewers"] = 1
    assert (
        Params(config).decided["confirmed"] != "none"
        and Params(config).decided["rejected"] == decided["rejected"]
    )


def test_rates_are_those_that_the_written_rule_chose():
    """The smallest of the grid with which every selection run reached its bound: benchmarks/choose_rates.py."""
    with (Path(__file__).parents[2] / "benchmarks/chosen_rates.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name, row in CONFIG["methods"].items():
        reached: dict[float, list[bool]] = {}
        for run in (run for run in rows if run["method"] == name):
            reached.setdefault(float(run["learning_rate"]), []).append(run["reached"] == "True")
        assert row["learning_rate"] == min(rate for rate, runs in reached.items() if all(runs)), name


def test_finetuning_is_as_the_written_rule_chose():
    """The fewest epochs with which both seeds say what they were taught: benchmarks/choose_finetuning.py."""
    with (Path(__file__).parents[2] / "benchmarks/chosen_finetuning.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    learnt: dict[int, list[float]] = {}
    for run in rows:
        learnt.setdefault(int(run["epochs"]), []).append(min(float(run["person"]), float(run["event"])))
    assert CONFIG["training"]["finetune"]["epochs"] == min(
        epochs for epochs, shares in learnt.items() if len(shares) == 2 and min(shares) >= 0.95
    )


def test_one_average_counts_in_every_training():
    params = Params(changed("training.average", "token"))
    wildcards = Run("pocket-llava", "ga-person05", 1)
    loops = [
        params.finetuning(wildcards),
        params.unlearning(wildcards),
        params.attacks(Namespace(model=wildcards.model, split="person05"))["relearning"],
    ]
    assert [loop["average"] for loop in loops] == ["token"] * 3
    assert Params(CONFIG).finetuning(wildcards)["average"] == "sample"


def test_a_hub_id_counts_by_its_name_and_a_folder_by_its_files():
    wildcards = Namespace(model="pocket-llava")
    row = CONFIG["models"]["pocket-llava"] | {"source": "llava-hf/llava-1.5-7b-hf", "revision": "main"}
    hub = Params(changed("models.pocket-llava", row))
    assert "'source': 'llava-hf/llava-1.5-7b-hf'" in repr(hub.model(wildcards)) and hub.base(wildcards) == []
    assert "llava'" not in repr(Params(CONFIG).model(wildcards)["source"])


def test_percents_of_null_are_the_first_of_the_tables():
    config = changed("dataset", CONFIG["dataset"] | {"percents": [10, 15], "both_percents": None})
    config["figures"]["percent"] = None
    prepare(config)
    assert (config["figures"]["percent"], config["dataset"]["both_percents"]) == (10, [10])


def test_the_options_of_registered_methods_are_those_that_their_classes_take():
    for name, entry in METHODS.items():
        module, _, attribute = entry.path.partition(":")
        signature = inspect.signature(getattr(importlib.import_module(module), attribute))
        assert set(entry.options) == set(signature.parameters), name


@pytest.mark.parametrize("section", ["curation", "evaluation"])
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("key_env", "AKIAIOSFODNN7EXAMPLE", "what may be a key, not repeated"),
        ("key_env", "sk-0123456789", "never the key itself"),
        ("key_env", ["sk-0123456789"], "never the key itself"),
        ("base_url", "https://sk-0123456789@host/v1", "without user, password"),
        ("base_url", "https://host/v1?key=sk-0123456789", "without user, password"),
        ("base_url", {"sk-0123456789": 1}, "without user, password"),
        ("base_url", "http://api.openai.com/v1", "plain http"),
        ("model", ["sk-0123456789"], "openai.model: type must be string"),
        ("timeout", "sk-0123456789", "openai.timeout: type must be number"),
        (None, "sk-0123456789", "openai: type must be object"),
    ],
)
def test_a_secret_in_the_settings_of_an_endpoint_is_refused_and_not_repeated(section, key, value, message):
    path = f"{section}.openai.{key}" if key else f"{section}.openai"
    with pytest.raises(ConfigError, match=message) as caught:
        check(changed(path, value))
    assert "0123456789" not in str(caught.value) and "AKIA" not in str(caught.value)


def test_a_server_without_keys_may_be_anywhere():
    config = changed("evaluation.openai.base_url", "http://gpu-node:8000/v1")
    config["evaluation"]["openai"]["key_env"] = None
    check(config)


def test_a_bound_on_the_cost_needs_a_longest_reply():
    config = changed("evaluation.openai.max_tokens_key", None)
    check(config)
    config["evaluation"]["openai"]["max_cost"] = 1.0
    with pytest.raises(ConfigError, match="set max_tokens_key"):
        check(config)


@pytest.mark.parametrize(
    ("dtype", "precision", "batch"),
    [("float32", "none", None), ("bfloat16", "none", 7), ("float16", "none", 7), ("float32", "bf16", 7)],
)
def test_the_batch_of_questions_counts_where_it_rounds(dtype: str, precision: str, batch: int | None) -> None:
    model = {"models": {"pocket-llava": {"dtype": dtype}}, "training": {"precision": precision}}
    params = Params(merged({**model, "evaluation": {"batch": 7}}))
    assert params.answering_batch(Namespace(model="pocket-llava")) == batch
    assert params.attack_settings["precision"] == precision


def test_no_param_holds_a_key_of_an_address():
    config = changed("curation.openai.base_url", "https://host/abcdef0123456789abcdef/v1")
    config["curation"]["backend"] = "openai"
    config["evaluation"] |= {"judge": "openai"}
    config["evaluation"]["openai"]["base_url"] = "https://host/abcdef0123456789abcdef/v1"
    params = Params(config)
    decided = str([params.curator("people"), params.judge_identity("g-eval")])
    assert "abcdef0123456789" not in decided and decided.count("https://host/[key]/v1#") == 2
    config["curation"]["openai"]["key_env"] = "SOMEWORD"
    written = str(params.recorded)
    assert (
        "abcdef0123456789" not in written and "SOMEWORD" not in written and "https://host/[key]/v1" in written
    )


@pytest.mark.parametrize(
    ("sizes", "percent", "samples", "says"),
    [
        ((40, 20), 5, 19, None),
        ((40, 20), 5, 20, ["20 are not fewer than the 20 forget_train pictures of person05", "of event05"]),
        ((40, 7), 10, 19, ["19 are not fewer than the 16 forget_train pictures of person10"]),
        ((3, 40), 40, 20, ["20 are not fewer than the 20 forget_train pictures of person40, of which some must be "
                           "left to ask; set it to 1 to 19"]),
        ((2, 2), 50, 1, ["1 are not fewer than the 1 forget_train pictures of person50, of which some must be left "
                         "to ask; forget more", "of event50"]),
    ],
)  # fmt: skip
def test_relearning_leaves_samples_to_ask(sizes, percent, samples, says):
    people, events = sizes
    curation = {"n_people": people, "n_events": events}
    dataset = {"percents": [percent]}
    attack = {"outputs": ["robustness"], "robustness": {"relearn": {"samples": samples}}}
    config = merged({"curation": curation, "dataset": dataset, **attack})
    prepare(config)
    problems = str(fault(config) or "").splitlines()[1:]
    assert len(problems) == len(says or ())
    for problem, part in zip(problems, says or (), strict=True):
        assert problem.startswith("  robustness.relearn.samples: ") and part in problem
    config["outputs"] = ["table3"]
    check(config)
    for target in ("person", "event"):
        wildcards = Namespace(model="pocket-llava", split=f"{target}{percent:02d}")
        with pytest.raises(NoPlan, match="relearn") if wildcards.split in str(says) else nullcontext():
            Params(config).attacks(wildcards)


def test_a_pin_of_one_s_own_fetches_anew_and_a_size_does_not(tmp_path, monkeypatch):
    """What `doctor` prints decides nothing; a commit decides what is fetched."""
    wildcards = Namespace(weights="llava-1.5-7b")
    before = Params(CONFIG).weights(wildcards)
    assert before == Params(changed("weights.revisions", {"flux-dev": "a" * 40})).weights(wildcards)
    assert before != Params(changed("weights.revisions", {"llava-1.5-7b": "a" * 40})).weights(wildcards)
    resource = tmp_path / "weights.yaml"
    resource.write_text(entries.RESOURCE.read_text().replace("gigabytes: 14.1", "gigabytes: 99"))
    monkeypatch.setattr(entries, "RESOURCE", resource)
    assert entries.entry("llava-1.5-7b").gigabytes == 99
    assert Params(CONFIG).weights(wildcards) == before


@pytest.mark.parametrize(
    ("kind", "row", "refused"),
    [
        ("FSDP", {"family": "mllama"}, True),
        ("DEEPSPEED", {"cache_features": False}, True),
        ("FSDP", {}, False),
        ("FSDP", {"family": "other"}, False),
        ("MULTI_GPU", {"cache_features": False}, False),
    ],
)
def test_shards_of_a_model_whose_tower_would_run_are_refused(tmp_path, kind, row, refused):
    file = tmp_path / "accelerate.yaml"
    file.write_text(f"distributed_type: {kind}\n")
    config = changed("training.accelerate_config", str(file))
    config["models"]["pocket-llava"] |= row
    said = str(fault(config))
    expected = (
        f"models.pocket-llava.cache_features: training.accelerate_config, {file}, has distributed_type {kind}, and no "
        "process of it has the whole vision tower to make features with; set it to true"
    )
    assert (expected in said) == refused == ("cache_features" in said)
    file.write_text("- no settings\n")
    assert "cache_features" not in str(fault(config))


def test_gpus_that_snakemake_would_cut_are_warned_of_before(caplog):
    config = merged({"training": {"job": {"gpu": 2}}})
    assert fault(config, gpus=1) is None
    assert "training.job.gpu: 2, of 1 for all jobs; start it with --resources gpu=2 judge=1" in caplog.text
    caplog.clear()
    assert fault(config, gpus=Namespace(value=2)) is fault(config) is None and "gpu" not in caplog.text


def test_gpus_that_snakemake_would_cut_stop_a_run():
    jobs = [Namespace(rule=Namespace(name="train_goal", resources={"gpu": Namespace(value=2)}))]
    jobs.append(Namespace(rule=Namespace(name="make_table3", resources={})))
    assert str(gpus_error(jobs, 1)) == (
        "the configuration cannot be run:\n  train_goal asks for 2 GPUs; Snakemake would cut it to 1, which all jobs "
        "may have at once; start it with --resources gpu=2 judge=1 or more, or lower the `gpu` of its `job`"
    )
    assert gpus_error(jobs, Namespace(value=2)) is gpus_error(jobs, None) is gpus_error(jobs[1:], 0) is None
