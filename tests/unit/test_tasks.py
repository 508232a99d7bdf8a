"""Names of tasks, orders and sequences."""

import pytest

from mmunlearn.ids import IdError
from mmunlearn.tasks import TaskSequence, order_id, so_far


@pytest.mark.parametrize(
    ("tasks", "name"), [(["A", "C", "B"], "ACB"), (["t1", "t12"], "t1-t12"), (["D"], "D")]
)
def test_an_order_is_spelt_by_its_tasks(tasks, name):
    assert order_id(tasks) == name


def test_a_stage_comes_after_the_tasks_before_it():
    assert so_far(["C", "A", "B"], "A") == ["C", "A"]
    with pytest.raises(ValueError, match="stage D is asked for, but the order has the tasks C, A, B"):
        so_far(["C", "A", "B"], "D")


def test_a_sequence_is_read_back_from_any_file_of_its_folder():
    sequence = TaskSequence("pocket-llava", "ga-stop", "ABCD", 3)
    assert TaskSequence.of(f"results/pocket/lifelong/{sequence.folder}/B/answers.jsonl") == sequence
    with pytest.raises(IdError, match="belongs to no sequence"):
        TaskSequence.of("seed-1/x.json")
