"""Rows of methods: a class is tried with its options when the configuration is read, without what is heavy."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from mmunlearn.training.methods import METHODS
from mmunlearn.workflow.check import ConfigError, build_error, check
from mmunlearn.workflow.targets import trained
from tests.unit.test_check import changed

OWN = """
from math import sqrt
import torch
from torch import Tensor, e as torch_e
from mmunlearn.training.methods.base import Method, positive
LOWEST = sqrt(4)
class Bounded(Method):
    views, watch = ("forget",), "forget"
    def __init__(self, ceiling: float, mode: str = "hard", soft: bool = False):
        positive(ceiling=ceiling)
        assert mode != "none", "mode must not be none"
        if ceiling < LOWEST:
            raise ValueError(f"ceiling must be at least {LOWEST}, not {ceiling}")
        self.ceiling = ceiling
class Loose(Bounded):
    def __init__(self, **options): super().__init__(**options)
class Sloppy(Method):
    pass
class Heavy(Method):
    views, watch = ("forget",), "forget"
    def __init__(self, ceiling: float = 1.0):
        if torch.tensor(ceiling) < 2: raise ValueError("not told before torch is there")
class Typed(Method):
    views, watch = ("forget",), "forget"
    def __init__(self, ceiling: float = 1.0):
        if isinstance(ceiling, Tensor): raise ValueError("not told before torch is there")
        self.ceiling = ceiling * torch_e
class Module(torch.nn.Module, Method):
    def __init__(self, ceiling: float = 1.0): super().__init__(1, 2, 3)
class Other: pass
class Net(torch.nn.Module): pass
class Table(Method):
    views, watch = ("forget",), "forget"
    def __init__(self, ceiling: float = 1.0, mode: str = "hard"):
        self.share = {"hard": 1 / ceiling}[mode]
class Caught(Method):
    views, watch = ("forget",), "forget"
    def __init__(self, ceiling: float = 1.0):
        try:
            self.ceiling = torch.tensor(ceiling)
        except Exception: raise ValueError("caught what is no fault")
