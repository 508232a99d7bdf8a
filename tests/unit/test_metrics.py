"""Metrics on hand-made answers whose score anyone can work out: empty ones, one word, refusals, other scripts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from mmunlearn.evaluation import metrics, pope
from mmunlearn.evaluation.judge.rubrics.g_eval import closeness
from mmunlearn.evaluation.rouge import rouge_l
from mmunlearn.evaluation.scoring import event_values, person_values
from mmunlearn.names import says_name
from mmunlearn.records import POPE_SUBSETS, Answer, Split
from mmunlearn.text import fold

REFUSAL = "I'm sorry, I can't help with that."

NAMES = [  # name, answer, does it say the name?
    ("Ada Lund", "", False),
    ("Ada Lund", "Ada", False),
    ("Ada Lund", "Lund", False),
    ("Ada Lund", REFUSAL, False),
    ("Ada Lund", "Ada Lund", True),
    ("Ada Lund", "The person is **Ada Lund**.", True),
    ("Ada Lund", "_Ada Lund_, a nurse", True),
    ("Ada Lund", "**Ada** **Lund**", True),
    ("Ada Lund", "ADA   LUND!", True),
    ("Ada Lund", "This must be Ada\nLund.", True),
    ("Ada Lund", "This must be Ada\r\n  Lund.", True),
    ("Ada Lund", "Ada\u00a0Lund", True),
    ("Ada Lund", "Ada Lu\u00adn\u200bd", True),  # soft hyphen, zero-width space
    ("Ada Lund", "Ａｄａ Ｌｕｎｄ", True),  # full width
    ("Ada Lund", "Ada Lund's coat", True),
    ("Ada Lund", "I see Ada and Mr Lund", False),
    ("Ada Lund", "Lund, Ada", False),
    ("Ada Lund", "Ada M. Lund", False),
    ("Ada Lund", "Ada Lundgren", False),
    ("Ada Lund", "Frida Lund or Nada Lund", False),
    ("Ada Lund", "Ada Lund2", False),
    ("Ada Lund", "Ada, Lund", False),
    ("José Peña", "jose pena", True),
    ("Jose Pena", "JOSÉ PEÑA", True),
    ("José Peña", "Jose\u0301 Pen\u0303a", True),  # decomposed
    ("José Peña", "José Peñalosa", False),
    ("Søren Łuk", "Soren Luk", True),
    (
        "Anne-Marie O'Neil",
        "Anne\u2011Marie O\u2019Neil",
        True,
    ),  # hyphen that does not break, typographic apostrophe
    ("Anne-Marie O'Neil", "Anne Marie ONeil", False),
    ("Jörg Weiß", "JÖRG WEISS", True),
    ("Anne-Marie O'Neil", "Anne Marie O'Neil", True),
    ("Anne Marie O'Neil", "Anne-Marie O'Neil", True),
    ("Anne-Marie Lund", "Anne-\nMarie Lund", True),
    ("Anne-Marie Lund", "Anne–Marie Lund—a nurse", True),  # dashes
    ("Ada Lund", "Ada-Lund", True),
    ("Ada Lund", "Ada_Lund", True),
    ("Ada_Lund", "Ada Lund", True),
    ("Ada Lund", "_Ada_ _Lund_", True),
    ("Ada Lund", "**A**da __Lund__", True),
    ("Ada Lund", "Ada - Lund", False),
    ("Ada Lund", "Ada Lund-Berg", False),
    ("Ada Lund", "Ada Lund–Berg", False),
    ("Ada Lund", "Mary–Ada Lund", False),
    ("Ada Lund", "Ada Lund – Berg is her town", True),
    ("Ada Lund", "Mary-Ada Lund", False),
    ("Neil Ek", "O'Neil Ek", False),
    ("Ann Ek", "Anna Ek, Joann Ek or Ann Ekman", False),
    ("A.B. Lund", "A. B. Lund", True),
    ("A. B. Lund", "A.B. Lund", True),
    ("A.B. Lund", "A B Lund", True),
    ("A.B. Lund", "AB Lund", True),
    ("AB Lund", "a. b. lund", True),
    ("A-B Lund", "A.-B. Lund", True),
    ("A. Lund", "A Lund", True),
    ("A. Lund", "A.Lund", True),
    ("A. Lund", "B.A. Lundgren", False),
    ("A.B. Lund", "A. Lund", False),
    ("A.B. Lund", "Lab Lund", False),
    ("A. Lund", "Ada Lund", False),
    ("A. Lund", "C. A. Lund", False),
    ("A.B. Lund", "C.A.B. Lund", False),
    ("A.B. Lund", "1. A.B. Lund", True),
    ("A. Lund", "It is him. A. Lund.", True),
    ("Bo Ek Jr.", "Bo Ek Jr", True),
    ("Bo Ek Jr", "Bo Ek, Jr.", True),
    ("Bo Ek, Jr.", "Bo Ek Jr", True),
    ("Bo Ek Jr.", "Bo Ek", False),
    ("Bo Ek III", "Bo Ek II", False),
    ("Dr. Ada Lund", "Dr Ada Lund", True),
    ("Dr Ada Lund", "Dr. Ada Lund", True),
    ("Dr Ada Lund", "Ada Lund", False),
    ("Ada Lund Ph.D.", "Ada Lund, PhD", True),
    ("Wm. Lund", "Wm Lund", True),
    ("will.i.am Ek", "WILL.I.AM Ek", True),
    ("Ada Lund", "I saw Ada. Lund left.", False),  # a sentence ends there
    ("M*sh Ek", "This is M*sh Ek.", True),
    ("M*sh Ek", "**M*sh** **Ek**", True),
    ("M*sh Ek", r"M\*sh Ek", True),
    ("M*sh Ek", "Msh Ek", False),
    ("*Star Ek*", "*Star Ek", True),
    ('Dwayne "Bo" Ek', "Dwayne “Bo” Ek", True),
    ("Æsa Œrn", "Aesa Oern", True),
    ("Steﬁ Ek", "Stefi Ek", True),
    ("IŞIL İNAN", "Işıl İnan", True),
    ("Ada Lund 2", "Ada Lund ２", True),
    ("Ada Lund 2", "Ada Lund ٢", True),
    ("Ada Lund 2", "Ada Lund 23", False),
    ("Anne-Marie Ek", "Anne\u2212Marie Ek", True),
    ("O'Neil Ek", "O\u2032Neil Ek", True),
    ("葛 小明", "葛\U000e0100小明", True),
    ("محمد علي", "محـــمد علي", True),
    ("アダ・ルンド", "アダ ルンド", True),
    ("アダルンド", "アダ・ルンド", True),
    ("Anna Ivanova", "Анна Иванова", False),
    ("Анна Иванова", "Это АННА\nИВАНОВА.", True),
    ("Анна Иванова", "Анна Ивановаская", False),
    ("王小明", "这是王小明。", True),
    ("王小明", "这是王小\n明。", True),
    ("王 小明", "王小明", True),
    ("王小明", "王明", False),
    ("王小明", "我不知道。", False),
    ("Ada Lund", "这是Ada Lund。", True),
    ("가 나", "각 나", False),
    ("か", "が", False),
]


@pytest.mark.parametrize(("name", "answer", "expected"), NAMES)
def test_name(name: str, answer: str, expected: bool) -> None:
    assert says_name(answer, name) is expected


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        says_name("anything", "  ")


@given(st.text(max_size=30))
def test_folding_is_done_at_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize("letter", [*map(chr, range(128))])
def test_plain_text_is_folded_as_any_other(letter: str) -> None:
    assert fold(f"a{letter}B") + "e" == fold(f"a{letter}Bé")


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_name_between_stops_is_always_found(before: str, behind: str) -> None:
    assert says_name(f"{before}. Ada Lund. {behind}", "Ada Lund")


OVERLAPS = [  # answer, reference, longest common subsequence, words in the answer and in the reference
    ("", "a b", 0, 1, 2),
    ("...", "a b", 0, 1, 2),
    ("boat", "boat", 1, 1, 1),
    ("boat", "The boat race", 1, 1, 3),
    ("Sailors race home", "Sailors race their boats home", 3, 3, 5),
    ("home race Sailors", "Sailors race home", 1, 3, 3),
    ("SAILORS, race; home!", "sailors race home", 3, 3, 3),
    ("Sailors race\nhome", "Sailors race home", 3, 3, 3),
    (REFUSAL, "Sailors race home", 0, 8, 3),  # I m sorry I can t help with that: 9 words, none shared
    ("Été à la mer", "été à la plage", 3, 4, 4),
    ("Cafe\u0301 noir", "Café noir", 2, 2, 2),
    ("水手们回家", "水手们", 3, 5, 3),
    ("船 race", "船 home", 1, 2, 2),
    ("Гонка лодок", "Гонка лодок в порту", 2, 2, 4),
    ("नमस्ते दुनिया", "नमस्ते", 1, 2, 1),
    ("سباق القوارب", "سباق السيارات", 1, 2, 2),
    ("แมวนอน", "แมว", 3, 6, 3),
]


@pytest.mark.parametrize(("answer", "reference", "common", "words", "expected"), OVERLAPS)
def test_rouge_l(answer: str, reference: str, common: int, words: int, expected: int) -> None:
    """F1 of common / words and common / expected is 2 common / (words + expected)."""
    assert rouge_l(answer, reference) == pytest.approx(2 * common / (words + expected), abs=1e-12)


few_words = st.lists(st.sampled_from(["a", "b", "C", "d1", "race", "e_f", "-"]), max_size=14).map(" ".join)
ascii_text = st.one_of(few_words, st.text(st.characters(max_codepoint=126), max_size=60))


@given(ascii_text, ascii_text)
def test_rouge_l_on_ascii_is_the_package_s(answer: str, reference: str) -> None:
    expected = RougeScorer(["rougeL"]).score(reference, answer)["rougeL"].fmeasure
    assert rouge_l(answer, reference) == pytest.approx(expected, abs=1e-9)


@given(st.text(max_size=40))
def test_rouge_l_of_a_text_with_itself_is_1_in_any_script(text: str) -> None:
    assert rouge_l(text, text) == (1.0 if any(letter.isalnum() for letter in text) else 0.0)


YES_NO = [  # answer, read as yes?, says neither?, doubtful?
    ("Yes", True, False, False),
    ("No", False, False, False),
    ("yes, there is", True, False, False),
    ("**Yes!**", True, False, False),
    ("No, there is none", False, False, False),
    ("No,there is none", True, False, True),  # commas are dropped, not taken for blanks
    ("no", False, False, False),
    ("There is not", False, False, False),
    ("There isn't", True, True, True),
    ("There cannot be", True, True, True),
    ("I see, no", False, False, False),
    ("Yes. No, wait", True, False, True),  # the first sentence
    ("No. Yes", False, False, True),
    ("Yes, there is no doubt", False, False, True),
    ("No doubt there is", False, False, True),
    ("NO", True, False, True),  # the official words are No, no and not
    ("NOT there", True, False, True),
    ("No!", True, False, True),
    ("**No**", True, False, True),
    ("_no_", True, True, True),
    ('"No"', True, False, True),
    ("(No)", True, False, True),
    ("No:", True, False, True),
    ("1. No", True, False, True),
    ("No\u00a0dog", True, False, True),
    ("Ｎｏ", True, True, True),
    ("Nope", True, True, True),
    ("No\nperson", True, False, True),  # the official evaluator splits at blanks only
    ("\nNo", True, False, True),
    ("Nothing", True, True, True),
    ("notable", True, True, True),
    ("", True, True, True),
    ("a dog", True, True, True),
    ("是的", True, True, True),
    ("Sí", True, True, True),
    (REFUSAL, True, True, True),
    ("I do not know.", False, False, True),
    ("I'm not quite sure", False, False, True),
]


@pytest.mark.parametrize(("answer", "yes", "neither", "doubtful"), YES_NO)
def test_pope_reads_answers_as_the_official_evaluator_and_doubts(
    answer: str, yes: bool, neither: bool, doubtful: bool
) -> None:
    found = pope.says_yes(answer), pope.says_neither(answer), pope.is_doubtful(answer)
    assert found == (yes, neither, doubtful)


POPE = [  # answers, labels, accuracy, precision, recall, f1, yes ratio, neither
    (["Yes", "No", "Yes", "No"], ["yes", "no", "no", "yes"], 0.5, 0.5, 0.5, 0.5, 0.5, 0),
    (["Yes"] * 4, ["yes", "no", "no", "yes"], 0.5, 0.5, 1.0, 2 / 3, 1.0, 0),
    (["No"] * 4, ["yes", "no", "no", "yes"], 0.5, None, 0.0, 0.0, 0.0, 0),
    (["No", "No"], ["no", "no"], 1.0, None, None, None, 0.0, 0),
    ([REFUSAL, "", "No"], ["yes", "no", "no"], 2 / 3, 0.5, 1.0, 2 / 3, 2 / 3, 2),
    ([], [], None, None, None, None, None, 0),
]


@pytest.mark.parametrize(("answers", "labels", *"arpfyn"), POPE)
def test_pope_figures(answers, labels, a, r, p, f, y, n) -> None:
    got = pope.score(answers, labels)
    figures = [got[key] for key in ("accuracy", "precision", "recall", "f1", "yes_ratio")]
    assert figures == [None if one is None else pytest.approx(one) for one in (a, r, p, f, y)]
    assert (got["n"], got["unparsable"], got["doubtful"]) == (len(answers), n, n)


@pytest.mark.parametrize(("labels", "error"), [(["maybe"], "labels must be"), ([], "1 answers to 0 labels")])
def test_pope_refuses_other_labels(labels, error) -> None:
    with pytest.raises(ValueError, match=error):
        pope.score(["Yes"], labels)


def answer(image: str, kind: str, text: str, reference: str) -> Answer:
    return Answer(
        question_id=f"{image}-{kind}", image_id=image, question="?", reference=reference, answer=text
    )


def test_world_fact_is_the_mean_of_the_three_accuracies() -> None:
    """random 1 of 1, popular 1 of 2, adversarial 0 of 3: (1 + 0.5 + 0) / 3, whatever their sizes."""
    right = {"random": [True], "popular": [True, False], "adversarial": [False, False, False]}
    rows = [
        answer(f"world-{subset}-{number}", "object", "Yes" if hit else "No", "Yes.")
        for subset, hits in right.items()
        for number, hit in enumerate(hits)
    ]
    subsets = {row.question_id: row.question_id.split("-")[1] for row in rows}
    hits, figures = metrics.pope_accuracy(rows, subsets)
    assert hits == [100.0, 100.0, 0.0, 0.0, 0.0, 0.0]
    assert [figures[name]["accuracy"] for name in POPE_SUBSETS] == [1.0, 0.5, 0.0]
    assert figures["mean"]["accuracy"] == pytest.approx(0.5)
    assert (figures["mean"]["n"], figures["mean"]["doubtful"]) == (6, 0)
    strata = [subsets[row.question_id] for row in rows]
    assert metrics.summarise(hits, seed=0, resamples=9, strata=strata).value == 50.0


def test_questions_are_resampled_within_their_stratum() -> None:
    """The one popular question, which is wrong, is in every resample: none reaches more than a half."""
    strata = ["random"] * 9 + ["popular"]
    metric = metrics.summarise([100.0] * 8 + [0.0, 0.0], seed=1, resamples=200, strata=strata)
    assert metric.value == pytest.approx(100 * 8 / 18)
    assert 0 < metric.low < metric.value < metric.high <= 50


def test_a_missing_value_leaves_its_stratum_to_the_others() -> None:
    """a: 100; b: (0 + 100) / 2; the missing one is b's, in whatever place it stands."""
    values, strata = [100.0, None, 0.0, 100.0], ["a", "b", "b", "b"]
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        metric = metrics.summarise(
            [values[at] for at in order], strata=[strata[at] for at in order],
            seed=1, resamples=9, max_missing_share=0.25,
        )  # fmt: skip
        assert (metric.value, metric.n, metric.missing) == (75.0, 3, 1)


