"""What gates see: the base by turns, a vision model at a loopback endpoint, a CLIP, and the base's own features."""

from __future__ import annotations

import base64
import io
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from mmunlearn.chat import ChatError
from mmunlearn.lifelong.gates import GATES, askers, clip
from mmunlearn.lifelong.gates.ask import ask_gate
from mmunlearn.lifelong.gates.askers import Said
from mmunlearn.lifelong.gates.clip import pooled
from mmunlearn.lifelong.gates.vlm import class_of
from mmunlearn.lifelong.routing import GateReply, candidates_of, route
from mmunlearn.models.collate import Collator
from mmunlearn.models.feature_file import write_features
from mmunlearn.models.generation import Query, answer_all, batches_of
from mmunlearn.records import RecordError, read_jsonl, write_jsonl
from mmunlearn.spool import finished, release
from tests.loopback import ChatServer, RawReply, Step
from tests.tiny import load_tiny
from tests.unit.chat_fixtures import KEY
from tests.unit.lumoe_fixtures import CLASSES, ORDER, QUESTIONS, colour_of, entity_of, features_of, world

WHAT, WHO = QUESTIONS
VLM = {
    "asks": "base", "first": "class", "class_question": "What kind of thing is it?",
    "name_questions": {"Personage": WHO, "other": WHAT}, "max_new_tokens": 5,
}  # fmt: skip
CLIP = {
    "encoder": None, "quick_gelu": True, "names": False, "prompt": "a photo of {name}", "prototypes": True,
}  # fmt: skip


@pytest.fixture
def ask(tmp_path, tiny_checkpoint):
    """Replies of a gate by image id; the base is a tiny one."""
    rows = world(tmp_path / "pictures")
    features = features_of(rows)
    write_jsonl(tmp_path / "questions.jsonl", rows)
    write_features(tmp_path / "features.safetensors", features.items(), sorted(features))

    def run(gate, settings, name="gate", **endpoint):
        output = tmp_path / f"{name}.jsonl"
        ask_gate(
            output, gate=gate, questions=tmp_path / "questions.jsonl", features=tmp_path / "features.safetensors",
            spec={"family": "llava", "source": str(tiny_checkpoint), "dtype": "float32"}, settings=settings,
            precision="none", endpoint=endpoint, batch=4, work=tmp_path / "work", version=1,
        )  # fmt: skip
        return {one.image_id: one for one in read_jsonl(output, GateReply)}

    run.rows, run.features, run.folder = rows, features, tmp_path
    return run


def experts(ask, replies, threshold, tasks=ORDER):
    """Entity -> expert, by the replies to its test picture."""
    candidates = candidates_of(ask.rows, tasks)
    return {key.split("/")[1]: route(one, candidates, threshold).expert for key, one in replies.items()}


TRUTH = {"red fox": "A", "Ada Lund": "A", "bus": "B", "Mira Okonjo": "B", "rose": "C"} | dict.fromkeys(
    ("cat", "Bo Ek", "tulip", "owl", "nobody"), ""
)


def test_one_row_a_picture_that_models_are_asked_about_sorted_by_it(ask):
    replies = ask("vlm", VLM)
    assert list(replies) == sorted({row.image_id for row in ask.rows if row.shown})
    assert "Personage/nobody/0.png" in replies, "gates are shown strangers"
    assert sorted(GATES) == ["clip", "vlm"]
    release(finished(ask.folder / "work", [ask.folder / "gate.jsonl"]))
    assert not any((ask.folder / "work" / "answers").iterdir())


@pytest.mark.parametrize("first", ["class", "name"])
def test_the_base_is_asked_in_batches_what_it_says_alone(ask, tiny_checkpoint, first):
    base = load_tiny(tiny_checkpoint)
    collator = Collator(base, ask.features)

    def alone(image_id, question):
        queries = [Query(image_id, question, 5)]
        return answer_all(base.model, collator, queries, batches=batches_of(collator, queries, 1))[0]

    for image_id, reply in ask("vlm", VLM | {"first": first}).items():
        if first == "name":
            assert (reply.names, reply.kind) == ([alone(image_id, WHO), alone(image_id, WHAT)], "")
        else:
            kind = alone(image_id, VLM["class_question"])
            question = WHO if class_of(kind, list(VLM["name_questions"])) == "Personage" else WHAT
            assert (reply.names, reply.kind) == ([alone(image_id, question)], kind)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("A person.", "Personage"), ("It is a person in a street", "Personage"), ("Personage", "Personage"),
        ("An animal.", "Animals"), ("a movie", "Movie_TV"), ("TV", "Movie_TV"), ("A building.", "other"),
        ("", "other"), ("other", "other"), ("I cannot say.", "other"),
    ],
)  # fmt: skip
def test_a_reply_names_a_class(reply, expected):
    assert class_of(reply, ["Personage", "Animals", "Movie_TV", "other"]) == expected


