"""The FLUX generator on a tiny pipeline of the published layout: what shapes a picture, and what must not."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmunlearn.records import Prompt
from mmunlearn.synthesis import flux, prompt_embeddings
from mmunlearn.synthesis.flux import FluxGenerator, check_folder
from mmunlearn.synthesis.generate import DrawRequest
from mmunlearn.synthesis.prompt_embeddings import PromptEmbeddings
from mmunlearn.weights import WeightsError
from tests.tiny_flux import write_flux

TOKENS = 24
PEOPLE = {"p0": ["a man at sea.", "a man in Paris."], "p1": ["a woman at sea.", "a woman in Paris."]}
PROMPTS = [
    Prompt(image_id=f"{person}-e{event}", person_id=person, event_id=f"e{event}", prompt=text)
    for person, texts in PEOPLE.items()
    for event, text in enumerate(texts)
]


def options(folder: Path, **changed: Any) -> dict[str, Any]:
    return {
        "source": str(folder), "dtype": "float32", "device": "cpu", "steps": 2, "max_sequence_length": TOKENS,
        "compile": False, "quantisation": "none", "batch": 4, **changed,
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_flux(tmp_path_factory.mktemp("flux"))


@pytest.fixture(scope="module")
def encoded(folder, tmp_path_factory) -> Path:
    """Working folder of a job that has encoded all prompts."""
    work = tmp_path_factory.mktemp("encoded")
    FluxGenerator(PROMPTS, options(folder), seed=0, work=work).prepare(PROMPTS)
    return work


@pytest.fixture
def make(folder, tmp_path) -> Callable[..., FluxGenerator]:
    """A generator on the tiny pipeline, with changed options; it has no embeddings yet."""

    def generator(**changed: Any) -> FluxGenerator:
        return FluxGenerator(PROMPTS, options(folder, **changed), seed=0, work=tmp_path)

    return generator


@pytest.fixture
def ready(make, encoded, tmp_path) -> Callable[..., FluxGenerator]:
    """A generator that finds all prompts encoded."""
    shutil.copytree(encoded, tmp_path, dirs_exist_ok=True)
    return make


@pytest.fixture
def other(folder, tmp_path) -> Path:
    """Other weights: the files differ in one."""
    copy = shutil.copytree(folder, tmp_path / "other")
    (copy / "transformer" / "config.json").open("a").write("\n")
    return copy


@dataclass
class Load:
    """A pipeline that was loaded: `text` encoders or `pictures`' transformer and VAE."""

    part: str
    dtype: str
    models: list[weakref.ref]

    @property
    def alive(self) -> bool:
        return any(model() is not None for model in self.models)


@pytest.fixture
def loads(monkeypatch) -> list[Load]:
    """What is loaded, in order."""
    seen, load = [], prompt_embeddings.load_pipeline

    def recorded(*args, **components):
        pipeline = load(*args, **components)
        models = [pipeline.text_encoder, pipeline.text_encoder_2, pipeline.transformer, pipeline.vae]
        part = "text" if pipeline.transformer is None else "pictures"
        seen.append(Load(part, str(pipeline.dtype), [weakref.ref(model) for model in models if model]))
        return pipeline

    monkeypatch.setattr(prompt_embeddings, "load_pipeline", recorded)
    monkeypatch.setattr(flux, "load_pipeline", recorded)
    return seen


@pytest.fixture
def floats(monkeypatch) -> list[np.ndarray]:
    """Every drawn batch before it is rounded to bytes, (B, 3, H, W) in [-1, 1]."""
    from diffusers.image_processor import VaeImageProcessor

    seen, postprocess = [], VaeImageProcessor.postprocess

    def recorded(self, image, *args, **kwargs):
        seen.append(image.float().numpy())
        return postprocess(self, image, *args, **kwargs)

    monkeypatch.setattr(VaeImageProcessor, "postprocess", recorded)
    return seen


def request(index: int = 0, seed: int = 1, guidance: float = 3.5, size: int = 32) -> DrawRequest:
    prompt = PROMPTS[index]
    return DrawRequest(prompt.image_id, 0, seed, guidance, size, prompt.prompt, None)


def pixels(images) -> np.ndarray:
    return np.stack([np.asarray(image) for image in images])


def embeddings(work: Path) -> list[Path]:
    return sorted(work.glob("prompt_embeddings/*/*"))