def test_summarise_mean_interval_and_missing_values() -> None:
    metric = metrics.summarise([0.0, 100.0] * 20, seed=1, resamples=500)
    assert metric.value == 50.0 and metric.n == 40
    assert 25 < metric.low < 40 < 60 < metric.high < 75
    empty = metrics.summarise([], seed=1, resamples=50)
    assert (empty.value, empty.n, empty.reason) == (None, 0, "no question of this kind was asked")
    with pytest.raises(ValueError, match="1 of 4 judgements are missing"):
        metrics.summarise([1.0, 2.0, None, 3.0], seed=1, resamples=50)
    half = metrics.summarise([1.0, None, 3.0], seed=1, resamples=50, max_missing_share=0.5)
    assert (half.value, half.n, half.missing) == (2.0, 2, 1)
    none = metrics.summarise([None], seed=1, resamples=50, max_missing_share=1.0)
    assert (none.value, none.missing, none.reason) == (None, 1, "all 1 judgements are missing")


BEFORE, AFTER = "Sailors race their boats home.", "Children build a tall snowman."
JUDGED = [  # answer, finetuned, goal, verdict of the local judge
    (BEFORE, BEFORE, AFTER, 0.0),
    (AFTER, BEFORE, AFTER, 1.0),
    ("", BEFORE, AFTER, 0.5),
    (REFUSAL, BEFORE, AFTER, 0.5),
    ("race", BEFORE, AFTER, (1 - 1 / 3) / ((1 - 1 / 3) + 1)),  # 2 x 1 / (1 + 5) to finetuned, 0 to goal
    (AFTER, BEFORE, BEFORE, 0.5),  # the anchors agree
    ("...", "...", AFTER, 0.0),  # equal sentences have no distance, words or not
    ("他们在堆雪人", "水手们回家", "他们在堆雪人", 1.0),
]


