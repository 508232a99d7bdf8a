"""What makes finished jobs run again: the bytes of code and configured files, never their places and times."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from pathlib import Path

import pytest
import yaml
from snakemake.api import SnakemakeApi
from snakemake.settings.enums import Quietness, RerunTrigger
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

from mmunlearn.models.features import ENCODING
from mmunlearn.workflow import identity, targets
from mmunlearn.workflow.identity import digest_of_sources
from mmunlearn.workflow.unrecorded import overlooked_error
from mmunlearn.workflow.versions import CODE, DIGESTS, version
from tests.copies import ROOT
from tests.dag.conftest import finish, to_run_again
from tests.rules.standin import Rules, _own_signals

TARGETS = ("all", "robustness", "review")
RECORD = {"write_run_config", "write_report"}
"""What says where things lie."""


def overlay(folder: Path, **changes: object) -> None:
    """Write mine.yaml, the overlay of all plans."""
    (folder / "mine.yaml").write_text(yaml.safe_dump(changes))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Snakemake takes every job for done."""
    folder = tmp_path_factory.mktemp("done")
    shutil.copytree(ROOT / "resources", folder / "resources")
    (folder / "config.yaml").symlink_to(ROOT / "config.yaml")
    overlay(folder)
    finish(folder, TARGETS, ["mine.yaml"])
    return folder


