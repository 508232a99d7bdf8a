"""What each job of a plan has to do, and on which assumptions its seconds rest.

A job's seconds are a sum of terms: how many of something, times the assumption that says how long one takes. A rule
that is not known here, or whose time nobody can tell beforehand, has a reason instead, never 0 seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mmunlearn.ids import Recipe, parse_recipe, parse_split
from mmunlearn.training.schedule import steps_of
from mmunlearn.workflow.job import PlannedJob
from mmunlearn.workflow.planning import sizes
from mmunlearn.workflow.targets import Targets

Config = Mapping[str, Any]
LIGHT = {  # rules whose jobs take about `light_job_seconds`
    "curate_people", "curate_events", "accept_texts", "write_prompts", "merge_manifest", "check_images", "write_truth",
    "build_questions", "split_concepts", "count_dataset", "score_answers", "score_sampled",
    "compare_filters",
    "write_run_config", "make_table3", "make_table4", "write_report", "plot_figure4", "plot_figure7", "plot_figure8",
    "plot_figure9", "plot_figure10", "make_robustness", "plot_robustness",
}  # fmt: skip
NO_ESTIMATE = {
    "fetch_weights": "depends on your connection",
    "train_scorers": "its card in resources/pocket says how long it took",
    "calibrate_scorers": "its card in resources/pocket says how long it took",
    "pretrain_model": "its card in resources/pocket says how long it took",
}
# Passes over a batch that one step of a method makes: 1 for each view with gradients, a third for each that the
# reference sees without; tests/unit/test_planning.py compares them with the methods. BGD splits one batch in two.
PASSES = {
    "po": 2, "ga": 1, "gd": 2, "kl": 2 + 1 / 3, "dpo": 2 + 2 / 3, "npo": 1 + 1 / 3, "simnpo": 1, "gd+bgd": 2,
    "kl+bgd": 2 + 1 / 3,
}  # fmt: skip
PARAPHRASES = 5  # wordings of a question in the shipped files
OTHER_PASSES = 2  # of a method from another package: it forgets and keeps


@dataclass(frozen=True)
class Work:
    """What a job does.

    Attributes:
        counts: unit -> how many, e.g. `pictures drawn`.
        terms: (how many, assumption that says the seconds of one); empty where `reason` stands.
        rests: further assumptions that the counts rest on.
        reason: why there is no estimate.
    """

    counts: Mapping[str, float] = field(default_factory=dict)
    terms: tuple[tuple[float, str], ...] = ()
    rests: tuple[str, ...] = ()
    reason: str | None = None


Values = Callable[[str], float]  # assumption -> its value


def work_of(config: Config, job: PlannedJob, value: Values) -> Work:
    """What a job has to do.

    Args:
        value: gives the assumptions that counts rest on.
    """
    known = KNOWN.get(job.rule)
    if job.rule in NO_ESTIMATE:
        return Work(reason=NO_ESTIMATE[job.rule])
    if known is not None:
        return known(config, job, value)
    if job.rule in LIGHT:
        return Work(terms=((1, "light_job_seconds"),))
    return Work(reason=f"the plan knows no rule '{job.rule}'")


def _drawing(pictures: float, unit: str, *rests: str) -> Work:
    terms = ((pictures, "draw_seconds"), (pictures, "score_seconds"), (1, "draw_job_seconds"))
    return Work({unit: pictures}, terms, rests)


def _references(config: Config, job: PlannedJob, value: Values) -> Work:
    pictures = config["images"]["references_per_event"] * config["curation"]["n_events"]
    return _drawing(pictures, "reference pictures")


def _shard(config: Config, job: PlannedJob, value: Values) -> Work:
    share = sizes.shard_people(config, int(job.wildcards["shard"])) / config["curation"]["n_people"]
    return _drawing(sizes.candidates(config, value("acceptance")) * share, "pictures drawn", "acceptance")


def _settling(config: Config, job: PlannedJob, value: Values) -> Work:
    pictures = sizes.cells(config) * value("pair_refusals") * config["images"]["candidates"]
    if not pictures:  # it loads no network
        return Work({"pictures redrawn": 0}, ((1, "light_job_seconds"),), ("pair_refusals",))
    return _drawing(pictures, "pictures redrawn", "pair_refusals")


def _reference_set(config: Config, job: PlannedJob, value: Values) -> Work:
    if config["dataset"]["reference_sets"] != "pocket":
        return Work(reason="depends on the size of your collections")
    pictures = sizes.suite_pictures(config, job.wildcards["set"])
    return Work({"set pictures": pictures}, ((pictures, "draw_seconds"), (1, "light_job_seconds")))


def _encoding(config: Config, job: PlannedJob, value: Values) -> Work:
    pictures = sizes.suite_pictures(config, job.wildcards["suite"])
    return Work({"pictures encoded": pictures}, ((pictures, "encode_seconds"), (1, "model_job_seconds")))


def _training(config: Config, steps: float, shown: float, *rests: str) -> Work:
    counts = {"optimizer steps": steps, "pictures shown": shown}
    alone = shown / config["training"]["processes"]
    return Work(counts, ((alone, "train_seconds"), (1, "model_job_seconds")), rests)


def _batch(config: Config, phase: str, model: str) -> int:
    own = config["training"][phase]
    return (config["models"][model]["batch"] or own["batch"]) * own["accumulation"]


def _finetuning(config: Config, job: PlannedJob, value: Values) -> Work:
    recipe, epochs = parse_recipe(job.wildcards["recipe"]), config["training"]["finetune"]["epochs"]
    split = recipe.split if recipe.target else None
    pictures = sizes.cells(config) - (sizes.forgotten_pictures(config, split) if split else 0)
    pictures += config["dataset"]["n_replay"]
    batch = _batch(config, "finetune", job.wildcards["model"])
    return _training(config, epochs * -(-pictures // batch), epochs * pictures)


def _unlearning(config: Config, job: PlannedJob, value: Values) -> Work:
    own = job.wildcards
    recipe = parse_recipe(own["recipe"])
    questions, batch = sizes.forget_questions(config, recipe), _batch(config, "unlearn", own["model"])
    steps, epochs = config["methods"][recipe.method]["max_steps"], config["training"]["unlearn"]["epochs"]
    if epochs is not None:
        steps = min(steps, steps_of(epochs, questions, batch))
    steps *= value("steps_share")
    passes = PASSES.get(recipe.method, OTHER_PASSES)
    return _training(config, steps, steps * min(batch, questions) * passes, "steps_share")


def _answering(config: Config, job: PlannedJob, value: Values) -> Work:
    asked: Counter = Counter()
    for recipe in asked_together(config, job):
        asked.update(sizes.asked(config, recipe))
    lengths = {kind: f"{kind}_tokens" for kind in asked}
    questions, tokens = sum(asked.values()), sum(n * value(lengths[kind]) for kind, n in asked.items())
    terms = ((questions, "question_seconds"), (tokens, "token_seconds"), (1, "model_job_seconds"))
    return Work({"questions": questions, "answer tokens": tokens}, terms, tuple(lengths.values()))


def asked_together(config: Config, job: PlannedJob) -> list[Recipe]:
    """The recipes whose adapters a job asks, one after the other on one base."""
    own = job.wildcards
    if job.rule == "answer_steps":
        return [replace(parse_recipe(own["recipe"]), step=step) for step in config["figures"]["steps"]]
    if job.rule == "answer_concepts":
        return [parse_recipe(name) for name in Targets(config).concepts]
    return [parse_recipe(own["recipe"])]


def _judging(config: Config, job: PlannedJob, value: Values) -> Work:
    cases, evaluation = sizes.judge_cases(config, job.wildcards["split"]), config["evaluation"]
    if evaluation["judge"] == "local":
        return Work({"judge cases": cases}, ((1, "light_job_seconds"),))
    options = evaluation[evaluation["judge"]]
    work = _asking(
        "judge", {"judge cases": cases}, cases * value("judge_calls"), value, at_once=options["concurrency"]
    )
    if options["batch_api"]:
        return replace(work, terms=(), reason="a batch takes up to 24 hours")
    return work


def _unseen(config: Config, job: PlannedJob, value: Values) -> Work:
    wanted = sizes.attacked_pictures(config, job.wildcards["split"]) / 2
    if job.rule == "encode_unseen":
        return Work({"pictures encoded": wanted}, ((wanted, "encode_seconds"), (1, "model_job_seconds")))
    return _drawing(wanted / value("acceptance"), "unseen pictures", "acceptance")


def _attack(config: Config, job: PlannedJob, value: Values) -> Work:
    """Questions to the forget set, as often as the attacks ask them; half of them are of forget_train."""
    robustness, kind = config["robustness"], parse_split(job.wildcards["split"])[0]
    pictures, relearn = sizes.attacked_pictures(config, job.wildcards["split"]), robustness["relearn"]
    grids = len(robustness["quantise_bits"]) + 1  # forget_train and, about as many, retain
    asked = pictures * (len(relearn["steps"]) + grids + 1 + PARAPHRASES)
    tokens = asked * value(f"{kind}_tokens")
    terms = (
        (asked + pictures, "question_seconds"),
        (tokens, "token_seconds"),
        (1, "model_job_seconds"),
        (max(relearn["steps"]) * relearn["batch"], "train_seconds"),
    )
    counts = {"questions": asked, "answer tokens": tokens, "answers weighed": pictures}
    return Work(counts, terms, (f"{kind}_tokens",))


def _writing(config: Config, job: PlannedJob, value: Values) -> Work:
    if config["curation"]["backend"] == "shipped":
        return Work(terms=((1, "light_job_seconds"),))
    texts = config["curation"]["n_people" if job.rule == "curate_people" else "n_events"]
    return _asking("text", {"texts": texts}, texts * value("text_calls"), value)


def _asking(what: str, counts: Mapping[str, float], calls: float, value: Values, at_once: int = 1) -> Work:
    names = [f"{what}_{part}" for part in ("calls", "prompt_tokens", "reply_tokens")]
    own = {
        f"{what} calls": calls,
        f"{what} prompt tokens": calls * value(names[1]),
        f"{what} reply tokens": calls * value(names[2]),
    }
    return Work(
        {**counts, **own}, ((calls / at_once, "call_seconds"), (1, "light_job_seconds")), tuple(names)
    )


KNOWN: Mapping[str, Callable[[Config, PlannedJob, Values], Work]] = {
    "curate_people": _writing,
    "curate_events": _writing,
    "draw_references": _references,
    "draw_shard": _shard,
    "settle_pictures": _settling,
    "build_reference_set": _reference_set,
    "encode_images": _encoding,
    "train_finetuned": _finetuning,
    "train_goal": _finetuning,
    "train_unlearned": _unlearning,
    "trace_unlearned": _unlearning,
    "answer_questions": _answering,
    "answer_steps": _answering,
    "answer_concepts": _answering,
    "judge_answers": _judging,
    "draw_unseen": _unseen,
    "encode_unseen": _unseen,
    "attack_model": _attack,
}
