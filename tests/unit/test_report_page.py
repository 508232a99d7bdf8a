"""The report: self-contained, the same for the same inputs, honest about what is missing."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmunlearn.records import RecordError, Split, Training, read_json, read_manifest, write_json
from mmunlearn.reporting.layout import METHODS, TABLE3, read_table, select, write_table
from mmunlearn.reporting.page import DEVIATIONS, write_report
from mmunlearn.reporting.page_pictures import spread
from mmunlearn.reporting.page_runs import duration, sparkline, time_by_rule, training_rows
from mmunlearn.reporting.published import SPEARMAN_KINDS
from tests.unit.page_checks import Page, rows_of
from tests.unit.report_fixtures import LABELS, NAMES, SECTIONS, report_inputs, write_training


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return report_inputs(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def text(inputs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    return page_of(inputs, tmp_path_factory.mktemp("page"))


def page_of(inputs: dict[str, Any], folder: Path, **changed: Any) -> str:
    write_report(**inputs | changed, page=folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


def answers_of(text: str) -> str:
    return text[text.index('<section id="answers"') : text.index('<section id="training"')]


def test_the_tables_show_the_numbers_of_their_files(inputs: dict[str, Any], text: str) -> None:
    rows = {(row["method"], row["target"]): row for row in read_table(inputs["table3"])}
    *lines, (questions, counts) = rows_of(text, "table3")
    assert [method for method, _ in lines] == list(METHODS) and questions == "Questions"
    for method, cells in lines:
        numbers = [(rows[method, target], metric) for target, metric in TABLE3.cells]
        assert cells == [
            f"{float(row[name]):.1f} interval {float(row[f'{name}_low']):.0f}–{float(row[f'{name}_high']):.0f}"
            for row, name in numbers
        ]
    assert counts == ["40"] * 12
    assert [text.count(f'class="{place}">') for place in ("best", "second")] == [12, 12 + 1], (
        "one in the legend"
    )
    versus = select(read_table(inputs["versus"]), published_model="llava-1.5-7b", method="GA")
    first = next(cells for method, cells in rows_of(text, "published") if method == "GA")
    assert first == [f"{float(row['ours']):.1f} published {float(row['published']):.1f}" for row in versus]
    for label, kind in zip(("Rank ρ, 5 methods", "Rank ρ, all 7 rows"), SPEARMAN_KINDS, strict=True):
        rho = select(read_table(inputs["versus"]), published_model="llava-1.5-7b", kind=kind)
        cells = next(cells for head, cells in rows_of(text, "published") if head == label)
        assert [cell.replace("−", "-") for cell in cells] == [
            f"{float(row['spearman']):.2f}" if row["spearman"] else "–" for row in rho
        ]
    limits = [cells[1] for _, cells in rows_of(text, "filters")]
    assert limits == ["L2 ≤ 0.8", "cosine ≥ 0.3", "cosine ≥ 0.85", "score ≥ 50", "score ≥ 6", ""]


def test_the_page_has_its_sections_and_its_contents_lead_there(text: str) -> None:
    page = Page(text)
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    assert set(SECTIONS) <= set(page.ids)
    assert {f"#{name}" for name in SECTIONS} <= set(page.addresses)
    assert page.tags.count("h1") == 1


def test_the_page_needs_nothing_but_itself(text: str) -> None:
    page = Page(text)
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert not {"script", "iframe", "object"} & set(page.tags)
    assert not re.search(r"https?://|url\(|@import", text)
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert page.without_alt == 0


def test_equal_inputs_give_equal_bytes(inputs: dict[str, Any], text: str, tmp_path: Path) -> None:
    lists = {name: value[::-1] for name, value in inputs.items() if isinstance(value, list)}
    assert page_of(inputs, tmp_path, **lists) == text


def test_a_picture_that_is_another_than_listed_is_refused(tmp_path: Path) -> None:
    inputs = report_inputs(tmp_path / "run")
    first, second = sorted(inputs["manifest"].parent.glob("p*.png"))[:2]
    first.write_bytes(second.read_bytes())
    with pytest.raises(
        RecordError, match=rf"Found another in {first}\. .*--forcerun {inputs['manifest']} -- "
    ):
        page_of(inputs, tmp_path)


def test_it_shows_accepted_and_refused_pictures(inputs: dict[str, Any], text: str) -> None:
    rows = read_manifest(inputs["manifest"])
    refused = [row for row in rows if not row.accepted]
    grid = text[text.index('<table class="grid">') : text.index("Refused candidates")]
    assert grid.count("<img") == sum(row.accepted for row in rows) == 15
    assert "none accepted" in grid
    reasons = ["distortion", "identity, subject", "no face", "distortion"]
    assert re.findall('alt="[^"]*, refused: ([^"]*)"', text) == reasons, "in turn, so that rare ones are seen"
    assert len(refused) == len(reasons)
    assert all(name in grid for name in NAMES)


def test_it_explains_the_judge_the_scale_and_the_ceiling(text: str) -> None:
    words = " ".join(text.split())
    assert "G-Eval by the local judge is 0 for Finetune and 100 for Goal by construction" in words
    assert "illustrates the benchmark; it does not reproduce the paper" in words
    assert "Goal, seed 101" in words
    assert "training 1; ceiling 101" in words and "None was trained" not in words


def test_it_says_for_which_target_no_ceiling_was_trained(inputs: dict[str, Any], tmp_path: Path) -> None:
    rows = select(read_table(inputs["ceiling"]), target="event")
    write_table(tmp_path / "events.csv", list(rows[0]), rows)
    page = page_of(inputs, tmp_path, ceiling=tmp_path / "events.csv")
    assert "None was trained for person unlearning.</p>" in page


def test_a_judge_whose_name_has_the_word_local_is_another(inputs: dict[str, Any], tmp_path: Path) -> None:
    rows = [row | {"judge": "openai/my-local-model"} for row in read_table(inputs["table3"])]
    write_table(tmp_path / "table3.csv", list(rows[0]), rows)
    page = page_of(inputs, tmp_path, table3=tmp_path / "table3.csv")
    assert "by construction" not in page and "is the judge's noise" in page


def test_it_says_what_differs_from_the_paper(text: str) -> None:
    shown = html.unescape(text)
    parts = yaml.safe_load(DEVIATIONS.read_text(encoding="utf-8"))
    for part in parts:
        assert f">{part['title']}</th>" in shown
        for row in part["rows"]:
            told = (re.sub("`(.*?)`", r"<code>\1</code>", row[side]) for side in ("paper", "here"))
            cells = (f'<td class="text">{text}</td>' for text in told)
            assert all(cell in shown for cell in cells), row["what"]


def test_answers_stand_side_by_side(inputs: dict[str, Any], text: str) -> None:
    answers = answers_of(text)
    assert answers.count("<figure") == 6
    for method in ("Reference", "Finetune", "PO", "GA", "GD", "KL", "DPO", "Goal"):
        assert answers.count(f'<th scope="row">{method}</th>') == 6
    assert answers.count('<small class="forget">') == 4
    assert "I cannot say who that is." in answers
    assert "(empty)" in answers
    test_half = {one for path in inputs["splits"] for one in read_json(path, Split).forget_test}
    images = set(re.findall(r"\((p\d+-e\d+)\)", answers))
    assert len(images & test_half) == 4


def test_missing_parts_are_said(inputs: dict[str, Any], tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text(inputs["ceiling"].read_text().splitlines()[0] + "\n")
    nothing = {
        "answers": [],
        "splits": [],
        "trainings": [],
        "benchmarks": tmp_path / "none",
        "ceiling": empty,
    }
    text = page_of(inputs, tmp_path, **nothing)
    assert "No ceiling model was trained" in text
    assert "No answers were passed" in text
    assert "0 trained recipes" in text


def test_text_from_data_is_escaped(inputs: dict[str, Any], tmp_path: Path) -> None:
    people = tmp_path / "people.jsonl"
    people.write_text(inputs["people"].read_text().replace(NAMES[1], "<script>alert(1)</script>"))
    assert "<script>" not in page_of(inputs, tmp_path, people=people)


def test_differences_from_goal_and_the_papers_own_ranks_are_shown(inputs: dict[str, Any], text: str) -> None:
    rows = select(read_table(inputs["differences"]), other="Goal", method="GA")
    cells = dict(rows_of(text, "ceiling"))["GA"]
    assert [float(cell.replace("−", "-")) for cell in cells] == pytest.approx(
        [float(row["difference"]) for row in rows], abs=0.05
    )
    ranks = [cells for head, cells in rows_of(text, "published") if head == "the paper itself"]
    assert ["llava-1.5-7b, 5% and llama-3.2-vision-11b, 5%", "−0.03", "12"] in ranks
    assert ["llava-1.5-7b, 5% and llava-1.5-7b, 10%", "0.72", "12"] in ranks


def test_a_number_is_rounded_once_and_doubtful_replies_are_named(
    inputs: dict[str, Any], tmp_path: Path
) -> None:
    rows = read_table(inputs["table3"])
    rows[4] |= {"scope": "56.4474", "scope_low": "49.4999", "world_fact_doubtful": "3"}
    write_table(tmp_path / "table3.csv", list(rows[0]), rows)
    page = page_of(inputs, tmp_path, table3=tmp_path / "table3.csv")
    assert dict(rows_of(page, "table3"))["GA"][3].startswith("56.4 interval 49–")
    assert "GA, person 3." in " ".join(page.split())


def test_questions_are_counted_with_their_clusters(inputs: dict[str, Any], tmp_path: Path) -> None:
    rows = [row | {"retain_clusters": "38"} for row in read_table(inputs["table3"])]
    write_table(tmp_path / "table3.csv", list(rows[0]), rows)
    page = page_of(inputs, tmp_path, table3=tmp_path / "table3.csv")
    assert dict(rows_of(page, "table3"))["Questions"][2] == "40 in 38"
    assert "none." in " ".join(page.split()), "no reply is doubtful"


def test_a_missing_score_is_a_dash_with_its_reason(inputs: dict[str, Any], tmp_path: Path) -> None:
    rows = read_table(inputs["table3"])
    rows[4] |= {"scope": "", "scope_missing": "7", "reason": "scope: no event answers"}
    write_table(tmp_path / "table3.csv", list(rows[0]), rows)
    page = page_of(inputs, tmp_path, table3=tmp_path / "table3.csv")
    assert "GA, person: scope: no event answers" in page
    lines = dict(rows_of(page, "table3"))
    assert lines["GA"][3].startswith("–") and lines["Questions"][3] == "40 (7 missing)"


def test_another_scale_has_no_pocket_notice(inputs: dict[str, Any], tmp_path: Path) -> None:
    settings = inputs["settings"] | {"scale": "paper"}
    assert "pocket scale illustrates" not in page_of(inputs, tmp_path, settings=settings)


def test_answers_are_of_the_split_with_the_smallest_percent_and_of_each_concept(
    inputs: dict[str, Any], tmp_path: Path
) -> None:
    """Held out pictures of both forgotten people come before a second one, then one to retain of their events."""
    test_half = ["p000-e02", "p000-e03", "p001-e02", "p001-e03"]
    retain = ["p002-e00", "p002-e01", "p002-e02", "p003-e02"]
    split = Split(
        target="person", percent=5, seed=1, forgotten=["p000", "p001"], forget_train=["p000-e00"],
        forget_test=test_half, retain=retain,
    )  # fmt: skip
    larger = split.model_copy(update={"percent": 15, "forget_test": ["p001-e00"]})
    paths = [tmp_path / "person15.json", tmp_path / "person05.json"]
    for path, one in zip(paths, (larger, split), strict=True):
        write_json(path, one)
    answers = answers_of(page_of(inputs, tmp_path, splits=paths))
    assert re.findall(r"\((p\d+-e\d+)\)", answers) == ["p000-e02", "p001-e02", "p002-e02"]


def test_methods_are_called_as_the_tables_call_them(inputs: dict[str, Any], tmp_path: Path) -> None:
    text = page_of(inputs, tmp_path, labels=inputs["labels"] | {"ga": "Ascent"})
    assert text.count('<th scope="row">Ascent</th>') == 6


def test_a_step_without_a_finite_loss_is_left_out_of_its_curve(tmp_path: Path) -> None:
    losses = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": None}, {"step": 3, "loss": -1.0}]
    path = write_training(tmp_path / "training.json", "ga-person05", 3, losses=losses)
    (row,) = training_rows([read_json(path, Training)], LABELS)
    assert row["losses"] == "2.00 → −1.00"
    assert "from 2 to -1 in 2 records" in row["sparkline"]


def test_trainings_stand_by_split_method_and_seed(tmp_path: Path) -> None:
    order = [("finetuned", 1), ("ga-event05", 1), ("po-person05", 1), ("po-person05", 2), ("ga-person05", 1)]
    paths = [
        write_training(tmp_path / f"{recipe}-{seed}.json", recipe, 3, seed=seed) for recipe, seed in order
    ]
    rows = training_rows([read_json(path, Training) for path in paths[::-1]], LABELS)
    assert [(row["recipe"], row["seed"]) for row in rows] == order


def test_each_recipe_answers_with_its_lowest_seed_of_the_first_model(
    inputs: dict[str, Any], text: str, tmp_path: Path
) -> None:
    further = []
    for path in inputs["answers"]:
        for run in ("pocket-llava/{}/seed-2", "pocket-qwen/{}/seed-0"):
            further.append(tmp_path / run.format(path.parents[1].name) / path.name)
            further[-1].parent.mkdir(parents=True)
            further[-1].write_text(path.read_text().replace("This is", "I see"))
    assert answers_of(page_of(inputs, tmp_path, answers=further + inputs["answers"])) == answers_of(text)


def test_time_by_rule_adds_up_jobs(inputs: dict[str, Any]) -> None:
    rows = time_by_rule(inputs["benchmarks"])
    assert [(row["rule"], row["jobs"], row["time"]) for row in rows] == [
        ("train_finetuned", 1, "2 min 32 s"),
        ("write_answers", 2, "41 s"),
        ("draw_images", 1, "8.2 s"),
        ("check_config", 1, "0.2 s"),
    ]


def test_small_helpers() -> None:
    assert spread(list("abcdef"), 3) == ["a", "c", "e"]
    assert spread(["a"], 8) == ["a"] and spread([], 8) == []
    times = [duration(value) for value in (0.44, 59.6, 187, 7500)]
    assert times == ["0.4 s", "1 min 00 s", "3 min 07 s", "2 h 05 min"]
    assert sparkline([1.0], "x") == ""
    assert 'aria-label="&lt;x&gt;: from 3 to 1 in 2 records"' in sparkline([3.0, 1.0], "<x>")
