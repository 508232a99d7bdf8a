"""Which drafts go on, and what is said when some may not."""

from __future__ import annotations

import pytest

from mmunlearn.curation.acceptance import ReviewPending, accept_texts
from mmunlearn.curation.shipped import ShippedCurator
from mmunlearn.records import RecordError, write_jsonl
from mmunlearn.verdicts import text_digest
from tests.unit.rows import event, person, save_verdicts, verdict

PEOPLE = [person(number) for number in range(12)]
EVENTS = [event(number) for number in range(3)]


@pytest.fixture
def accept(tmp_path):
    """Run with verdicts as (row, verdict, reviewer); the written files' bytes, as drafts would be."""
    folder = tmp_path / "results" / "pocket" / "curation"
    write_jsonl(folder / "drafts" / "people.jsonl", PEOPLE)
    write_jsonl(folder / "drafts" / "events.jsonl", EVENTS)

    def run(*judged, reviewers):
        path = save_verdicts(tmp_path / "verdicts.csv", *(verdict(*one) for one in judged))
        drafts = folder / "drafts" / "people.jsonl", folder / "drafts" / "events.jsonl"
        made = folder / "people.jsonl", folder / "events.jsonl"
        try:
            accept_texts(*drafts, *made, verdicts=[path], reviewers=reviewers)
        finally:
            written = [path.read_bytes() for path in made if path.exists()]
        assert written == [path.read_bytes() for path in drafts]

    run.folder = folder
    return run


def everybody(*reviewers):
    return [(row, "accept", one) for row in [*PEOPLE, *EVENTS] for one in reviewers]


def test_a_person_and_an_event_of_one_id_are_refused(accept):
    """Tables of single concepts name both by their ids."""
    write_jsonl(accept.folder / "drafts" / "events.jsonl", [event(0).model_copy(update={"event_id": "p003"})])
    with pytest.raises(RecordError, match=r"Found p003 in both\. Give the events other ids"):
        accept(reviewers=0)


def test_without_reviewers_drafts_go_on(accept):
    accept(reviewers=0)


def test_texts_that_all_reviewers_confirm_go_on(accept):
    accept(*everybody("Kim", "Lee"), reviewers=2)


@pytest.mark.parametrize("reviewers", [0, 2])
def test_one_rejection_stops(accept, reviewers):
    judged = [*everybody("Kim", "Lee"), (PEOPLE[3], "reject", "Max"), (EVENTS[1], "reject", "Max")]
    with pytest.raises(ReviewPending, match=r"Found 2 that somebody rejected \(p003, e01\)\."):
        accept(*judged, reviewers=reviewers)
    assert not (accept.folder / "people.jsonl").exists()


def test_what_awaits_review_is_counted_and_named(accept):
    judged = [one for one in everybody("Kim", "Lee") if one[0] in PEOPLE[:1] or one[2] == "Kim"]
    with pytest.raises(ReviewPending) as caught:
        accept(*judged, reviewers=2)
    text = str(caught.value)
    first = ", ".join(f"p{i:03d}" for i in range(1, 11))
    assert text.startswith("Asked for 12 people and 3 events confirmed by 2 different reviewers. ")
    assert f"Found 14 that await review ({first}, ...). " in text
    assert "results/pocket/review/texts.html" in text and "review.verdicts" in text and "run again" in text


def test_one_reviewer_twice_is_one(accept):
    with pytest.raises(ReviewPending, match="15 that await review"):
        accept(*everybody("Kim", "KIM "), reviewers=2)


def test_a_verdict_on_another_text_of_the_same_id_counts_for_nothing(accept):
    edited = PEOPLE[0].model_copy(update={"appearance": "no beard"})
    accept((edited, "reject", "Kim"), reviewers=0)
    judged = [one for one in everybody("Kim") if one[0] != PEOPLE[0]]
    with pytest.raises(ReviewPending, match=r"1 that await review \(p000\)"):
        accept(*judged, (edited, "accept", "Kim"), reviewers=1)


def test_the_shipped_curator_leaves_rejected_rows_out(accept):
    options = {"people": accept.folder / "drafts" / "people.jsonl", "events": "not read"}
    curator = ShippedCurator(options, seed=1, work=accept.folder)
    assert curator.people(3, {text_digest(PEOPLE[1])}) == [PEOPLE[0], PEOPLE[2], PEOPLE[3]]
    with pytest.raises(
        RecordError, match=r"12 people are asked for.*holds 12, 11 without those that reviewers"
    ):
        curator.people(12, {text_digest(PEOPLE[1])})