def test_a_picture_is_the_one_that_the_plain_pipeline_draws(make, folder):
    import torch
    from diffusers import FluxPipeline

    unit = [request(0, seed=5), request(3, seed=6)]
    drawn = make().draw(unit)
    plain = FluxPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    plain.set_progress_bar_config(disable=True)
    expected = plain(
        [one.prompt for one in unit],
        generator=[torch.Generator("cpu").manual_seed(one.seed) for one in unit],
        num_inference_steps=2, height=32, width=32, guidance_scale=3.5, max_sequence_length=TOKENS,
    ).images  # fmt: skip
    assert [image.size for image in drawn] == [(32, 32)] * 2 and {image.mode for image in drawn} == {"RGB"}
    assert np.array_equal(pixels(drawn), pixels(expected))
    assert pixels(drawn).std() > 1


def test_each_picture_of_a_unit_has_its_own_guidance(ready, floats):
    generator = ready()
    first, second = request(0, seed=1, guidance=2.0), request(1, seed=2, guidance=5.0)
    for unit in ([first, second], [first], [second], [replace(second, guidance_scale=2.0)]):
        generator.draw(unit)
    both, one, two, otherwise = floats
    assert np.abs(both[0] - one[0]).max() < 1e-4 and np.abs(both[1] - two[0]).max() < 1e-4
    assert np.abs(two - otherwise).max() > 1e-3


def test_seed_and_prompt_matter_and_nothing_else_varies(ready):
    generator = ready()
    picture, again, other_seed, other_prompt = (
        pixels(generator.draw([one])) for one in (request(), request(), request(seed=2), request(1))
    )
    assert np.array_equal(picture, again)
    assert not np.array_equal(picture, other_seed) and not np.array_equal(picture, other_prompt)
    unit = [request(0, seed=seed, guidance=2.0 + seed) for seed in range(3)]
    assert np.array_equal(pixels(ready().draw(unit)), pixels(generator.draw(unit)))


def test_units_are_drawn_in_chunks_in_order(ready, floats):
    unit = [request(0, seed=seed) for seed in range(5)]
    chunked = pixels(ready(batch=2).draw(unit))
    assert [len(batch) for batch in floats] == [2, 2, 1]
    assert np.abs(chunked.astype(int) - pixels(ready(batch=5).draw(unit))).max() <= 1
    assert ready().draw([]) == []


def test_prompts_are_encoded_once_before_anything_is_drawn(make, loads):
    generator = make()
    generator.prepare(PROMPTS)
    generator.prepare(PROMPTS)
    for index in range(4):
        generator.draw([request(index)])
    assert [load.part for load in loads] == ["text", "pictures"]
    make().draw([request()])
    assert [load.part for load in loads] == ["text", "pictures", "pictures"]


def test_unprepared_people_are_encoded_one_by_one_while_no_transformer_is_in_memory(make, loads, monkeypatch):
    generator, calls, encode = make(), [], PromptEmbeddings.encode

    def watched(self, prompts):
        calls.append((list(prompts), [load.part for load in loads if load.alive]))
        encode(self, prompts)

    monkeypatch.setattr(PromptEmbeddings, "encode", watched)
    for index in range(4):
        generator.draw([request(index)])
        assert [load.part for load in loads if load.alive] == ["pictures"], (
            "text encoders have done their part"
        )
    assert calls == [(texts, []) for texts in PEOPLE.values()]
    assert [load.part for load in loads] == ["text", "pictures"] * 2


@pytest.mark.parametrize("damage", ["gone", "cut", "other length"])
def test_a_lost_embedding_is_made_again_and_changes_nothing(ready, make, tmp_path, damage, caplog):
    before = {path: path.read_bytes() for path in embeddings(tmp_path)}
    path, content = next(iter(before.items()))
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-7])
    else:  # too short for the prompt
        make(max_sequence_length=8).prepare(PROMPTS[:1])
        (short,) = set(embeddings(tmp_path)) - set(before)
        shutil.move(short, path)
        assert "1 of 1 prompts have more than images.flux.max_sequence_length = 8 tokens" in caplog.text
    with caplog.at_level(logging.WARNING):
        make().prepare(PROMPTS)
    assert {path: path.read_bytes() for path in embeddings(tmp_path)} == before
    assert ("is damaged" in caplog.text) == (damage != "gone")