class Knowing:
    """Knows every picture; tells a person's class and name only, or a thing's, as the question asks."""

    asked: ClassVar[list] = []

    def __init__(self, settings, sources):
        pass

    def __call__(self, turns, what):
        self.asked.append([(one.picture.entity, one.question) for one in turns])
        return [Said(self.says(one), self.problem(one)) for one in turns]

    def says(self, turn):
        person = CLASSES[turn.picture.entity] == "Personage"
        if turn.question == VLM["class_question"]:
            return "A person." if person else "A thing."
        if turn.question == WHO:
            return f"This is {turn.picture.entity}." if person else "There is nobody."
        return "A street." if person else f"A {turn.picture.entity}."

    def problem(self, turn):
        return ""


def use(monkeypatch, asker):
    monkeypatch.setattr(Knowing, "asked", [])
    monkeypatch.setitem(askers.ASKERS, "base", asker)


@pytest.mark.parametrize("first", ["class", "name"])
def test_people_are_asked_for_by_their_question_and_things_by_theirs(ask, monkeypatch, first):
    use(monkeypatch, Knowing)
    replies = ask("vlm", VLM | {"first": first})
    assert experts(ask, replies, 85) == TRUTH
    assert experts(ask, replies, 85, ["A"]) == {
        name: "A" if one == "A" else "" for name, one in TRUTH.items()
    }
    turns = Knowing.asked
    assert len(turns) == 2
    if first == "class":
        assert {question for _, question in turns[0]} == {VLM["class_question"]}
        assert dict(turns[1]) == {name: WHO if CLASSES[name] == "Personage" else WHAT for name in TRUTH}
    else:
        assert [{question for _, question in turn} for turn in turns] == [{WHO}, {WHAT}]


def test_a_class_that_no_entity_has_is_said(ask, monkeypatch, caplog):
    use(monkeypatch, Knowing)
    ask("vlm", VLM)
    assert "name_questions" not in caplog.text
    ask("vlm", VLM | {"name_questions": {"Person": WHO, "other": WHAT}})
    assert (
        "name_questions: no entity is of class Person; there are Animals, Personage, Plants, Vehicles"
        in caplog.text
    )


@pytest.mark.parametrize(("first", "at"), [("class", VLM["class_question"]), ("class", WHAT), ("name", WHAT)])
def test_a_picture_without_a_usable_reply_goes_to_the_base(ask, monkeypatch, caplog, first, at):
    caplog.set_level("INFO")

    class Silent(Knowing):
        def problem(self, turn):
            return "the reply is a refusal" if turn.picture.entity == "bus" and turn.question == at else ""

    use(monkeypatch, Silent)
    replies = ask("vlm", VLM | {"first": first})
    bus = replies["Vehicles/bus/0.png"]
    assert (bus.problem, bus.names, experts(ask, replies, 0)["bus"]) == ("the reply is a refusal", [], "")
    assert [one for one in replies.values() if one.problem] == [bus]
    assert "1 without a usable reply" in caplog.text and "bus/0.png: the reply is a refusal" in caplog.text
    if at == VLM["class_question"]:
        assert "bus" not in dict(Knowing.asked[1])


OPENAI = {"model": "m", "key_env": "TEST_KEY", "temperature": 0.0, "seed": 1, "timeout": 30, "concurrency": 3,
          "max_retries": 2}  # fmt: skip


def seen(body):
    """The entity whose picture a request shows, the questions so far, and the schema's field."""
    [picture, text] = body["messages"][0]["content"]
    head, _, data = picture["image_url"]["url"].partition(";base64,")
    assert head == "data:image/jpeg"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        entity = entity_of(image.convert("RGB").getpixel((4, 4)))
    turns = [text["text"], *(one["content"] for one in body["messages"][1:])]
    [field] = body["response_format"]["json_schema"]["schema"]["required"]
    return entity, turns, field


