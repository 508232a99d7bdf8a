"""`mmunlearn doctor`: what is found of packages, GPUs, weights, gates, keys, data and disks, and what to do."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from mmunlearn.weights.fetch import fetch_weights
from mmunlearn.workflow import doctor, machine
from mmunlearn.workflow.doctor import CHECKS, Finding, PlannedRun, disk_left, examine, show_findings
from mmunlearn.workflow.storage import AT_ONCE, CHECKPOINT
from mmunlearn.workflow.work import PlannedJob
from tests.unit.hub_standin import COMMIT, TINY, place
from tests.unit.test_config_schema import ROOT, load, merged

PAPER = load(ROOT / "presets" / "paper.yaml")
SECRET = "sk-0123456789abcdefghij"


@pytest.fixture(autouse=True)
def machine_of_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, no keys, no token, and no program on the PATH but what a test puts there."""
    for name in (
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HF_TOKEN_PATH",
        "OPENAI_API_KEY",
        "HF_ENDPOINT",
        "CUDA_VISIBLE_DEVICES",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")


def nvidia_smi(folder: Path, *cards: str, says: str = "", code: int = 0) -> None:
    """A program of that name that lists cards, `<name>, <megabytes>` each, or says something else."""
    listed = "\n".join(f"GPU {number}: {card} (UUID: GPU-{number})" for number, card in enumerate(cards))
    sizes = "\n".join(f"GPU-{number}, {card}" for number, card in enumerate(cards))
    path = folder / "bin" / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n[ $1 = -L ] && echo '{listed}' || echo '{sizes}{says}'\nexit {code}\n")
    path.chmod(0o755)


def job(rule: str, output: str = "made", gpus: int | None = None, **fields: Any) -> PlannedJob:
    return PlannedJob(rule=rule, outputs=(Path("results/paper", output),), gpus=gpus, **fields)


def planned(*jobs: PlannedJob, overlay: dict[str, Any] = PAPER, **fields: Any) -> PlannedRun:
    return PlannedRun(merged(overlay), jobs, **fields)


def found(run: PlannedRun, what: str) -> Finding:
    """The one line on a subject."""
    (line,) = [one for one in examine(run) if one.what == what]
    return line


TRAIN = job("train_unlearned", gpus=1, wildcards={"model": "llava-1.5-7b", "recipe": "gd-event05"},
            params={"loop": {"batch": 4}})  # fmt: skip
ANSWER = job("answer_questions", gpus=1, wildcards={"model": "llava-1.5-7b", "recipe": "gd-event05"})
DRAW = job("draw_shard", gpus=1, params={"pictures": {}})


def fetch(name: str, **fields: Any) -> PlannedJob:
    return job("fetch_weights", f"weights/{name}.json", wildcards={"weights": name}, **fields)


# packages


def test_packages_are_those_of_the_backends_in_use(monkeypatch):
    """A missing one is named with what brings it; what no job needs is not looked for."""
    versions = {"openai": None, "diffusers": "0.1", "torchao": None, "peft": None}

    def version(name: str) -> str:
        if versions.get(name, "") is None:
            raise metadata.PackageNotFoundError(name)
        return versions.get(name) or REAL(name)

    monkeypatch.setattr(metadata, "version", version)
    run = planned(DRAW, job("judge_answers"))
    assert found(run, "packages") == ("packages", "missing", "no peft", "make run sets them up")
    assert found(run, "packages for images.generator")[1:] == (
        "missing",
        "diffusers 0.1, not >=0.42",
        "make paper",
    )
    assert found(run, "packages for evaluation.openai")[1:] == ("missing", "no openai", "make paper")
    assert found(run, "packages for images.scorers").status == "ok"
    assert {one.what for one in examine(planned(job("write_report")))} == {
        "run", "python", "packages", "gpu", "data"
    }  # fmt: skip
    flux = {"images": PAPER["images"] | {"flux": {"quantisation": "int8"}}}
    line = found(planned(DRAW, overlay=PAPER | flux), "packages for images.flux.quantisation")
    assert line[1:] == ("missing", "no torchao", ".venv/bin/pip install -c constraints.txt torchao")
    monkeypatch.setattr("platform.python_version", lambda: "3.10.2")
    assert found(run, "python")[1:3] == ("missing", "3.10.2, not >=3.11")


REAL = metadata.version


def test_every_package_that_a_backend_needs_is_one_of_the_extras():
    extras = [text for rows in machine.project()["optional-dependencies"].values() for text in rows]
    names = [name for names, _, _ in doctor.USES.values() for name in names]
    assert "openai" in names and all(any(one.startswith(name) for one in extras) for name in names)


# GPUs


def test_without_a_gpu_the_need_is_said_once_and_the_arithmetic_noted():
    lines = [one for one in examine(planned(TRAIN, ANSWER, DRAW)) if one.what.startswith("gpu")]
    assert [(one.what, one.status) for one in lines] == [
        ("gpu", "missing"), ("gpu memory: FLUX", "note"), ("gpu memory: llava-1.5-7b", "note")
    ]  # fmt: skip
    assert lines[0].found == "there is no nvidia-smi"
    assert lines[0].todo == "3 jobs ask for one, of 33 GB or more by arithmetic: run where it is"
    assert lines[1].found == ("33.2 GB to draw (transformer 23.8, activations 2.3, decoder 2.3, filters 2.3)")
    assert lines[2].found == (
        "27.6 GB to train (weights 14.1, LoRA and AdamW 7.7, activations 3.2, logits 0.4); "
        "32.0 GB to answer (weights 15.4, keys and values 12.2, reading 1.9)"
    )


def test_a_gpu_is_large_enough_or_the_keys_to_lower_are_named(tmp_path, monkeypatch):
    nvidia_smi(tmp_path, "NVIDIA A100-SXM4-80GB, 81920", "NVIDIA A10, 23028")
    assert found(planned(TRAIN), "gpu")[1:3] == (
        "ok",
        "NVIDIA A100-SXM4-80GB (85.9 GB), NVIDIA A10 (24.1 GB)",
    )
    line = found(planned(TRAIN), "gpu memory: llava-1.5-7b")
    assert line.status == "missing", "the smallest card counts: any job may get it"
    assert "models.llava-1.5-7b.batch" in line.todo and "evaluation.batch" in line.todo
    assert "images.flux.quantisation: int8" in found(planned(DRAW), "gpu memory: FLUX").todo
    nvidia_smi(tmp_path, "NVIDIA A100-SXM4-80GB, 81920")
    assert found(planned(TRAIN, DRAW), "gpu memory: llava-1.5-7b").status == "ok"
    nvidia_smi(tmp_path, "NVIDIA A100-SXM4-80GB, 81920", "NVIDIA A10, 23028")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert found(planned(TRAIN), "gpu memory: llava-1.5-7b").status == "ok", (
        "the other card is not shown to jobs"
    )
    two = job("train_goal", gpus=2, wildcards=TRAIN.wildcards, params=TRAIN.params)
    assert found(planned(two), "gpu")[1:] == (
        "missing", "NVIDIA A100-SXM4-80GB (85.9 GB)",
        "a job asks for 2: lower training.processes and training.job.gpu",
    )  # fmt: skip


def test_main_memory_of_the_largest_job_and_of_as_many_as_there_are_gpus(tmp_path, monkeypatch):
    run = planned(replace(TRAIN, memory_mb=128000), replace(DRAW, memory_mb=96000))
    monkeypatch.setattr(machine, "memory_bytes", lambda: 270 * 10**9)
    nvidia_smi(tmp_path, *["A100, 81920"] * 2)
    assert found(run, "memory")[1:] == ("ok", "270 GB; the largest job, train_unlearned, asks for 128 GB", "")
    nvidia_smi(tmp_path, *["A100, 81920"] * 3)
    line = found(run, "memory")
    assert line.status == "note" and line.found.endswith("asks for 128 GB, 3 at once 384 GB")
    assert line.todo == "nothing bounds the sum here: --resources gpu=3 judge=1 mem_mb=270000"
    monkeypatch.setattr(machine, "memory_bytes", lambda: 127 * 10**9)
    assert found(run, "memory").status == "note" and "lower the mem_mb" in found(run, "memory").todo


def test_a_job_of_several_gpus_is_told_with_how_to_start_it(tmp_path):
    nvidia_smi(tmp_path, *["A100, 81920"] * 2)
    line = found(planned(replace(TRAIN, gpus=2)), "gpu")
    assert line.status == "ok" and line.todo == "a job asks for 2: start with --resources gpu=2 judge=1"


@pytest.mark.parametrize("text", ["executor: local", "executor: [", "- a", ""])
def test_an_executor_that_is_not_installed_is_a_package(tmp_path, monkeypatch, text):
    (tmp_path / "profile.yaml").write_text(text)
    assert machine.lacking_executor(tmp_path) == machine.lacking_executor(tmp_path / "none") == ""
    monkeypatch.setattr(machine, "lacking_packages", lambda names: [f"no {name}" for name in names])
    (tmp_path / "profile.yaml").write_text("executor: slurm\n")
    assert machine.lacking_executor(tmp_path) == "snakemake-executor-plugin-slurm"
    line = found(
        planned(TRAIN, executor="snakemake-executor-plugin-slurm"), "packages for --workflow-profile"
    )
    assert line.todo == ".venv/bin/pip install -c constraints.txt -e '.[slurm]'"


def test_what_a_pass_holds_follows_the_recipe_and_the_settings():
    def parts(recipe: str, overlay: dict[str, Any] = PAPER, output: str = "made") -> str:
        one = job(
            "train",
            output,
            gpus=1,
            wildcards={"model": "llava-1.5-7b", "recipe": recipe},
            params=TRAIN.params,
        )
        return found(planned(one, overlay=overlay), "gpu memory: llava-1.5-7b").found

    whole = PAPER | {"training": PAPER["training"] | {"checkpointing": False}}
    kept = [parts(recipe, whole) for recipe in ("finetuned", "goal-both05", "kl-event05", "gd+bgd-both05")]
    assert [text.partition("activations ")[2].partition(",")[0] for text in kept] == [
        "27.5",
        "27.5",
        "55.0",
        "82.5",
    ]
    assert "activations 1.6," in parts("finetuned")
    assert "LoRA and AdamW 1.0," in parts("finetuned", output="lifelong/made"), "its own rank, 16"


@pytest.mark.parametrize("cached", [True, False, None])
def test_a_model_that_keeps_no_features_has_those_of_64_pictures_at_hand(cached):
    name = "llama-3.2-vision-11b"
    overlay = PAPER | {"models": {name: PAPER["models"][name] | {"cache_features": cached}}}
    jobs = [job("any", gpus=1, wildcards={"model": name, "recipe": "gd-event05"}, params=params)
            for params in ({"loop": {"batch": 4}}, {})]  # fmt: skip
    said = found(planned(*jobs, overlay=overlay), f"gpu memory: {name}").found
    assert said.count("pictures at hand 3.4)") == (0 if cached else 2)
    assert "GB to train (" in said and "GB to answer (" in said


@pytest.mark.parametrize(("at_once", "rows"), [(None, 6), (4, 3), (8, 6)])
def test_an_attack_relearns_before_it_asks(at_once, rows):
    """Of one question a sample, its answer the longer one, without checkpointing."""
    attacks = {"relearning": {"batch": 6, "at_once": at_once}}
    one = job("attack_model", gpus=1, wildcards=ANSWER.wildcards, params={"attacks": attacks})
    said = found(planned(one), "gpu memory: llava-1.5-7b").found
    layer = 24 * 4096 + 4 * 4096 + 8 * 11008 + 3 * (6 * 4096 + 11008)
    assert f"activations {rows * (576 + 25 + 59) * 32 * layer / 1e9:.1f}, logits" in said
    assert " GB to relearn (" in said and "; 32.0 GB to answer (" in said and "to train" not in said


def test_pictures_of_released_tasks_are_taken_to_have_1024_pixels():
    """Whatever images.size is: 1,024 tokens of Qwen3-VL, not 64."""
    mlubench = load(ROOT / "presets" / "mlubench.yaml")
    one = job("answer_stages", "lifelong/made", gpus=1, wildcards={"model": "qwen3-vl-4b-instruct"})
    line = found(planned(one, overlay=mlubench), "gpu memory: qwen3-vl-4b-instruct")
    kept = 16 * (1024 + 25 + 250) * 36 * 2 * 1024 * 2 / 1e9
    assert f"keys and values {kept:.1f}" in line.found


def test_a_gpu_that_nobody_can_look_at(tmp_path, monkeypatch):
    nvidia_smi(tmp_path, says="NVIDIA-SMI has failed because\nit could not talk to the driver", code=9)
    assert found(planned(TRAIN), "gpu").found == (
        "nvidia-smi lists none: NVIDIA-SMI has failed because it could not talk to the driver"
    )
    nvidia_smi(tmp_path)
    assert found(planned(TRAIN), "gpu").found == "nvidia-smi lists none: it says nothing"
    nvidia_smi(tmp_path, "NVIDIA GB10, [N/A]")
    assert found(planned(TRAIN), "gpu")[1:3] == ("ok", "NVIDIA GB10 (memory not known)")
    assert found(planned(TRAIN), "gpu memory: llava-1.5-7b").status == "note"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1")
    assert found(planned(TRAIN), "gpu").found == "part of a GPU in MIG mode (memory not known)"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert found(planned(TRAIN), "gpu")[1:3] == ("missing", "CUDA_VISIBLE_DEVICES shows none")
    (tmp_path / "bin" / "nvidia-smi").write_text("#!/bin/sh\nexec /bin/sleep 20\n")
    monkeypatch.setattr(machine, "SECONDS", 0.2)
    assert found(planned(TRAIN), "gpu").found == "nvidia-smi does not answer (TimeoutExpired)"


def test_a_model_of_which_no_shape_is_known_is_said_to_be(tmp_path):
    nvidia_smi(tmp_path, "NVIDIA A10, 23028")
    models = PAPER["models"] | {"mine": {"family": "other", "source": str(ROOT / "resources/pocket/llava")}}
    mine = job("answer_questions", gpus=1, wildcards={"model": "mine"})
    line = found(planned(mine, overlay=PAPER | {"models": models}), "gpu memory: mine")
    assert line.status == "unknown" and "no shape is known of family other" in line.found
    assert found(planned(job("encode")), "gpu") == ("gpu", "ok", "no job asks for one", "")


# weights, gates, keys, addresses


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """`tiny` are the only weights that there are; gives a finding on them, with other settings of `weights`."""
    import yaml

    from mmunlearn.weights import entries

    resource = tmp_path / "weights.yaml"
    resource.write_text(yaml.safe_dump({"tiny": {**TINY, "gigabytes": 7.5}}))
    monkeypatch.setattr(entries, "RESOURCE", resource)

    def line(what: str = "weights: tiny", to_run: bool = True, **settings: Any) -> Finding | None:
        run = planned(fetch("tiny"), job("draw_shard", to_run=to_run), overlay={"weights": settings})
        return next((one for one in examine(run) if one.what == what), None)

    return line


def test_weights_are_there_will_come_or_will_not(tiny, tmp_path):
    line = tiny()
    assert (
        line.status == "missing"
        and "weights/tiny lacks config.json, part/*.safetensors, and nothing" in line.found
    )
    assert line.todo.startswith(
        "set weights.download: true (about 7.5 GB from someone/tiny on the model hub, licence: of"
    )
    line = tiny(download=True, revisions={"tiny": COMMIT})
    assert line.status == "note" and line.todo == ""
    assert line.found.endswith(
        "the run fetches about 7.5 GB from someone/tiny on the model hub, revision aaaaaaaaaaaa"
    )
    place(Path("weights/tiny"))
    assert tiny().status == "ok" and "not recorded yet" in tiny().found
    done = planned(fetch("tiny", to_run=False), job("draw_shard"), overlay={"weights": {}})
    assert found(done, "weights: tiny").status == "ok", "fetched before, and still needed"
    fetch_weights(tmp_path / "receipt", name="tiny", folder="weights", source=None, download=False)
    assert tiny()[1:3] == ("ok", "weights/tiny, as recorded in weights/tiny.lock.json")
    Path("weights/tiny/config.json").write_text("{}")
    line = tiny(download=True)
    assert line.status == "missing" and line.found == "weights/tiny/config.json has 2 bytes; 19 were recorded"
    assert "move it away" in line.todo
    Path("weights/tiny.lock.json").write_text("{")
    assert tiny().status == "missing" and "is no lock" in tiny().found
    mine = place(tmp_path / "mine")
    assert tiny(sources={"tiny": str(mine)})[1:3] == ("ok", f"taken from weights.sources.tiny: {mine}")
    (mine / "config.json").unlink()
    line = tiny(sources={"tiny": str(mine)}, download=True)
    assert line[1:] == (
        "missing", f"weights.sources.tiny: {mine} lacks config.json",
        "put them there, from someone/tiny on the model hub",
    )  # fmt: skip


def test_gates_ask_for_licence_and_token_of_what_will_be_fetched(tiny, tmp_path, monkeypatch):
    gate = "gate: someone/tiny"
    assert tiny(gate) is None, "nothing is fetched"
    mine = {"tiny": str(place(tmp_path / "mine"))}
    assert tiny(gate, download=True, sources=mine) is None, "nor where a folder of one's own is named"
    line = tiny(gate, download=True)
    assert line[1:3] == ("missing", "HF_TOKEN is not set")
    assert line.todo.startswith("accept the licence at https://huggingface.co/someone/tiny and set HF_TOKEN")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    line = tiny(gate, download=True)
    assert line.status == "unknown" and "hf_secret" not in str(line)
    assert line.todo.startswith("accept 'of the tests' at https://huggingface.co/someone/tiny")
    monkeypatch.delenv("HF_TOKEN")
    place(tmp_path / "hub", {"token": b""})
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", " ")
    assert tiny(gate, download=True).status == "missing", "nothing is in them"
    place(tmp_path / "hub", {"token": b"hf_secret"})
    assert tiny(gate, download=True).status == "unknown"
    place(Path("weights/tiny"))
    assert tiny(gate, download=True) is None


def test_llama_and_flux_are_gated():
    run = planned(fetch("flux-dev"), fetch("llama-3.2-vision-11b"), fetch("llava-1.5-7b"))
    assert [one.what for one in examine(run) if one.what.startswith("gate")] == [
        "gate: black-forest-labs/FLUX.1-dev", "gate: meta-llama/Llama-3.2-11B-Vision-Instruct"
    ]  # fmt: skip


def test_a_key_is_set_or_not_and_never_shown(monkeypatch):
    run = planned(job("judge_answers"))
    assert found(run, "key: evaluation.openai")[1:] == (
        "missing", "OPENAI_API_KEY is not set", "export OPENAI_API_KEY=..., where the jobs run"
    )  # fmt: skip
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert found(run, "key: evaluation.openai")[1:3] == ("ok", "OPENAI_API_KEY is set")
    text = show_findings(examine(run)) + json.dumps([one._asdict() for one in examine(run)])
    assert not any(SECRET[start : start + 5] in text for start in range(len(SECRET) - 4))
    needs_none = {"evaluation": {"judge": "openai", "openai": {"key_env": None}}}
    assert found(planned(job("judge_answers"), overlay=needs_none), "key: evaluation.openai").status == "ok"
    assert not [
        one for one in examine(planned(job("draw_shard"))) if one.what.startswith(("key", "endpoint"))
    ]


def test_addresses_are_tried_only_when_asked(monkeypatch, tiny):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        judge = {"evaluation": {"judge": "openai", "openai": {"base_url": url, "key_env": None}}}
        line = found(planned(job("judge_answers"), overlay=judge), "endpoint: evaluation.openai")
        assert line[1:] == ("unknown", f"{url} was not tried", "mmunlearn doctor --network tries it")
        run = planned(job("judge_answers"), overlay=judge, network=True)
        assert found(run, "endpoint: evaluation.openai")[1:3] == (
            "ok",
            f"{url} takes connections; nothing was asked of it",
        )
        with server.accept()[0] as connection:
            assert connection.recv(1) == b"", "nothing was sent"
        monkeypatch.setenv("HF_ENDPOINT", url)
        hub = planned(fetch("tiny"), overlay={"weights": {"download": True}}, network=True)
        assert found(hub, "hub").status == "ok"
    line = found(run, "endpoint: evaluation.openai")
    assert line.status == "missing" and "takes no connection: Connection refused" in line.found
    line = found(hub, "hub")
    assert line.status == "missing" and "HF_ENDPOINT" in line.todo and "base_url" not in line.todo


# data and disks


def test_data_of_the_rules_that_run_has_a_line_a_folder():
    run = planned(job("build_reference_set"))
    lines = [one for one in examine(run) if one.what.startswith("data")]
    assert [one.what for one in lines] == [
        f"data: dataset.files.{key}" for key in ("people", "events", "pope", "coco")
    ]
    assert all(one.status == "missing" and one.todo.startswith("bring it: ") for one in lines)
    assert lines[0].found == "there is no folder 'data/mike'"
    assert found(planned(job("draw_shard")), "data").status == "ok"
    own = {"weights": {"download": False}}
    assert found(planned(fetch("clip-vit-l-14"), overlay=PAPER | own), "data").status == "ok", (
        "weights have their own"
    )


@pytest.mark.parametrize(
    "address", ["https://localhost:99999/x", "localhost:8080", f"https://{'a' * 80}.example", "http://[x"]
)
def test_what_is_no_address_is_not_tried(address, monkeypatch):
    monkeypatch.setattr(machine.socket, "create_connection", lambda place, timeout: place[0].encode("idna"))
    assert machine.reachable(address) == "no web address"


def test_folders_that_cannot_be_written_are_named(monkeypatch, tmp_path):
    run = planned(job("draw_shard"))
    monkeypatch.chdir(tmp_path)
    assert list(doctor.written(run)) == []
    (tmp_path / "logs").write_text("a file")
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(machine.os, "access", lambda path, mode: "results" not in str(path))
    assert [(one.what, one.status) for one in doctor.written(run)] == [
        ("folder: results", "missing"),
        ("folder: logs", "missing"),
    ]


def test_disks_are_added_up_by_file_system(monkeypatch, tiny):
    """The plan's gigabytes and those of the weights to fetch, against what is free where each will lie."""
    disks = {"weights": (1, 8e9), "results": (2, 100e9)}
    monkeypatch.setattr(machine, "free_bytes", lambda path: disks[str(path)])
    run = planned(fetch("tiny"), overlay={"weights": {"download": True}}, disk=120.0)
    assert found(run, "disk: weights")[1:] == ("ok", "7.5 GB needed, 8.0 GB free at weights", "")
    line = found(run, "disk: results, work")
    assert (
        line[1:3] == ("missing", "120.0 GB needed, 100.0 GB free at results") and "larger disk" in line.todo
    )
    disks["results"] = disks["weights"] = (1, 127e9)
    line = found(run, "disk: results, work, weights")
    assert line[1:3] == ("missing", "127.5 GB needed, 127.0 GB free at results")


def test_a_place_that_is_not_there_yet_lies_on_the_disk_above_it(tmp_path):
    device, free = machine.free_bytes(tmp_path / "not" / "yet")
    assert device == tmp_path.stat().st_dev and free > 0


def test_what_jobs_will_still_write():
    """Of two models' trainings, the one that is done left out: rank x MB, and a checkpoint; weights apart."""
    config = merged(PAPER)
    one, other = (
        replace(TRAIN, outputs=(Path("results/paper/models/llava-1.5-7b", run, "adapter/adapter_model.safetensors"),),
                wildcards={"model": "llava-1.5-7b", "recipe": "finetuned"}, to_run=to_run,
                params={"loop": {"batch": 4, "accumulation": 16}, "epochs": 5})
        for run, to_run in (("finetuned/seed-1", True), ("finetuned/seed-2", False))
    )  # fmt: skip
    weights = fetch("flux-dev")
    adapter = 128 * config["plan"]["adapter_mb"]["value"]["llava-1.5-7b"] / 1e3
    assert disk_left(config, [one, other, weights]) == pytest.approx(adapter * (1 + AT_ONCE * CHECKPOINT))
    assert disk_left(config, [other]) == 0


# what is printed


def test_a_finished_run_lacks_nothing():
    jobs = [fetch("flux-dev", to_run=False), job("draw_shard", gpus=1, to_run=False), job("all", target=True)]
    findings = examine(planned(*jobs, disk=0.0))
    assert {one.status for one in findings} <= {"ok", "note"}
    assert "Nothing that is needed is missing." in show_findings(findings)


def test_a_finding_is_a_line_with_stable_keys():
    findings = [Finding("a", "ok", "b"), Finding("longer", "missing", "c", "d")]
    assert show_findings(findings) == ("ok       a       b\nmissing  longer  c -> d\n\n1 of 2 are missing.\n")
    assert findings[1]._asdict() == {"what": "longer", "status": "missing", "found": "c", "todo": "d"}
    assert len(CHECKS) == 11 and all(check.__doc__ for check in CHECKS)


def test_paper_names_all_that_it_lacks_here():
    """No key, no gate, no data: every line that is missing says what to do."""
    run = planned(
        TRAIN, ANSWER, DRAW, fetch("flux-dev"), job("build_reference_set"), job("judge_answers"), disk=1e6
    )
    missing = [one for one in examine(run) if one.status == "missing"]
    assert len(missing) >= 8 and all(one.todo for one in missing)