"""
LATE = "TABLE = {}\nimport torch\nTABLE.update(torch.modes)\n" + OWN.replace('{"hard": 1 / ceiling}', "TABLE")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"path": "own_methods:Bounded", "ceiling": 3.0}, None),
        ({"path": "own_methods:Bounded", "ceiling": 3, "mode": "soft", "soft": True}, None),
        ({"path": "own_methods:Loose", "ceiling": 3.0}, None),
        ({"path": "own_methods:Heavy", "ceiling": 0.5}, None),
        ({"path": "own_methods:Typed", "ceiling": 0.5}, None),
        ({"path": "own_methods:Module", "ceiling": 0.5}, None),
        ({"path": "own_methods:Module", "ceiling": "x"}, "ceiling must be a number, not 'x'"),
        ({"path": "own_methods:Bounded"}, "methods.mine.ceiling: Bounded needs this option"),
        ({"path": "own_methods:Bounded", "ceiling": 3, "cieling": 3}, "methods.mine.cieling': did you mean 'ceiling'"),
        ({"path": "own_methods:Bounded", "ceiling": -1}, "ceiling must be above 0, not -1"),
        ({"path": "own_methods:Bounded", "ceiling": 1.5}, "ceiling must be at least 2.0, not 1.5"),
        ({"path": "own_methods:Bounded", "ceiling": "3"}, "ceiling must be a number, not '3'"),
        ({"path": "own_methods:Bounded", "ceiling": True}, "ceiling must be a number, not True"),
        ({"path": "own_methods:Bounded", "ceiling": 3, "soft": 1}, "soft must be true or false, not 1"),
        ({"path": "own_methods:Bounded", "ceiling": 3, "mode": 1}, "mode must be text, not 1"),
        ({"path": "own_methods:Bounded", "ceiling": 3, "mode": "none"}, "methods.mine: mode must not be none"),
        ({"path": "own_methods:Loose", "ceiling": -1}, "ceiling must be above 0"),
        ({"path": "own_methods:Heavy", "cieling": 3.0}, "'methods.mine.cieling': did you mean 'ceiling'"),
        ({"path": "own_methods:Sloppy"}, "Sloppy has no views and no watch"),
        ({"path": "own_methods:Other"}, "is no mmunlearn.training.methods.base.Method"),
        ({"path": "own_methods:LOWEST"}, "is no mmunlearn.training.methods.base.Method"),
        ({"path": "own_methods:Bouded"}, "has no 'Bouded'; did you mean 'Bounded'"),
        ({"path": "own_method:Bounded"}, "there is no module 'own_method'"),
        ({"path": "own_methods.deeper:Bounded"}, "there is no module 'own_methods.deeper'"),
        ({"path": "own_methods:Net"}, "is no mmunlearn.training.methods.base.Method"),
        ({"path": "own_methods:Tensor"}, "is no mmunlearn.training.methods.base.Method"),
        ({"path": "torch:Linear"}, "is no mmunlearn.training.methods.base.Method"),
        ({"path": "collections:OrderedDict"}, "is no mmunlearn.training.methods.base.Method"),
        ({"path": "own_methods:Table", "ceiling": 0}, "methods.mine: ZeroDivisionError: division by zero"),
        ({"path": "own_methods:Table", "mode": "soft"}, "methods.mine: KeyError: 'soft'"),
        ({"path": "own_methods:Caught"}, None),
        ({"path": "late:Table", "mode": "soft"}, None),
        ({"path": "broken:Bounded"}, "broken.py, line 2: '(' was never closed; correct the file"),
        ({"path": "outside:Bounded"}, "outside.py, line 1: 'return' outside function; correct the file"),
        ({"path": "null:Bounded"}, "null.py: source code string cannot contain null bytes"),
        ({"path": "parts.good:Bounded"}, "bad.py, line 1: invalid syntax"),
        ({"path": "own_methods"}, "package.module:Class is asked for"),
        ({"path": "own_methods:Bounded\n", "ceiling": 3}, "package.module:Class is asked for"),
    ],
)  # fmt: skip
def test_a_method_of_one_s_own_is_built_without_what_is_heavy(tmp_path, monkeypatch, row, says):
    (tmp_path / "own_methods.py").write_text(OWN)
    (tmp_path / "late.py").write_text(LATE)
    (tmp_path / "broken.py").write_text("class Bounded: pass\nprint(")
    (tmp_path / "outside.py").write_text("return")
    (tmp_path / "null.py").write_text("a = 1\0")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "good.py").write_text("from .bad import one")
    (tmp_path / "parts" / "bad.py").write_text("class class")
    (tmp_path / "torch.py").write_text("raise ImportError('not here')")
    monkeypatch.syspath_prepend(tmp_path)
    config = changed("methods.mine", {"targets": ["person"], "learning_rate": 1e-4, "max_steps": 3} | row)
    with nullcontext() if says is None else pytest.raises(ConfigError, match=re.escape(says)):
        check(config)
    assert "own_methods" not in sys.modules


HEAVY = """
import torch
from mmunlearn.training.methods.base import Method
class Heavy(Method):
    views, watch = ("forget",), "forget"
    def __init__(self, ceiling: float = 1.0):
        if torch.tensor(ceiling) < 2: raise {error}
"""


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("heavy_value:Heavy", 'ValueError("too low")', "methods.mine: too low"),
        ("heavy_at_all:Heavy", "ValueError\n{}['a']", "methods.mine: KeyError: 'a'"),
        ("heavy_index:Heavy", "IndexError(3)", "methods.mine: IndexError: 3"),
        (
            "heavy_import:Heavy",
            "ValueError\nimport torch.nothing_there",
            "methods.mine: method 'mine': 'heavy_import:Heavy' cannot be loaded",
        ),
    ],
)
def test_what_rests_on_tensors_is_built_before_the_first_job(tmp_path, monkeypatch, path, error, says):
    (tmp_path / f"{path.partition(':')[0]}.py").write_text(HEAVY.format(error=error))
    monkeypatch.syspath_prepend(tmp_path)
    row = {"path": path, "targets": ["person"], "learning_rate": 1e-4, "max_steps": 3, "ceiling": 0.5}
    config = changed("methods.mine", row)
    check(config)
    jobs = [
        SimpleNamespace(rule=SimpleNamespace(name=rule), wildcards=SimpleNamespace(recipe=recipe))
        for rule, recipe in (("train_unlearned", "mine-person05"), ("train_goal", "goal-person05"))
    ]
    assert re.search(re.escape(says), str(build_error(config, trained(jobs)))) is not None
    assert build_error(config, trained(jobs[1:])) is None, "nothing is built that is not trained"
    assert build_error(changed("methods.mine", row | {"ceiling": 3.0}), ["ga-person05"]) is None


def test_every_registered_method_is_decided_without_torch():
    """A wrong value of each option of each method is told: none rests on a stand-in."""
    for name, entry in METHODS.items():
        for option in entry.options:
            with pytest.raises(ConfigError, match=rf"methods\.{re.escape(name)}: .*{option}"):
                check(changed(f"methods.{name}.{option}", -1))