def vision(body):
    """A model that knows every picture."""
    entity, turns, field = seen(body)
    person = CLASSES[entity] == "Personage"
    if field == "kind":
        assert turns == [VLM["class_question"]]
        kinds = body["response_format"]["json_schema"]["schema"]["properties"]["kind"]["enum"]
        assert kinds == ["Personage", "other"]
        return {"kind": "Personage" if person else "other"}
    if len(turns) > 1:
        assert turns == [VLM["class_question"], *(["Personage", WHO] if person else ["other", WHAT])]
        return {"name": entity}
    return {"name": entity if (turns == [WHO]) == person else ""}


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("first", ["class", "name"])
def test_a_vision_model_is_shown_the_picture_and_asked_once(ask, monkeypatch, caplog, first):
    """Two requests a picture; a rerun asks nothing, and the key is nowhere but in the requests' headers."""
    caplog.set_level("DEBUG")
    monkeypatch.setattr("mmunlearn.lifelong.answers.load_base", None)  # the base is not asked
    settings = VLM | {"asks": "openai", "first": first}
    with ChatServer(vision) as server:
        replies = ask("vlm", settings, base_url=server.base_url, **OPENAI)
        assert len(server.requests) == 2 * len(replies) == 28
        again = ask("vlm", settings, "again", base_url=server.base_url, **OPENAI)
        assert len(server.requests) == 28
    assert again == replies
    assert {len(one.messages) for one in server.requests} == ({1, 3} if first == "class" else {1})
    assert experts(ask, replies, 85) == TRUTH
    assert replies["Personage/Ada Lund/0.png"].kind == ("Personage" if first == "class" else "")
    assert all(one.headers["authorization"] == f"Bearer {KEY}" for one in server.requests)
    written = [path.read_text() for path in ask.folder.rglob("*.json*") if "pictures" not in path.parts]
    assert KEY not in caplog.text + "".join(written)


@pytest.mark.usefixtures("key")
def test_replies_that_cannot_be_used_are_counted_and_failures_are_tried_again(ask, monkeypatch, caplog):
    monkeypatch.setattr("mmunlearn.chat.FIRST_WAIT", 0.001)

    def odd(body):
        entity, _, field = seen(body)
        if entity == "bus" and field == "name":
            return RawReply(None, refusal="I cannot tell people.")
        if entity == "cat" and field == "kind":
            return {"kind": "Cats"}
        return vision(body)

    settings = VLM | {"asks": "openai"}
    with ChatServer(odd, [Step(500), Step(429), None, Step(close=True)]) as server:
        replies = ask("vlm", settings, base_url=server.base_url, **OPENAI)
    problems = {key.split("/")[1]: one.problem for key, one in replies.items() if one.problem}
    assert problems.keys() == {"bus", "cat"}
    assert "refusal" in problems["bus"] and "schema" in problems["cat"]
    assert experts(ask, replies, 85) == TRUTH | {"bus": ""}
    assert "the base answers on" in caplog.text


@pytest.mark.usefixtures("key")
def test_an_endpoint_that_fails_for_good_ends_the_job_and_the_next_one_goes_on(ask):
    settings = VLM | {"asks": "openai"}
    one_by_one = OPENAI | {"concurrency": 1}
    with ChatServer(vision, [None, None, Step(401)]) as server:
        with pytest.raises(ChatError, match="401"):
            ask("vlm", settings, base_url=server.base_url, **one_by_one)
        assert len(server.requests) <= 4, "what was not begun is not asked"
        before = len(server.requests)
        ask("vlm", settings, base_url=server.base_url, **one_by_one)
        assert 24 <= len(server.requests) - before <= 26


KEYS = [
    "A/Animals/red fox",
    "A/Personage/Ada Lund",
    "B/Personage/Mira Okonjo",
    "B/Vehicles/bus",
    "C/Plants/rose",
]


class Hues:
    """A CLIP that sees colours, and knows which colour a name has."""

    def embed_images(self, images):
        return np.array([np.asarray(one, np.float32).mean((0, 1)) for one in images]) - 100

    def embed_texts(self, texts):
        assert all(text.startswith("a photo of ") for text in texts)
        return np.array([colour_of(text.removeprefix("a photo of ")) for text in texts], np.float32) - 100


@pytest.mark.parametrize(("names", "prototypes"), [(True, False), (False, True), (True, True)])
def test_a_clip_compares_with_names_and_training_pictures(ask, monkeypatch, names, prototypes):
    monkeypatch.setattr(clip, "load_clip", lambda folder, device, gelu: Hues())
    replies = ask("clip", CLIP | {"encoder": "weights/clip", "names": names, "prototypes": prototypes})
    assert experts(ask, replies, 0.99) == TRUTH
    fox = replies["Animals/red fox/0.png"].cosines
    assert sorted(fox) == KEYS, "what is forgotten, no other"
    here, there = (np.array(colour_of(name)) - 100.0 for name in ("red fox", "bus"))
    assert fox["A/Animals/red fox"] == 1
    assert fox["B/Vehicles/bus"] == pytest.approx(
        here @ there / np.linalg.norm(here) / np.linalg.norm(there), abs=1e-5
    )


