"""The next piece is in the making while one is worked on, and errors come where they belong."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from mmunlearn.ahead import ahead


def test_the_next_one_is_made_meanwhile_and_none_beyond():
    begun = {number: threading.Event() for number in range(5)}
    taken = []

    def make(number):
        begun[number].set()
        return number, threading.current_thread() is threading.main_thread()

    with closing(ahead(make, (taken.append(n) or n for n in range(5)))) as made:
        for number in range(4):
            assert next(made) == (number, False)
            assert begun[number + 1].wait(10), "the next one is in the making"
            assert taken == list(range(number + 2))
        assert list(made) == [(4, False)]
    assert not [one for one in threading.enumerate() if one.name.startswith("ahead")]


def test_an_error_comes_when_its_turn_does_and_a_stop_ends_the_thread():
    made = ahead(lambda number: 6 / (3 - number), range(9))
    assert [next(made), next(made), next(made)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(made)

    def stopped():
        with closing(ahead(str, range(9))) as made:
            assert next(made) == "0"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not [one for one in threading.enumerate() if one.name.startswith("ahead")]


def test_of_nothing_nothing_is_made():
    assert list(ahead(str, [])) == []