@pytest.fixture
def folder(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it with all times, where tests run."""
    shutil.copytree(done, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the code, whose digests count."""
    for name in ("mmunlearn", "workflow_scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(identity, "LIBRARY", tmp_path / "mmunlearn")

    def find_source(module: str) -> Path:
        return tmp_path.joinpath(*module.split(".")).with_suffix(".py")

    monkeypatch.setattr(identity, "find_source", find_source)
    return tmp_path


def to_run(*targets: str) -> Counter:
    """Rule -> jobs that would run."""
    return to_run_again(targets or TARGETS, ["mine.yaml"])


def flip(path: Path) -> None:
    """Change the last byte of a file."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_a_fresh_clone_over_copied_results_has_nothing_to_do(folder):
    """No record of Snakemake's, and every source is newer than every result."""
    shutil.rmtree(folder / ".snakemake")
    assert to_run() == {}


def test_a_training_without_a_record_is_not_taken_for_one_of_other_settings(folder):
    """Its file says a rate; with Snakemake's record the rate is a param, without it nothing would run."""
    trained = Path("results/pocket/models/pocket-llava/ga-event05/seed-1/training.json")
    trained.write_text(json.dumps({"settings": {"learning_rate": 1.0e-3}}))
    os.utime(trained, (1e9, 1e9))
    overlay(folder, methods={"ga": {"learning_rate": 2.0e-3}})
    assert to_run("train") == {"train_unlearned": 2}
    shutil.rmtree(folder / ".snakemake")
    says = rf"in {trained} .*learning_rate 0\.001, which the configuration says is 0\.002; .*--forcerun {trained}\)"
    with pytest.raises(SystemExit, match=says):
        to_run("all")
    assert to_run("review") == {}, "which trains nothing"


def test_what_snakemake_passes_over_below_an_ancient_file_is_said(folder, library):
    """The check of the pictures runs again: below it a changed rate is not looked at before the next run."""
    edit(library, "mmunlearn/reporting/filter_statistics.py", "def ", "def unused(): ...\n\n\ndef ")
    overlay(folder, methods={"ga": {"learning_rate": 2.0e-3}})
    with _own_signals(), SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            ResourceSettings(cores=1), ConfigSettings(configfiles=[folder / "mine.yaml"]),
            snakefile=ROOT / "Snakefile", workdir=folder,
        )  # fmt: skip
        triggers = set(RerunTrigger.all()) - {RerunTrigger.CODE}  # as of the profiles
        settings = DAGSettings(targets={"train"}, rerun_triggers=triggers, max_checksum_file_size=100_000_000)
        workflow.dag(settings).execute_workflow(executor="dryrun")
        ran = {job.rule.name for job in workflow._workflow.dag.needrun_jobs(exclude_finished=False)}
        error = str(overlooked_error(workflow._workflow))
    assert "check_images" in ran and "train_unlearned" not in ran
    assert "passes over in this run" in error and ": 2 of train_unlearned. Run the same" in error


PASSES_OVER = """
from mmunlearn.workflow.unrecorded import overlooked_error


onsuccess:
    if error := overlooked_error(workflow):
        raise error


rule shown:
    default_target: True
    input: "made"
    output: "shown"
    params: config["rate"]
    shell: "touch {output}"


rule made:
    input: ancient("check")
    output: "made"
    params: config["rate"]
    shell: "touch {output}"


rule check:
    output: "check"
    params: config["rate"]
    shell: "touch {output}"
"""


def test_a_run_that_passes_over_jobs_fails_until_the_same_command_has_made_them(tmp_path):
    """Jobs and changes that are not asked for are not missed."""
    (tmp_path / "Snakefile").write_text(PASSES_OVER)

    def run(rate: int, *arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments, "--config", f"rate={rate}"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr

    status, says = run(1)
    assert status == 0, says
    status, says = run(2)
    assert status == 1 and "1 of made, 1 of shown. Run the same command again" in says
    assert run(2)[0] == 0
    (tmp_path / "check").unlink()
    assert run(3, "--rerun-triggers", "mtime")[0] == 0
    assert run(4, "--until", "check")[0] == 0
    assert run(5, "--omit-from", "made")[0] == 0


def test_no_profile_goes_by_the_time_of_a_script():
    profiles = [yaml.safe_load(path.read_text()) for path in (ROOT / "profiles").glob("*/profile.yaml")]
    triggers = [profile["rerun-triggers"] for profile in profiles]
    assert triggers == 2 * [["mtime", "params", "input", "software-env"]]


def test_files_that_move_rerun_what_says_where_they_lie_and_changed_ones_their_jobs(folder):
    resources = Path("resources")
    moved = {
        resources / "pocket" / "llava": "elsewhere/base", resources / "pocket" / "scorers": "elsewhere/scorers",
        resources / "refusals.txt": "elsewhere/no.txt", resources / "pocket" / "people.jsonl": "elsewhere/p.jsonl",
        resources / "pocket" / "events.jsonl": "elsewhere/e.jsonl",
        resources / "pocket" / "paraphrases.yaml": "elsewhere/words.yaml",
    }  # fmt: skip
    Path("elsewhere").mkdir()
    for source, target in moved.items():
        source.rename(target)
    base, scorers, refusals, people, events, paraphrases = moved.values()
    overlay(
        folder, models={"pocket-llava": {"source": base}}, images={"pocket": {"weights": scorers}},
        training={"unlearn": {"refusals": refusals}}, robustness={"paraphrases": paraphrases},
        curation={"shipped": {"people": people, "events": events}},
    )  # fmt: skip
    assert set(to_run()) == RECORD
    words = Path(paraphrases).read_text()
    Path(paraphrases).write_text(words.replace("Who", "who", 1))
    assert set(to_run()) == RECORD | {"attack_model", "make_robustness", "plot_robustness"}
    flip(Path(base, "model.safetensors"))
    changed = to_run()
    assert (
        changed["train_finetuned"] == 1 and changed["train_unlearned"] == 10 and changed["encode_images"] == 4
    )
    assert not {"draw_shard", "build_questions", "split_concepts", "curate_people"} & set(changed)


def test_a_ceiling_for_people_runs_its_own_jobs_and_what_shows_it(folder):
    overlay(folder, ceiling_targets=["event", "person"])
    changed = to_run("all")
    own = ("train_goal", "answer_questions", "score_answers")
    assert changed == dict.fromkeys((*own, "make_table3", "plot_figure8", *RECORD), 1)


def edit(library: Path, path: str, before: str, after: str) -> None:
    """Change a source."""
    text = (library / path).read_text()
    assert before in text
    (library / path).write_text(text.replace(before, after, 1))


def test_edited_code_reruns_what_rests_on_it(folder, library):
    for path in [*library.rglob("*.py")]:
        path.write_text(f'"""Another text."""\n\n# a remark\n{path.read_text()}\n\n')
    assert to_run() == {}
    edit(library, "workflow_scripts/plot_figure8.py", "**it.output", "**dict(it.output)")
    assert set(to_run()) == {"plot_figure8", "write_report"}
    edit(library, "mmunlearn/training/methods/ga.py", "class GA", "class Other: ...\n\n\nclass GA")
    assert to_run("train") == {"train_unlearned": 2}
    edit(library, "mmunlearn/training/losses.py", "log_softmax", "softmax")
    assert to_run("train") == {"train_finetuned": 1, "train_goal": 3, "train_unlearned": 10}


def test_a_version_stands_for_the_code_that_is_listed_under_it_alone(library, monkeypatch):
    before = digest_of_sources(CODE["draw_shard"])
    edit(library, "mmunlearn/synthesis/policy.py", "scores.faces != 1", "scores.faces < 1")
    after = digest_of_sources(CODE["draw_shard"])
    for listed, params in (
        ({1: (before,)}, [f"1 by code {after}", f"2 by code {after}"]),
        ({1: (before,), 2: (after,)}, [f"1 by code {after}", 2]),
        ({1: (before, after)}, [1, f"2 by code {after}"]),
    ):
        monkeypatch.setitem(DIGESTS, "draw_shard", listed)
        assert [version(number, "draw_shard")(None) for number in (1, 2)] == params


SHOWN = {"make_table3", "plot_figure8", "write_report"}
SCORED = {"score_answers", *SHOWN}


@pytest.mark.parametrize(
    ("path", "before", "after", "reruns"),
    [
        (
            "models/generation.py",
            "num_beams=1",
            "num_beams=2",
            {"answer_questions", "judge_answers", *SCORED},
        ),
        ("evaluation/metrics.py", "100.0", "99.0", SCORED),
        ("evaluation/judge/rubrics/g_eval.py", "return", "return 1 or", {"judge_answers", *SCORED}),
        ("models/loading.py", '"sdpa"', '"eager"', set()),
    ],
    ids=lambda value: value if isinstance(value, str) and value.endswith(".py") else "",
)
def test_an_edit_of_what_decides_a_result_reruns_that_and_what_follows(
    folder, library, path, before, after, reruns
):
    edit(library, f"mmunlearn/{path}", before, after)
    assert set(to_run("all")) == reruns


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("evaluation/metrics.py", "100.0", "99.0"),
        ("evaluation/judge/rubrics/g_eval.py", "return", "return 1 or"),
        ("evaluation/intervals.py", "return", "return 1 or"),
        ("training/schedule.py", "return", "return 1 or"),
        ("training/methods/finetune.py", "class Finetune", "class Other: ...\n\n\nclass Finetune"),
    ],
    ids=lambda value: value if value.endswith(".py") else "",
)
def test_an_edit_of_what_an_attack_computes_with_attacks_again(folder, library, path, before, after):
    edit(library, f"mmunlearn/{path}", before, after)
    assert {"attack_model", "make_robustness", "plot_robustness"} <= set(to_run("robustness"))