def test_the_bases_own_features_are_compared_with_the_means_of_training_pictures(ask, monkeypatch):
    monkeypatch.setattr("mmunlearn.lifelong.answers.load_base", None)
    replies = ask("clip", CLIP)
    vectors = {key: one["features"].mean(0).double() for key, one in ask.features.items()}
    for key, reply in replies.items():
        assert sorted(reply.cosines) == KEYS
        for entity, cosine in ((key.split("/")[2], cosine) for key, cosine in reply.cosines.items()):
            own = [vectors[f"{CLASSES[entity]}/{entity}/{i}.png"] for i in (1, 2)]  # not the test picture
            mean = sum(one / one.norm() for one in own) / 2
            expected = torch.cosine_similarity(vectors[key], mean, dim=0)
            assert cosine == pytest.approx(float(expected), abs=2e-6)


def test_a_task_has_prototypes_of_its_own_pictures_and_a_class_of_its_own_entities(ask):
    """The fox is forgotten in C, too, from pictures of a cat; and a film is called as the bus is."""

    def of(entity, number, task, kind, name, picture):
        [row] = [one for one in ask.rows if one.question_id == f"{entity}-{number}"]
        change = {"task": task, "role": "forget", "part": "train", "entity_class": kind, "entity": name}
        return row.model_copy(update=change | {"question_id": f"new-{picture}"})

    cat, tulip = of("A-retain", 3, "C", "Animals", "red fox", 1), of("C-retain", 3, "B", "Movies", "bus", 2)
    fox = of("A-forget", 3, "B", "Animals", "red fox", 3)  # one picture in two tasks
    write_jsonl(ask.folder / "questions.jsonl", [*ask.rows, cat, tulip, fox])
    replies = ask("clip", CLIP)
    test = next(row for row in ask.rows if row.entity == "cat" and row.part == "test")
    cosines = replies[test.image_id].cosines
    assert sorted(cosines) == sorted([*KEYS, "C/Animals/red fox", "B/Movies/bus", "B/Animals/red fox"])
    vectors = {key: one["features"].mean(0).double() for key, one in ask.features.items()}
    foxes = [f"Animals/red fox/{number}.png" for number in (1, 2)]
    for key, images in {
        "A/Animals/red fox": foxes,
        "B/Animals/red fox": foxes[:1],
        "C/Animals/red fox": [cat.image_id],
        "B/Movies/bus": [tulip.image_id],
    }.items():
        mean = sum(vectors[image] / vectors[image].norm() for image in images)
        expected = torch.cosine_similarity(vectors[test.image_id], mean, dim=0)
        assert cosines[key] == pytest.approx(float(expected), abs=2e-6)
    before = {"A/Animals/red fox": 0.1, "C/Animals/red fox": 0.95}
    reply = GateReply(image_id="p", cosines=before)
    assert route(reply, {"A": ["red fox"]}, 0.9).expert == ""
    assert route(reply, {"A": ["red fox"], "C": ["red fox"]}, 0.9).expert == "C"


def test_pictures_become_vectors_in_every_family_that_keeps_features():
    tokens = torch.tensor([[1.0, 3.0], [3.0, 5.0]])
    assert pooled({"features": tokens, "deepstack.0": tokens + 9}).tolist() == [2, 4]
    states = torch.stack([tokens, tokens + 100])  # the second tile is padding
    assert pooled({"states": states, "tiles": torch.tensor([1, 0])}).tolist() == [2, 4]
    with pytest.raises(RecordError, match=r"keeps pixels; name a CLIP in lifelong\.gates\.clip\.encoder"):
        pooled({"picture": torch.zeros(2, 2, 3)})


def test_an_entity_without_training_pictures_has_no_prototype(ask):
    path = ask.folder / "questions.jsonl"
    write_jsonl(path, [row for row in ask.rows if row.part == "test" or row.entity != "bus"])
    with pytest.raises(
        RecordError,
        match=r"training pictures of B/Vehicles/bus is asked for.*gates\.clip\.prototypes to false",
    ):
        ask("clip", CLIP)
