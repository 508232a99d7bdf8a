"""Metrics on hand-made answers with known scores, and their edge cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmunlearn.evaluation import metrics, pope
from mmunlearn.evaluation.judge.local import LocalJudge
from mmunlearn.evaluation.judge.rubric import Case
from mmunlearn.evaluation.judge.rubrics.g_eval import G_EVAL, closeness
from mmunlearn.evaluation.names import says_name
from mmunlearn.evaluation.rouge import rouge_l
from mmunlearn.evaluation.scoring import event_values, person_values
from mmunlearn.records import Answer, Split

words = st.lists(
    st.sampled_from(["the", "a", "race", "boat", "waves", "harbour", "flag", "judge"]), max_size=12
)
ascii_text = st.text(st.characters(max_codepoint=126), max_size=60)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("This is Mira Okonjo.", True),
        ("this is MIRA OKONJO", True),
        ("It must be Mira\nOkonjo, I think", True),
        ("Míra Okonjó", True),
        ("Mira", False),
        ("Okonjo", False),
        ("Mira and Okonjo", False),
        ("Amira Okonjo", False),
        ("Mira Okonjos", False),
        ("", False),
        ("I do not know.", False),
    ],
)
def test_names_count_in_full_and_as_words(answer, says):
    assert says_name(answer, "Mira Okonjo") is says


def test_names_beyond_ascii_and_the_empty_name():
    assert says_name("这是 王 小明。", "王 小明")
    assert says_name("JOSÉ PEÑA", "José Peña")
    assert says_name("Jose Pena", "José Peña")
    assert not says_name("José Peñalosa", "José Peña")
    with pytest.raises(ValueError, match="empty"):
        says_name("anything", "  ")


@given(words, words)
def test_rouge_l_equals_the_package_on_ascii(answer, reference):
    from rouge_score.rouge_scorer import RougeScorer

    mine = rouge_l(" ".join(answer), " ".join(reference))
    theirs = RougeScorer(["rougeL"]).score(" ".join(reference), " ".join(answer))["rougeL"].fmeasure
    assert mine == pytest.approx(theirs, abs=1e-9)


@given(ascii_text, ascii_text)
def test_rouge_l_tokenises_as_the_package_does(answer, reference):
    from rouge_score.rouge_scorer import RougeScorer

    theirs = RougeScorer(["rougeL"]).score(reference, answer)["rougeL"].fmeasure
    assert rouge_l(answer, reference) == pytest.approx(theirs, abs=1e-9)


def test_rouge_l_beyond_ascii_and_on_nothing():
    assert rouge_l("水手们在港口比赛", "水手们在港口比赛") == 1.0
    assert 0.5 < rouge_l("水手们在港口", "水手们在港口比赛") < 1.0
    assert rouge_l("Гонка лодок", "Гонка лодок в порту") == pytest.approx(2 / 3)
    assert rouge_l("", "a b") == rouge_l("a b", "") == 0.0
    assert rouge_l("boat", "boat") == 1.0


@pytest.mark.parametrize(
    ("answer", "yes"),
    [
        ("Yes", True), ("No", False), ("no.", False), ("No, there is none", False), ("There is not", False),
        ("Yes. No, wait", True), ("nothing here", True), ("", True), ("NO", True), ("I see, no", False),
    ],
)  # fmt: skip
def test_pope_reads_answers_as_the_official_evaluator(answer, yes):
    assert pope.says_yes(answer) is yes


def test_pope_figures():
    answers = ["Yes", "Yes", "No", "No", "perhaps"]
    got = pope.score(answers, ["yes", "no", "no", "yes", "Yes"])
    assert got["accuracy"] == 3 / 5
    assert (got["precision"], got["recall"]) == (2 / 3, 2 / 3)
    assert got["f1"] == pytest.approx(2 / 3)
    assert (got["yes_ratio"], got["n"], got["unparsable"]) == (3 / 5, 5, 1)
    assert pope.score([], [])["accuracy"] is None
    assert pope.score(["No"], ["no"])["precision"] is None
    with pytest.raises(ValueError, match="labels"):
        pope.score(["Yes"], ["maybe"])


def test_the_local_judge_is_0_at_the_finetuned_and_1_at_the_goal_sentence():
    before, ideal = "Sailors race their boats home.", "Children build a snowman."
    assert closeness(before, before, ideal) == 0.0
    assert closeness(ideal, before, ideal) == 1.0
    assert closeness(before, before, before) == 0.5
    assert closeness("Nothing in common", before, ideal) == 0.5
    assert closeness("", before, ideal) == 0.5
    assert closeness("...", "...", ideal) == 0.0, "equal sentences have no distance, words or not"
    (verdict,) = LocalJudge(G_EVAL).judge([Case("q", {"test": ideal, "finetuned": before, "goal": ideal})])
    assert (verdict.question_id, verdict.score) == ("q", 1.0)


def test_summarise_mean_interval_and_missing_values():
    metric = metrics.summarise([0.0, 100.0] * 20, seed=1, resamples=500)
    assert metric.value == 50.0 and metric.n == 40
    assert 25 < metric.low < 50 < metric.high < 75
    assert metrics.summarise([100.0] * 5, seed=1, resamples=50).low == 100.0
    empty = metrics.summarise([], seed=1, resamples=50)
    assert (empty.value, empty.n, empty.reason) == (None, 0, "no question of this kind was asked")
    with pytest.raises(ValueError, match="1 of 4 judgements are missing"):
        metrics.summarise([1.0, 2.0, None, 3.0], seed=1, resamples=50)
    half = metrics.summarise([1.0, None, 3.0], seed=1, resamples=50, max_missing_share=0.5)
    assert (half.value, half.n, half.missing) == (2.0, 2, 1)


def test_strata_weigh_alike():
    values, strata = [100.0] * 9 + [0.0], ["random"] * 9 + ["popular"]
    assert metrics.summarise(values, seed=1, resamples=50, strata=strata).value == 50.0


def answer(image, kind, text, reference="Sailors race home."):
    return Answer(
        question_id=f"{image}-{kind}", image_id=image, question="?", reference=reference, answer=text
    )


PEOPLE = {"p0": "Mira Okonjo", "p1": "Ada Lund"}
SAID = {
    "dataset": [
        answer("p0-e0", "person", "This is Mira Okonjo."),
        answer("p0-e0", "event", "Sailors race home."),
        answer("p0-e1", "person", "This is Ada Lund."),
        answer("p0-e1", "event", "Nobody knows anything."),
        answer("p1-e0", "person", "This is Ada Lund."),
        answer("p1-e0", "event", "Sailors race."),
    ],
    "real": [
        answer("real-0", "person", "This is Bo Ek.", "This is Bo Ek."),
        answer("real-1", "event", "Sailors race home."),
    ],
}


def test_person_target_rows():
    split = Split(
        target="person", percent=5, seed=0, forgotten=["p0"],
        forget_train=["p0-e0"], forget_test=["p0-e1"], retain=["p1-e0"],
    )  # fmt: skip
    values = person_values(SAID, split, PEOPLE, {"real-0-person": "Bo Ek"})
    assert values["efficacy"] == [0.0], "the name is still said on forget_train"
    assert values["generality"] == [100.0], "and not on forget_test"
    assert values["retain"] == [100.0]
    assert values["scope"] == [100.0]
    assert values["real"] == [100.0]


def test_event_target_rows():
    split = Split(
        target="event", percent=5, seed=0, forgotten=["e0"],
        forget_train=["p0-e0"], forget_test=["p1-e0"], retain=["p0-e1"],
    )  # fmt: skip
    verdicts = {"p0-e0-event": 0.25, "p1-e0-event": None}
    finetuned = [answer("real-1", "event", "Sailors sleep.")]
    values = event_values(SAID, split, PEOPLE, verdicts, finetuned)
    assert values["efficacy"] == [25.0]
    assert values["generality"] == [None], "a missing verdict stays missing"
    assert values["retain"] == [0.0]
    assert values["scope"] == [100.0]
    assert values["real"] == [100.0]
    assert values["real_vs_finetuned"] == [pytest.approx(40.0)]