def test_a_damaged_embedding_stays_until_another_takes_its_place(ready, make, tmp_path):
    """Another run may have made it again since it was seen: nothing is removed."""
    path, content = next((path, path.read_bytes()) for path in embeddings(tmp_path))
    path.write_bytes(content[:-7])
    store = make()._embeddings
    assert [store.path(prompt) for prompt in store.missing(one.prompt for one in PROMPTS)] == [path]
    assert path.read_bytes() == content[:-7]


def test_embeddings_of_other_lengths_dtypes_and_weights_lie_apart(tmp_path):
    store = PromptEmbeddings(tmp_path, "weights", tmp_path, "float32", "cpu", TOKENS)
    changes = [{}, {"identity": "others"}, {"dtype": "bfloat16"}, {"max_sequence_length": 16}]
    assert len({replace(store, **change).path("a cat").parent for change in changes}) == 4
    assert replace(store, device="cuda").path("a cat") == store.path("a cat") != store.path("a dog")


def test_sixteen_bits_work_on_the_cpu(make, loads):
    assert pixels(make(dtype="bfloat16").draw([request()])).std() > 1
    assert [load.dtype for load in loads] == ["torch.bfloat16"] * 2


def test_compiled_blocks_draw_the_same_with_a_guidance_each(ready, monkeypatch):
    import torch
    from diffusers import FluxTransformer2DModel

    calls, compile_blocks = [], FluxTransformer2DModel.compile_repeated_blocks

    def without_code(self, **kwargs):
        calls.append(kwargs)
        compile_blocks(self, **kwargs, backend="eager")

    monkeypatch.setattr(FluxTransformer2DModel, "compile_repeated_blocks", without_code)
    unit = [request(0, guidance=2.0), request(1, guidance=5.0), request(0, seed=3)]
    compiled = ready(compile=True, batch=2)
    drawn = pixels(compiled.draw(unit))
    assert np.abs(drawn.astype(int) - pixels(ready(batch=2).draw(unit))).max() <= 1
    assert np.array_equal(drawn, pixels(compiled.draw(unit)))
    assert calls == [{"dynamic": False}]
    torch.compiler.reset()


@pytest.mark.parametrize("quantisation", ["int8", "fp8"])
def test_quantised_weights_draw_nearly_the_same(ready, quantisation):
    pytest.importorskip("torchao")
    exact, generator = ready(), ready(quantisation=quantisation)
    difference = pixels(exact.draw([request()])).astype(int) - pixels(generator.draw([request()]))
    assert 0 < np.abs(difference).mean() < 8
    assert np.array_equal(*(pixels(generator.draw([request(), request(1, guidance=2.0)])) for _ in range(2)))


def test_the_version_names_what_shapes_a_picture(make, folder, other, tmp_path):
    changes = [
        {}, {"steps": 3}, {"dtype": "bfloat16"}, {"max_sequence_length": 16}, {"compile": True}, {"batch": 2},
        {"source": str(other)},
    ]  # fmt: skip
    assert len({make(**change).version for change in changes}) == len(changes)
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert make(device="auto").version == make(source=str(moved)).version == make().version
    assert make().name == "flux"


