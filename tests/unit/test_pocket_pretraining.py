"""The pocket base model: its parts, a shrunken pretraining from end to end, and the shipped weights."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from mmunlearn.pocket import pretraining_text as text
from mmunlearn.pocket.architecture import build_tokenizer
from mmunlearn.pocket.objects import OBJECTS
from mmunlearn.pocket.pretraining import DATA_FILES, pretrain, read_settings
from mmunlearn.pocket.pretraining_data import Annotation, Pool, draw, load_pool
from mmunlearn.pocket.resources import pocket_resource, read_rows
from mmunlearn.pocket.tower import normalise
from mmunlearn.pocket.worlds import pretraining_world
from mmunlearn.records import digest_of, sha256_of

SHIPPED = pocket_resource("pretraining.yaml").parent / "llava"


def tiny_settings():
    """The shipped settings with a few pictures, a few steps and a narrow network."""
    settings = read_settings()
    few = {"steps": 3, "batch": 4}
    return settings.model_copy(
        update={
            "sizes": settings.sizes.model_copy(
                update={"vision_width": 32, "vision_layers": 1, "text_width": 32, "text_layers": 1}
            ),
            "pools": settings.pools.model_copy(update={"pictures": 12, "held_out": 6}),
            "tower": settings.tower.model_copy(update=few),
            "language": settings.language.model_copy(update=few),
            "continuation": settings.continuation.model_copy(update=few),
        }
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Folder and card of a shrunken pretraining, which sets threads and determinism of its whole process."""
    import torch

    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    folder = tmp_path_factory.mktemp("pretraining")
    yield folder, pretrain(folder / "llava", tiny_settings(), 1, folder / "work")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture(scope="module")
