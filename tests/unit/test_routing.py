"""Which expert answers: names, thresholds, and no look at tasks that are still to come."""

from __future__ import annotations

import pytest

from mmunlearn.lifelong.routing import Choice, GateReply, candidates_of, likeness, route, routes_of
from tests.unit.lumoe_fixtures import ORDER, world
from tests.unit.task_files import MLUBENCH

CANDIDATES = {
    "A": ["red fox", "J.K. Rowling"],
    "B": ["Yes Minister", "马云", "Queen Elizabeth Ⅱ"],
    "C": ["Yes Prime Minister", "apple tree"],
}


def named(*names, **more):
    return GateReply(image_id="p", names=list(names), **more)


@pytest.mark.parametrize(
    ("reply", "expert"),
    [
        ("A red fox.", "A"),
        ("THE RED FOX", "A"),
        ("This is J. K. Rowling, a writer.", "A"),
        ("A fox.", "A"),  # all of its words are the name's
        ("The picture shows Yes, Minister.", "B"),
        ("Yes, Prime Minister", "C"),
        ("图片中是马云。", "B"),
        ("queen elizabeth II", "B"),
        ("A palm tree.", ""),
        ("A red bus.", ""),
        ("Rowling Jones", ""),
        ("马化腾", ""),
        ("I do not know.", ""),
        ("", ""),
        ("The.", ""),
    ],
)
def test_a_reply_goes_to_the_expert_of_the_entity_that_it_names(reply, expert):
    assert route(named(reply), CANDIDATES, 85).expert == expert


@pytest.mark.parametrize(("reply", "name"), [("Apple", "Apple Logo"), ("A lion.", "The Lion King")])
def test_part_of_a_name_is_as_good_as_the_whole(reply, name):
    assert route(named(reply), {"A": ["red fox"], "B": [name]}, 100) == Choice("B", 100)


def test_scores_are_of_the_nearest_candidate_and_the_threshold_decides():
    choice = route(named("A palm tree."), CANDIDATES, 85)
    assert choice == Choice("", pytest.approx(73.68, abs=0.01))
    assert route(named("A palm tree."), CANDIDATES, 70) == Choice("C", choice.score)
    assert route(named("A palm tree."), CANDIDATES, choice.score) == Choice("C", choice.score)
    assert route(named("nothing like it"), CANDIDATES, 0).expert != "", (
        "without a threshold some expert answers"
    )
    assert route(named("A red fox."), {}, 0) == Choice("", None)
    assert route(named(), CANDIDATES, 0) == Choice("", None)


def test_the_first_reply_that_names_a_candidate_counts():
    assert route(named("Nobody is there.", "An apple tree."), CANDIDATES, 85) == Choice("C", 100)
    assert route(named("J.K. Rowling", "An apple tree."), CANDIDATES, 85) == Choice("A", 100)


def test_cosines_are_compared_with_the_candidates_alone():
    reply = GateReply(image_id="p", cosines={"A/x/red fox": 0.7, "C/x/apple tree": 0.9, "B/x/马云": 0.2})
    assert route(reply, CANDIDATES, 0.6) == Choice("C", 0.9)
    assert route(reply, {"A": CANDIDATES["A"]}, 0.6) == Choice("A", 0.7)
    assert route(reply, {"B": CANDIDATES["B"]}, 0.6) == Choice("", 0.2)
    assert route(reply, {"D": ["sea"]}, -1) == Choice("", None)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return world(tmp_path_factory.mktemp("pictures"))


def test_candidates_are_what_is_forgotten_so_far_by_name(rows):
    assert candidates_of(rows, ["B", "A"]) == {"B": ["Mira Okonjo", "bus"], "A": ["Ada Lund", "red fox"]}
    assert all("It is" not in name for names in candidates_of(rows, ORDER).values() for name in names)


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ("oracle", {"red fox": "A", "bus": "B", "rose": "", "cat": "", "owl": ""}),
        ("last", dict.fromkeys(("red fox", "bus", "rose", "cat", "owl"), "B")),
        ("none", dict.fromkeys(("red fox", "bus", "rose", "cat", "owl"), "")),
        ("vlm", {"red fox": "A", "bus": "B", "rose": "", "cat": "", "owl": "A"}),
    ],
)
def test_every_gate_after_the_second_of_three_tasks(rows, gate, expected):
    """The rose is forgotten in task C, which is still to come; the owl is taken for a fox."""
    said = {row.image_id: row.entity if row.entity != "owl" else "red fox" for row in rows}
    replies = {key: GateReply(image_id=key, names=[f"A {text}."]) for key, text in said.items()}
    routes = routes_of(rows, ["A", "B"], gate, replies, 85, rows)
    assert [one.question_id for one in routes] == [row.question_id for row in rows]
    for row, one in zip(rows, routes, strict=True):
        if row.entity in expected:
            assert one.expert == expected[row.entity], row.entity


def test_an_unusable_reply_goes_to_the_base_and_says_why(rows):
    reply = GateReply(
        image_id=rows[0].image_id, cosines={"A/Animals/red fox": 1.0}, problem="the reply is a refusal"
    )
    [one] = routes_of(rows[:1], ["A"], "vlm", {reply.image_id: reply}, 0, rows)
    assert (one.expert, one.score, one.problem) == ("", None, "the reply is a refusal")


@pytest.mark.skipif(not MLUBENCH.exists(), reason="the released tasks are not here")
def test_the_threshold_tells_the_released_names_apart():
    """Of 127 names each is itself to 100, and another one under 85, but for two that hold each other's words."""
    from zipfile import ZipFile

    files = [name for name in ZipFile(MLUBENCH).namelist() if "/variants_" in name]
    names = [
        name.partition("/variants_")[2].removesuffix("_updated.json").replace("_", " ") for name in files
    ]
    assert len(names) == 127
    assert {likeness(name, name)[0] for name in names} == {100}
    near = {(a, b) for a in names for b in names if a != b and likeness(a, b)[0] >= 85}
    assert near == {("Yes Minister", "Yes Prime Minister"), ("Yes Prime Minister", "Yes Minister")}
    assert all(
        route(named(f"This is {name}!"), {name: [name] for name in names}, 85).expert == name
        for name in names
    )
