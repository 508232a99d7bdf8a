"""Rows of methods: a class is tried with its options when the configuration is read, without what is heavy."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext

import pytest

from mmunlearn.training.methods import METHODS
from mmunlearn.workflow.check import ConfigError, check
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
"""


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
        ({"path": "own_methods"}, "package.module:Class is asked for"),
        ({"path": "own_methods:Bounded\n", "ceiling": 3}, "package.module:Class is asked for"),
    ],
)  # fmt: skip
def test_a_method_of_one_s_own_is_built_without_what_is_heavy(tmp_path, monkeypatch, row, says):
    (tmp_path / "own_methods.py").write_text(OWN)
    (tmp_path / "torch.py").write_text("raise ImportError('not here')")
    monkeypatch.syspath_prepend(tmp_path)
    config = changed("methods.mine", {"targets": ["person"], "learning_rate": 1e-4, "max_steps": 3} | row)
    with nullcontext() if says is None else pytest.raises(ConfigError, match=re.escape(says)):
        check(config)
    assert "own_methods" not in sys.modules


def test_every_registered_method_is_decided_without_torch():
    """A wrong value of each option of each method is told: none rests on a stand-in."""
    for name, entry in METHODS.items():
        for option in entry.options:
            with pytest.raises(ConfigError, match=rf"methods\.{re.escape(name)}: .*{option}"):
                check(changed(f"methods.{name}.{option}", -1))