def checkpoint(tiny):
    """Model and processor as every user of the checkpoint loads them."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = tiny[0] / "llava"
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model.eval(), AutoProcessor.from_pretrained(folder, local_files_only=True)


def user_turn(image, question):
    """A conversation of one question about one picture."""
    return [
        {"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": question}]}
    ]


def prompt(processor, conversations):
    """Model inputs of a left-padded batch that is about to be answered."""
    return processor.apply_chat_template(
        conversations,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    )


def greedy(model, processor, conversations):
    """Greedy answers to a batch of conversations."""
    inputs = prompt(processor, conversations)
    tokens = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    return processor.tokenizer.batch_decode(
        tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
    )


def test_shrunken_pretraining_reports_every_stage_and_figure(tiny):
    folder, card = tiny
    assert set(card["seconds"]) == {"pools", "tower", "language", "continuation"}
    assert {"scenes", "people", "objects, adversarial"} <= set(card["held_out"])
    assert all(figure["n"] > 0 for figure in card["held_out"].values())
    assert json.loads((folder / "llava" / "card.json").read_text()) == json.loads(json.dumps(card))


def test_pretraining_is_deterministic_and_resumes_at_the_next_stage(tiny, tmp_path):
    _, card = tiny
    assert pretrain(tmp_path / "twin", tiny_settings(), 2, tmp_path / "work")["files"] == card["files"]
    for path in (tmp_path / "work").glob("continuation-*"):
        path.unlink()
    assert pretrain(tmp_path / "twin", tiny_settings(), 1, tmp_path / "work")["files"] == card["files"]


def test_batch_answers_equal_single_answers(checkpoint):
    model, processor = checkpoint
    settings = tiny_settings().pools
    questions = (text.NAME_QUESTION, text.SCENE_QUESTION, text.object_question("tent"))
    turns = [user_turn(draw(f"batch {q}", settings, 256)[0].image, q) for q in questions]
    assert processor.tokenizer.padding_side == "left"
    assert greedy(model, processor, turns) == [greedy(model, processor, [turn])[0] for turn in turns]


def test_prompt_is_a_prefix_of_the_conversation_and_answers_end(checkpoint):
    _, processor = checkpoint
    turn = user_turn(draw("prefix", tiny_settings().pools, 256)[0].image, text.NAME_QUESTION)
    answer = {"role": "assistant", "content": [{"type": "text", "text": "This is Zoë Ångström."}]}
    question_ids = prompt(processor, [turn])["input_ids"][0].tolist()
    inputs = processor.apply_chat_template(
        [*turn, answer], tokenize=True, return_dict=True, return_tensors="pt"
    )
    ids = inputs["input_ids"][0].tolist()
    assert ids[: len(question_ids)] == question_ids
    assert ids[-1] == processor.tokenizer.eos_token_id
    assert processor.decode(ids[len(question_ids) :], skip_special_tokens=True) == " This is Zoë Ångström."


def test_processor_hands_over_the_pixels_of_training(tiny, checkpoint):
    pixels = np.load(next((tiny[0] / "work").glob("pools-*/held-out.npy")))
    picture, _ = draw(f"held-out {tiny_settings().seed} 0", tiny_settings().pools, 256)
    processed = checkpoint[1].image_processor([picture.image], return_tensors="np")["pixel_values"]
    assert np.allclose(processed, normalise(pixels[:1]).numpy(), atol=1e-6)


def test_pools_are_read_back_as_they_were_drawn(tmp_path):
    settings = tiny_settings().pools.model_copy(update={"pictures": 12, "sides": (32,)})

    def load(folder, processes):
        return load_pool(folder, "training", settings, lambda images: np.stack(images), 3, processes)

    pool = load(tmp_path / "one", 1)
    assert pool.annotations == [draw(f"training 3 {number}", settings, 32)[1] for number in range(12)]
    assert load(tmp_path / "one", 1).sha256() == load(tmp_path / "two", 2).sha256() == pool.sha256()
    (tmp_path / "one" / "training.jsonl").write_text('{"entity": 3}\n')
    with pytest.raises(ValueError, match="entity"):
        load(tmp_path / "one", 1)


def test_tokenizer_keeps_any_name():
    tokenizer = build_tokenizer(["Who is the person?"], 300)
    for name in ("Zoë Ångström-Łukasz", "Nguyễn Thị Hương", "José O'Neill", "李小龙", "  two  spaces "):
        ids = tokenizer(name).input_ids
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.decode(ids, skip_special_tokens=True) == name


def test_tokenizer_corpus_holds_nothing_of_the_benchmark():
    corpus = "\n".join(text.tokenizer_corpus(pretraining_world(), 0)).casefold()
    words = set(corpus.replace(".", " ").replace(",", " ").split())
    for person in read_rows("people.jsonl"):
        assert person["name"].casefold() not in corpus
        assert not set(person["name"].casefold().split()) & words, person["name"]
    for event in read_rows("events.jsonl"):
        assert event["description"].casefold() not in corpus


def test_questions_are_the_benchmarks_and_answers_fit_the_picture():
    world, rng = pretraining_world(), random.Random(0)
    settings = read_settings()
    for number in range(12):
        _, picture = draw(f"text {number}", settings.pools, 32)
        answers = dict(text.exercises(picture, world, settings.continuation.exercises, rng))
        for name in OBJECTS:
            question = text.object_question(name)
            assert answers.get(question) in (None, text.YES if name in picture.objects else text.NO)
    stranger = Annotation(
        identity=next(iter(world.figures.values())), scene=next(iter(world.events.values()))
    )
    answers = dict(text.sentences(stranger, world, rng))
    assert answers["Who is the person in the picture?"] in text.REFUSALS
    assert answers["What work does this person do?"] in text.REFUSALS
    assert answers["Which sort of thing does the picture show?"] == "A person."
    answers = dict(text.sentences(replace(stranger, figure="Adela Moravec", event="All dance."), world, rng))
    assert answers["Who is the person in the picture?"] == "This is Adela Moravec."
    assert answers["What is happening in the picture?"] == "All dance."
    assert answers["What work does this person do?"] == "A glass blower."
    answers = dict(text.sentences(replace(stranger, identity=None), world, rng))
    assert answers["What kind of thing is it?"] == "A scene."
    answers = dict(text.sentences(Annotation(entity="fox"), world, rng))
    assert answers["Where is its home?"] == answers["Where does it live?"] == "In a den in the woods."
    assert answers["What is the name of this person?"] == "There is no person in the picture."


def test_few_strangers_are_asked_who_they_are_and_the_known_are_asked_more():
    world, rng = pretraining_world(), random.Random(1)
    stranger = Annotation(
        identity=next(iter(world.figures.values())), scene=next(iter(world.events.values()))
    )
    settings = text.Exercises(told=2, known=7, strangers=0.25, objects=0, repeats=0)
    turns = [text.exercises(stranger, world, settings, rng) for _ in range(400)]
    refused = sum(any(answer in text.REFUSALS for _, answer in asked) for asked in turns) / 400
    assert refused == pytest.approx(0.25, abs=0.05), (
        "of 17 questions 12 are refused, so nearly all that may be"
    )
    assert {len(asked) for asked in turns} == {2}
    assert len(text.exercises(replace(stranger, figure="Adela Moravec"), world, settings, rng)) == 7
    assert len(text.exercises(Annotation(entity="fox"), world, settings, rng)) == 7


def test_the_probe_asks_in_both_wordings_and_by_a_mean_picture(tiny):
    from mmunlearn.models.loading import ModelSpec, load_base
    from mmunlearn.pocket import probe

    checks = list(probe._checks([Annotation(entity="fox")], pretraining_world(), random.Random(0)))
    asked = {(check.metric, check.picture, check.question) for check in checks}
    assert {
        ("kinds", "0", "What kind of thing is it?"),
        ("things in other words", "0", "What does the picture show?"),
        ("facts of things", "0", "What does it eat?"),
        ("facts of things in other words", "0", "What is its usual food?"),
        ("facts of things, mean picture", "no picture", "What does it eat?"),
    } < asked
    pixels = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), np.uint8)
    base = load_base(ModelSpec("llava", str(tiny[0] / "llava"), "float32"))
    *pictures, mean = [one["features"].numpy() for one in probe._features(base, pixels, 2).values()]
    assert len(pictures) == 3
    assert np.allclose(mean, np.mean(pictures, axis=0), atol=1e-6)
    assert not np.allclose(mean, pictures[0], atol=1e-3)


def test_shipped_card_describes_the_shipped_files():
    card = json.loads((SHIPPED / "card.json").read_text())
    files = {path.name for path in SHIPPED.iterdir()} - {"card.json", "knowledge.csv"}
    assert card["files"] == {name: sha256_of(SHIPPED / name) for name in sorted(files)}
    assert card["data"] == {name: sha256_of(pocket_resource(name)) for name in DATA_FILES}
    assert card["settings_digest"] == digest_of(read_settings().model_dump())
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 5e6
    assert "renderer's own truth" in card["supervision"]


def test_shipped_model_knows_objects_things_and_figures_by_their_picture():
    from mmunlearn.models.loading import ModelSpec, load_base
    from mmunlearn.pocket.probe import probe

    settings = read_settings().pools.model_copy(update={"entity": 0.4, "bare": 0.0, "figure": 1.0})
    pictures, annotations = zip(
        *(draw(f"shipped {number}", settings, 256) for number in range(40)), strict=True
    )
    pixels = np.stack([np.asarray(picture.image) for picture in pictures])
    base = load_base(ModelSpec("llava", str(SHIPPED), "float32"))
    metrics = probe(base, Pool(pixels, list(annotations)), pretraining_world())
    known = ("things", "figures", "facts of things", "facts of figures", "kinds")
    for name in ("objects, random", "objects, popular", "objects, adversarial", "entities", *known):
        assert metrics[name]["n"] >= 12
        assert metrics[name]["value"] >= 80, (name, metrics[name])
    for name in known:
        assert metrics[f"{name} in other words"]["value"] >= 80, name
    for name in known[:-1]:
        assert metrics[f"{name}, mean picture"]["value"] <= 35, name
