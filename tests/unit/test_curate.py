"""Names that person metrics can rely on."""

from __future__ import annotations

import hashlib
import re
import zipfile

import pytest

from mmunlearn.curation import entities
from mmunlearn.curation.curate import check_people, name_problem
from mmunlearn.records import RecordError
from mmunlearn.text import fold
from tests.rules.standin import ROOT
from tests.unit.rows import person

MLUBENCH = ROOT.parent / "shared" / "mlubench" / "MLUBench.zip"
OTHERS = ["Ada Lund", "José Diaz Peña"]


@pytest.fixture
def made_up_entity(tmp_path, monkeypatch):
    digests = [hashlib.sha256(fold(name).encode()).hexdigest() for name in ("Zorblax", "Quill Vantongeren")]
    (tmp_path / "entities.sha256").write_text("# two\n" + "\n".join(digests))
    monkeypatch.setattr(entities, "PATH", tmp_path / "entities.sha256")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "must have two words or more"),
        (" \n ", "must have two words or more"),
        ("Ada", "must have two words or more"),
        ("ADA  lund", "must be unique"),
        ("Jose Díaz Pena", "must be unique"),
        ("Ada Lundqvist", "'Ada Lund' is part of 'Ada Lundqvist'"),
        ("Nada Lund", "'Ada Lund' is part of 'Nada Lund'"),
        ("diaz peña", "'diaz peña' is part of 'José Diaz Peña'"),
        ("Peter Zorblax", "holds 'zorblax', an entity of MLUBench"),
        ("ZÓRBLAX Hall", "holds 'zorblax'"),
        ("Mary Quill Vantongeren Hall", "holds 'quill vantongeren'"),
        ("Quill Vantongeren", "holds 'quill vantongeren'"),
    ],
)
def test_an_unfit_name_is_explained(made_up_entity, name, problem):
    message = name_problem(name, OTHERS)
    assert message is not None
    assert problem in message
    assert re.search(r": (give|rename) ", message)  # what to do


@pytest.mark.parametrize("name", ["Adam Lundqvist", "Ada Berg", "Quill Hall Vantongeren", "Zorblaxa Hall"])
def test_a_fit_name_has_no_problem(made_up_entity, name):
    assert name_problem(name, OTHERS) is None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["Ada Lund", "ada lund"], "name must be unique, but 'ada lund' occurs 2 times"),
        (
            ["Ada Lund", "Bo Berg", "Ada Lundqvist"],
            "p000: the name 'Ada Lund' is part of 'Ada Lundqvist': rename",
        ),
        (["Ada Lund", "Bo"], "p001: the name 'Bo' must have two words or more"),
        (
            ["Ada Lund", "Bo Zorblax"],
            "p001: the name 'Bo Zorblax' holds 'zorblax', an entity of MLUBench: rename",
        ),
    ],
)
def test_people_with_an_unfit_name_are_refused(made_up_entity, names, message):
    with pytest.raises(RecordError, match=re.escape(message)):
        check_people([person(number, name=name) for number, name in enumerate(names)])


def test_entities_ship_as_digests_only():
    digests = entities.entities()
    assert len(digests) == 127
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    lines = entities.PATH.read_text(encoding="utf-8").splitlines()[1:]
    assert lines == sorted(digests)


@pytest.mark.skipif(
    not MLUBENCH.is_file(), reason="MLUBench.zip is not beside the repository, in shared/mlubench"
)
def test_the_digests_are_of_mlubenchs_entities():
    with zipfile.ZipFile(MLUBENCH) as archive:
        pattern = r"MLUBench/Entities/variants_(.+)_updated\.json"
        matches = [re.fullmatch(pattern, name) for name in archive.namelist()]
    names = [match[1].replace("_", " ") for match in matches if match]
    digests = {hashlib.sha256(fold(name).encode()).hexdigest() for name in names}
    assert digests == entities.entities()
    for name in names:
        assert "an entity of MLUBench" in name_problem(f"Test {name} Person", [])