def test_the_version_is_read_without_torch(folder, tmp_path):
    code = f"""
import sys
from pathlib import Path
from mmunlearn.synthesis.flux import FluxGenerator
print(FluxGenerator([], {options(folder)}, seed=0, work=Path({str(tmp_path)!r})).version)
print(sorted({{"torch", "diffusers", "transformers"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, imported = done.stdout.split("\n")[:2]
    assert len(version) == 16 and imported == "[]"


def test_embeddings_must_be_finite(make, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch, "isfinite", lambda tensor: torch.zeros(1, dtype=torch.bool))
    with pytest.raises(
        prompt_embeddings.EncodingError, match=r"float16.*set images\.flux\.dtype to bfloat16"
    ):
        make(dtype="float16").prepare(PROMPTS)
    assert not embeddings(tmp_path)


def without_guidance(tensors):
    return {name: value for name, value in tensors.items() if "guidance_embedder" not in name}


def test_weights_without_guidance_say_so(folder, make, tmp_path, caplog):
    from safetensors.torch import load_file, save_file

    other = shutil.copytree(folder, tmp_path / "schnell")
    config = other / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"guidance_embeds": False}))
    (index,) = config.parent.glob("*.index.json")
    listed = json.loads(index.read_text())
    index.write_text(json.dumps(listed | {"weight_map": without_guidance(listed["weight_map"])}))
    for path in config.parent.glob("*.safetensors"):
        save_file(without_guidance(load_file(path)), path, metadata={"format": "pt"})
    generator = make(source=str(other))
    with caplog.at_level(logging.WARNING):
        low, high = (pixels(generator.draw([request(guidance=scale)])) for scale in (2.0, 5.0))
    assert np.array_equal(low, high) and "takes no guidance" in caplog.text


@pytest.mark.parametrize("sizes", [(40,), (32, 48), (0,)])
def test_sizes_that_flux_cannot_draw_are_refused(make, sizes, loads):
    with pytest.raises(ValueError, match=r"multiple of 16.*set images\.size"):
        make().draw([request(size=size) for size in sizes])
    assert loads == []


def test_cuda_and_torchao_must_be_there_when_asked_for(make, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"found no GPU.*set images\.device to auto"):
        make(device="cuda").draw([request()])
    monkeypatch.setattr(flux, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"needs torchao.*pip install.*to none"):
        make(quantisation="int8")


def without_index(copy: Path) -> None:
    (copy / "model_index.json").unlink()


def without_shard(copy: Path) -> None:
    sorted((copy / "transformer").glob("*.safetensors"))[1].unlink()


def pickled(copy: Path) -> None:
    whole = copy / "vae" / "diffusion_pytorch_model.safetensors"
    whole.rename(whole.with_suffix(".bin"))


def of_another_pipeline(copy: Path) -> None:
    (copy / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (shutil.rmtree, r"lacks model_index\.json, scheduler/scheduler_config\.json.* and \d+ more; put"),
        (without_index, r"lacks model_index\.json; put the files there or set images\.flux\.source"),
        (without_shard, r"lacks transformer/diffusion_pytorch_model-00002-of-\d+\.safetensors; put"),
        (pickled, r"lacks vae/diffusion_pytorch_model\.safetensors; put"),
        (of_another_pipeline, r"describes a StableDiffusionPipeline; put a FluxPipeline there"),
    ],
)
def test_an_incomplete_folder_is_named_with_what_it_lacks(folder, make, tmp_path, harm, message):
    copy = shutil.copytree(folder, tmp_path / "copy")
    harm(copy)
    with pytest.raises(WeightsError, match=message) as caught:
        make(source=str(copy))
    assert f"'{copy}'" in str(caught.value)


@pytest.mark.parametrize(
    ("file", "size"),
    [("00002-of-*.safetensors", size) for size in (-9, 200, 3)] + [("safetensors.index.json", 100)],
)
def test_a_file_that_is_cut_off_is_named(folder, tmp_path, file, size):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (path,) = (copy / "transformer").glob(f"*{file}")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(WeightsError, match=rf"{path.name}; found .*; get it anew"):
        check_folder(copy)


@pytest.mark.parametrize("part", ["text_encoder", "text_encoder_2", "transformer", "vae"])
@pytest.mark.parametrize("harm", ["missing", "unexpected", "misshapen", "not finite"])
def test_networks_that_are_not_exactly_their_files_are_refused(folder, tmp_path, part, harm):
    import torch
    from safetensors.torch import load_file, save_file

    source = shutil.copytree(folder, tmp_path / "flux")
    path = min((source / part).glob("*.safetensors"))
    tensors = load_file(path)
    key = max(tensors, key=lambda name: (tensors[name].dim(), name))
    if harm == "missing":
        del tensors[key]
    else:
        tensors |= {
            "unexpected": {"extra.weight": torch.ones(2)},
            "misshapen": {key: tensors[key][:-1].contiguous()},
            "not finite": {key: tensors[key] * float("nan")},
        }[harm]
    save_file(tensors, path, metadata={"format": "pt"})
    other = {name: None for name in prompt_embeddings.NETWORKS if name != part}
    with pytest.raises(WeightsError, match=rf"{source / part}.*; found: .*{harm}: .*images\.flux\.source"):
        prompt_embeddings.load_pipeline(source, "float32", "cpu", **other)