def test_an_edit_of_how_pictures_are_chosen_draws_again_and_leaves_the_references(folder, library):
    edit(library, "mmunlearn/synthesis/policy.py", "scores.faces != 1", "scores.faces < 1")
    changed = set(to_run("all"))
    assert {"draw_shard", "settle_pictures", "merge_manifest", "encode_images", "train_finetuned"} <= changed
    assert not {"draw_references", "write_prompts", "curate_people"} & changed


def test_what_an_interrupted_run_left_unfinished_is_planned(folder):
    """As by `rerun-incomplete` of the profiles: a job that ran on after Ctrl-C has written its file, unrecorded."""
    path = "results/pocket/tables/table3.csv"
    marker = folder / ".snakemake" / "incomplete" / b64encode(path.encode()).decode()
    marker.parent.mkdir(exist_ok=True)
    marker.touch()
    assert set(to_run()) == {"make_table3", "plot_figure8", "write_report"}


def test_a_deleted_table_or_figure_is_made_again(folder):
    """Each is named by a target: Snakemake does not miss others while what is made of them is there."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    named = targets.default(config | {"outputs": [*targets.OUTPUTS]})
    results = Path("results/pocket")
    outputs = [Path(path) for rule in Rules.of(folder).values() for path in rule.output]
    shown = {path for path in outputs if path.parent in (results / "tables", results / "figures")}
    assert len(shown) > 50 and shown <= {Path(path.replace("<results>", str(results))) for path in named}
    (results / "tables" / "table3.tex").unlink()
    (results / "figures" / "fig4.pdf").unlink()
    assert set(to_run("all")) == {"make_table3", "plot_figure4", "plot_figure8", "write_report"}


BY_HAND = {"fetch_weights", "train_scorers", "calibrate_scorers", "pretrain_model", "measure_known"}
"""Rules whose version alone counts: what they make is pinned, or shipped."""


def test_every_rule_says_which_code_its_result_rests_on(tmp_path):
    """A digest of its script and of what that imports, or a version with the code behind it."""
    with SnakemakeApi() as api:
        workflow = api.workflow(ResourceSettings(), snakefile=ROOT / "Snakefile", workdir=ROOT)._workflow
        rules = [rule for rule in workflow.rules if rule.script]
    assert len(rules) > 35
    for rule in rules:
        sources = [path for path in rule.input if isinstance(path, str) and not path.startswith("results/")]
        assert not sources, (
            f"{rule.name}: Snakemake goes by the place and time of an input; let it be a param"
        )
        params = dict(rule.params.items())
        assert "version" in params or "code" in params or "method_code" in params, rule.name
        if "version" not in params:
            assert str(params["code"](None)) == Path(rule.script).stem, rule.name
        elif not {"code", "method_code"} & params.keys() and rule.name not in BY_HAND:
            number = params["version"](None)
            assert type(number) is int, f"{rule.name}: versions.DIGESTS lists no such version of it: {number}"
    encoding = [rule.params["version"] for rule in rules if rule.script.endswith("/encode_images.py")]
    encoding += [rule.params["encoding"] for rule in rules if "encoding" in rule.params.keys()]  # noqa: SIM118
    assert {one(None) for one in encoding} == {ENCODING} and len(encoding) == 5, (
        "finished stages go by this version"
    )


def test_the_code_behind_every_version_is_the_committed_one():
    found = {name: digest_of_sources(files) for name, files in CODE.items()}
    edited = {
        name: digest for name, digest in found.items() if digest not in DIGESTS[name][max(DIGESTS[name])]
    }
    assert not edited, (
        "Where results change, raise the version in the rules and list the digest under it in versions.DIGESTS; else "
        "add it to those of the present version: that says that results are equal."
    )
    assert CODE.keys() == DIGESTS.keys()
    assert all((identity.LIBRARY / path).exists() for files in CODE.values() for path in files)
