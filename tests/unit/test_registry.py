"""Registries: nothing is imported before it is looked up, and what is looked up is of the registered kind."""

from __future__ import annotations

import sys

import pytest

from mmunlearn.registry import Entry, Registry, UnknownName

SHAPES = Registry(
    "shape",
    "collections.abc:Mapping",
    {
        "table": Entry("collections:UserDict", "Table", ("rows",)),
        "list": "collections:UserList",
        "lost": "collections:Nothing",
        "heavy": "this:s",
    },
)


def test_a_class_is_loaded_when_it_is_looked_up():
    assert SHAPES.load("table").__name__ == "UserDict"
    assert SHAPES["table"].label == "Table" and SHAPES["list"] == Entry("collections:UserList")
    assert "this" not in sys.modules and list(SHAPES) == ["table", "list", "lost", "heavy"]


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="shape 'tabel' is unknown; did you mean 'table'"):
        SHAPES.load("tabel")
    assert "tabel" not in SHAPES


def test_what_is_of_another_kind_or_nowhere_is_refused():
    with pytest.raises(
        TypeError, match=r"shape 'list': collections:UserList is no collections\.abc\.Mapping"
    ):
        SHAPES.load("list")
    for name, path in (("lost", "collections:Nothing"), ("mine", "nowhere:Class"), ("mine", "nocolon")):
        with pytest.raises(ImportError, match=f"shape '{name}': '{path}' cannot be loaded"):
            SHAPES.load_path(name, path)
