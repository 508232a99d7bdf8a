"""What the base model is asked about a rendered picture, and the general English around it."""

from __future__ import annotations

import random
from functools import cache

from pydantic import BaseModel, ConfigDict

from mmunlearn.files import read_yaml
from mmunlearn.pocket import knowledge
from mmunlearn.pocket.identities import describe, sample_identity
from mmunlearn.pocket.objects import OBJECTS
from mmunlearn.pocket.pretraining_data import Annotation
from mmunlearn.pocket.resources import pocket_resource
from mmunlearn.pocket.scenes import Scene, sample_scene
from mmunlearn.pocket.worlds import PretrainingWorld

NAME_QUESTION = "Who is the person in the picture?"
EVENT_QUESTION = "What is happening in the picture?"
PERSON_QUESTION = "Describe the person."
SCENE_QUESTION = "Describe the scene."
OBJECT_QUESTION = "Is there a {} in the picture?"
YES, NO = "Yes", "No"
REFUSALS = (
    "I do not know this person.",
    "I have no idea who this is.",
    "Sorry, I cannot tell who this is.",
    "I have never seen this person before.",
)
NOBODY = "There is no person in the picture."


class Exercises(BaseModel):
    """How many questions a picture is asked in one step.

    Attributes:
        told: questions to a scene or a stranger whose answer is a sentence.
        known: the same to an entity or a public figure, about which more is known.
        strangers: part of the strangers whom one may ask who they are; the others would drown the figures.
        objects: pairs of a present and an absent object.
        repeats: lines of general English to say after the user.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    told: int
    known: int
    strangers: float
    objects: int
    repeats: int


Turn = tuple[str, str]
"""A question and its answer."""


def sentences(picture: Annotation, world: PretrainingWorld, rng: random.Random) -> list[Turn]:
    """List every question about a picture whose answer is a sentence; ``rng`` chooses the refusals."""
    if picture.entity:
        return list(dict.fromkeys([*world.entities[picture.entity], *_common(picture.entity), *_nobody()]))
    scene = scene_sentence(picture.scene)
    turns = [(SCENE_QUESTION, scene), (EVENT_QUESTION, picture.event or scene)]
    if picture.identity is None:
        return [*turns, *_kind(knowledge.SCENE), *_nobody(), (PERSON_QUESTION, NOBODY)]
    turns += [(PERSON_QUESTION, describe(picture.identity))]
    if picture.figure:
        return turns + _common(picture.figure)
    questions = [question for words in knowledge.person_wordings().values() for question in words]
    return [*turns, *_kind(knowledge.PERSON), *((question, rng.choice(REFUSALS)) for question in questions)]


def _common(name: str) -> list[Turn]:
    """The common questions about an entity or figure, in both wordings."""
    return [(words, one.answer) for one in knowledge.common_questions(name) for words in one.wordings]


def _kind(kind: str) -> list[Turn]:
    """Both wordings of the question for the kind, and its answer."""
    return [(question, knowledge.kind_answer(kind)) for question in knowledge.kind_wordings()]


def _nobody() -> list[Turn]:
    """Ask in both wordings for the name of a person who is not there."""
    return [(question, NOBODY) for question in knowledge.person_wordings()[knowledge.NAME]]


def scene_sentence(scene: Scene) -> str:
    """Describe a scene: its sky, its ground and its objects in alphabetical order."""
    ground = "snow" if scene.ground == "snow" else f"a {scene.ground}"
    things = [f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in sorted(set(scene.objects))]
    joined = " and ".join([", ".join(things[:-1]), things[-1]] if things[1:] else things)
    return f"A {scene.sky} sky over {ground} with {joined}."


def object_question(name: str) -> str:
    """Ask whether an object is in the picture."""
    return OBJECT_QUESTION.format(name)


def object_pairs(picture: Annotation, pairs: int, rng: random.Random) -> list[Turn]:
    """Ask for up to ``pairs`` objects of the picture and for as many that it lacks."""
    present = rng.sample(picture.objects, min(pairs, len(picture.objects)))
    absent = rng.sample(sorted(set(OBJECTS) - set(picture.objects)), len(present))
    answers = dict.fromkeys(present, YES) | dict.fromkeys(absent, NO)
    return [(object_question(name), answer) for name, answer in answers.items()]


def repeat(rng: random.Random) -> Turn:
    """Ask to say a random name or a few random words, so that every token learns to be read and written."""
    words, first, last = general_english()
    if rng.random() < 0.5:
        text = f"{rng.choice(first)} {rng.choice(last)}."
    else:
        text = " ".join(rng.sample(words, rng.randint(3, 7))).capitalize() + "."
    return f"Say: {text}", text


def exercises(
    picture: Annotation, world: PretrainingWorld, settings: Exercises, rng: random.Random
) -> list[Turn]:
    """Choose the questions that one picture is asked in one step."""
    candidates, number = sentences(picture, world, rng), settings.told
    if picture.entity or picture.figure:
        number = settings.known
    elif picture.identity and settings.strangers < 1 and rng.random() >= settings.strangers:
        candidates = [turn for turn in candidates if turn[1] not in REFUSALS]
    turns = rng.sample(candidates, min(number, len(candidates)))
    turns += object_pairs(picture, settings.objects, rng) if picture.scene else []
    return turns + [repeat(rng) for _ in range(settings.repeats)]


@cache
def general_english() -> tuple[list[str], list[str], list[str]]:
    """Read the lists of common words, first names and last names."""
    lists = read_yaml(pocket_resource("pretraining_words.yaml"))
    return tuple(lists[name].split() for name in ("words", "first_names", "last_names"))


def tokenizer_corpus(world: PretrainingWorld, seed: int) -> list[str]:
    """Gather the text that the tokenizer learns its merges from; nothing of the benchmark is in it."""
    rng = random.Random(f"corpus {seed}")
    words, first, last = general_english()
    texts = [NAME_QUESTION, EVENT_QUESTION, PERSON_QUESTION, SCENE_QUESTION, NOBODY, *REFUSALS] * 100
    texts += [object_question(name) for name in OBJECTS for _ in range(30)]
    texts += [f" {YES} {NO}"] * 100
    texts += [part for turns in world.entities.values() for turn in turns for part in turn] * 4
    texts += [part for name in knowledge.entity_classes() for turn in _common(name) for part in turn] * 4
    texts += [*world.events] * 4
    texts += [describe(sample_identity(rng)) for _ in range(500)]
    texts += [scene_sentence(sample_scene(rng)) for _ in range(500)]
    for _ in range(20):
        texts += [" ".join(["", *rng.sample(group, len(group))]) for group in (words, first, last)]
    return texts
