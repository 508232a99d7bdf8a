"""What a cluster is given: light rules run beside Snakemake, and the rest asks for more with each attempt."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from snakemake.iocontainers import ResourceList

from mmunlearn.workflow import check
from mmunlearn.workflow.jobs import Jobs
from tests.copies import ROOT
from tests.rules.standin import Rules
from tests.unit.test_config_schema import merged

PROFILE = yaml.safe_load((ROOT / "profiles/slurm/profile.yaml").read_text(encoding="utf-8"))
MODELS = {
    *("draw_references", "draw_shard", "settle_pictures", "build_reference_set", "draw_unseen"),
    *("encode_images", "encode_tasks", "encode_unseen", "train_finetuned", "train_goal", "train_unlearned"),
    *("trace_unlearned", "unlearn_tasks", "train_experts", "answer_questions", "answer_steps", "answer_concepts"),
    *("answer_before", "answer_stages", "answer_experts", "ask_gate", "measure_drift", "attack_model"),
}  # fmt: skip
"""Rules with a job section's resources."""
PICTURES = {"list_pictures", "merge_manifest", "draw_tasks", "read_tasks"}
PICTURES |= {"review_page", "review_sample", "export_dataset"}
"""Rules that read or write every picture, without a model."""
POCKET_WEIGHTS = {"train_scorers", "calibrate_scorers", "pretrain_model", "measure_known"}
NETWORK = {"curate_people", "curate_events", "judge_answers", "judge_stages", "fetch_weights"}


def rules_of(folder: Path, overlay: dict[str, Any] | None = None) -> dict[str, Any]:
    """The shipped workflow's rules with a changed configuration."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    for section, values in (overlay or {}).items():
        config[section] |= values
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    (folder / "resources").symlink_to(ROOT / "resources")
    return Rules.of(folder)


def submitted(rules: dict[str, Any]) -> set[str]:
    return {name for name, rule in rules.items() if name not in rule.workflow._localrules and not rule.norun}


def test_what_works_for_seconds_runs_beside_snakemake(tmp_path):
    assert submitted(rules_of(tmp_path)) == MODELS | PICTURES | POCKET_WEIGHTS


def test_what_asks_an_endpoint_runs_on_the_partition_with_a_network_if_one_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "fault", lambda *_, **__: None)  # pocket draws no new people
    rules = rules_of(
        tmp_path,
        {
            "curation": {"backend": "openai"},
            "evaluation": {"judge": "openai"},
            "cluster": {"network_partition": "transfer"},
        },
    )
    assert submitted(rules) == MODELS | PICTURES | POCKET_WEIGHTS | NETWORK
    named = {name for name, rule in rules.items() if "slurm_partition" in rule.resources}
    assert named == NETWORK and {rules[name].resources["slurm_partition"].value for name in named} == {
        "transfer"
    }


def test_every_attempt_of_a_submitted_job_asks_for_more(tmp_path):
    """By its own resources, or by the profile's for rules that ask for nothing else; GPUs stay as they are."""
    rules = rules_of(tmp_path, {"cluster": {"network_partition": "transfer"}})
    asking = {name for name in submitted(rules) if "mem_mb" in rules[name].resources}
    assert asking == MODELS | {"fetch_weights"}
    for name in sorted(asking):
        for key in ("mem_mb", "runtime"):
            ask = rules[name].resources[key]._evaluator
            first, third = (ask(None, attempt=attempt) for attempt in (1, 3))
            assert third == 3 * first > 0, f"{name} {key}"
    for key in ("mem_mb", "runtime"):
        first, third = (eval(PROFILE["default-resources"][key], {"attempt": attempt}) for attempt in (1, 3))
        assert third == 3 * first > 0, key


@pytest.mark.parametrize(
    ("preset", "target", "sent", "beside"),
    [("paper", "all", 460, 367), ("mlubench", "lifelong", 67, 106)],
)
def test_how_many_of_a_preset_s_jobs_are_submitted(planned, tmp_path, preset, target, sent, beside):
    """No key of these presets makes another rule a local one: they name no partition that has a network."""
    counts = planned(target, overlays=(f"presets/{preset}.yaml",))
    chosen = submitted(rules_of(tmp_path))
    of_both = [sum(n for name, n in counts.items() if (name in chosen) is there) for there in (True, False)]
    assert of_both == [sent, beside]


def test_the_profile_looks_early_bounds_submissions_and_retries():
    assert PROFILE["slurm-init-seconds-before-status-checks"] == 10
    count, _, seconds = PROFILE["max-jobs-per-timespan"].partition("/")
    assert int(count) / int(seconds.rstrip("s")) == 5
    assert PROFILE["retries"] == 2


def test_a_training_on_two_gpus_reserves_its_threads_once_in_one_machine():
    """As the executor asks for it: 2 processes with 4 workers each; no `tasks`, which would multiply the CPUs."""
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="the slurm extra is not installed")
    from snakemake_executor_plugin_slurm.submit_string import get_submit_command
    from snakemake_executor_plugin_slurm.utils import set_gres_string

    job = {"mem_mb": 128000, "runtime": 720, "gpu": 2}
    jobs = Jobs(merged({"training": {"processes": 2, "workers": 4, "job": job}}))
    asked = {name: one(None, attempt=2) if callable(one) else one for name, one in jobs.training.items()}
    names = ("run_uuid", "slurm_logfile", "comment_str", "account", "partition", "workdir")
    planned = SimpleNamespace(threads=jobs.training_threads, resources=ResourceList(fromdict=asked))
    call = get_submit_command(planned, dict.fromkeys(names, "")) + set_gres_string(planned)
    options = set(call.replace(" -t ", " -t=").replace("--mem ", "--mem=").split())
    assert {"-t=1440", "--mem=256000", "--nodes=1", "--cpus-per-task=10", "--gpus=2"} <= options
    assert "ntasks" not in call