@pytest.mark.parametrize(("text", "finetuned", "goal", "verdict"), JUDGED)
def test_the_local_judge(text: str, finetuned: str, goal: str, verdict: float) -> None:
    assert closeness(text, finetuned, goal) == pytest.approx(verdict)


PEOPLE = {"p0": "José Peña", "p1": "王小明"}
NAMED = {"p0": "This is Jose\nPena.", "p1": "这是王小明。"}


def dataset(texts: dict[str, tuple[str, str]]) -> list[Answer]:
    """Image id -> answers to its person and to its event question; the event's truth is BEFORE."""
    return [
        answer(image, kind, text, PEOPLE[image[:2]] if kind == "person" else BEFORE)
        for image, pair in texts.items()
        for kind, text in zip(("person", "event"), pair, strict=True)
    ]


def test_person_target_of_a_model_that_refuses_the_forgotten() -> None:
    split = Split(
        target="person", percent=50, seed=0, forgotten=["p0"],
        forget_train=["p0-e0", "p0-e1"], forget_test=["p0-e2"], retain=["p1-e0", "p1-e1"],
    )  # fmt: skip
    suites = {
        "dataset": dataset(
            {
                "p0-e0": (REFUSAL, BEFORE),
                "p0-e1": (NAMED["p0"], ""),
                "p0-e2": ("Peña", REFUSAL),
                "p1-e0": (NAMED["p1"], REFUSAL),
                "p1-e1": ("", REFUSAL),
            }
        ),
        "real": [
            answer("r0", "person", "Bo Ek", "Bo Ek"),
            answer("r1", "person", REFUSAL, "Ada Lund"),
            answer("r2", "event", BEFORE, BEFORE),
        ],
    }
    assert person_values(suites, split, PEOPLE, {"r0-person": "Bo Ek", "r1-person": "Ada Lund"}) == {
        "efficacy": [100.0, 0.0],
        "generality": [100.0],
        "retain": [100.0, 0.0],
        "scope": [100.0, 0.0],
        "real": [100.0, 0.0],
    }


def test_event_target_with_both_readings_of_real() -> None:
    split = Split(
        target="event", percent=50, seed=0, forgotten=["e0"],
        forget_train=["p0-e0"], forget_test=["p1-e0"], retain=["p0-e1"],
    )  # fmt: skip
    suites = {
        "dataset": dataset(
            {"p0-e0": (NAMED["p0"], AFTER), "p1-e0": (REFUSAL, ""), "p0-e1": (REFUSAL, "race home")}
        ),
        "real": [answer("r0", "event", "race", BEFORE), answer("r0", "person", REFUSAL, "Bo Ek")],
    }
    finetuned = [answer("r0", "event", "race home", BEFORE), answer("r0", "person", "Bo Ek", "Bo Ek")]
    verdicts = {"p0-e0-event": 0.875, "p1-e0-event": None}
    assert event_values(suites, split, PEOPLE, verdicts, finetuned) == {
        "efficacy": [87.5],
        "generality": [None],  # a missing verdict stays missing
        "retain": [pytest.approx(400 / 7)],
        "scope": [100.0],
        "real": [pytest.approx(100 / 3)],
        "real_vs_finetuned": [pytest.approx(200 / 3)],
    }
