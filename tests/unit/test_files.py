"""Files that users write: read in one way, and never asked to be deleted."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import mmunlearn
from mmunlearn.dataset.event_pool import open_pool
from mmunlearn.dataset.pope_files import read_pope
from mmunlearn.dataset.real_people import read_people
from mmunlearn.evaluation.judge.rubrics.g_eval import GEval
from mmunlearn.files import RecordError, read_csv, read_refusals, read_yaml
from mmunlearn.records import POPE_SUBSETS
from mmunlearn.reporting.layout import read_table
from mmunlearn.robustness.wordings import read_paraphrases
from mmunlearn.verdicts import COLUMNS, read_verdicts, verdict_files
from mmunlearn.weights.files import read_json
from tests.unit.file_sets import encoded, pope_lines, store

LIBRARY = Path(mmunlearn.__file__).parent


def rubric(path: Path) -> GEval:
    one = GEval()
    one.prompt = path
    return one


VERDICT = f"{','.join(COLUMNS)}\nperson,p000,{'0' * 16},reject,Zoë,2026-11-21,\n"
READERS = {
    "refusals.txt": ("Je ne sais pas, Zoë.\n", read_refusals),
    "paraphrases.yaml": ("person: ['Qui est Zoë?']\nevent: ['Où?']\n", read_paraphrases),
    "table.csv": ("model,method\nZoë,GA\n", read_table),
    "kim.csv": (VERDICT, lambda path: read_verdicts([path])),
    "manifest.csv": (
        "file,name\na.png,Zoë Lund\n",
        lambda path: [one.name for one in read_people(path.parent)],
    ),
    "g_eval.txt": ("Zoë: {test} {finetuned} {goal}", lambda path: rubric(path)._prompt),
    "config.json": ('{"name": "Zoë"}', read_json),
    "coco_pope_random.json": (
        "\n".join(pope_lines("Zoë", ["a.png"])).replace("\\u00eb", "ë"),
        lambda path: read_pope(path.parent, path.parent)["random"],
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_a_byte_order_mark_is_no_part_of_a_text_and_other_encodings_are_named(tmp_path, name):
    text, read = READERS[name]
    store(tmp_path / "a.png", encoded((1, 2, 3)))
    for subset in POPE_SUBSETS:
        store(tmp_path / f"coco_pope_{subset}.json", "\n".join(pope_lines(subset, ["a.png"])).encode())
    plain = read(store(tmp_path / name, text.encode()))
    assert "Zoë" in str(plain)
    assert read(store(tmp_path / name, text.encode("utf-8-sig"))) == plain
    for encoding, found in (("utf-16", "UTF-16"), ("utf-16-le", "UTF-16 without"), ("latin-1", "Latin-1")):
        store(tmp_path / name, text.encode(encoding))
        with pytest.raises(ValueError, match=f"{name}.*{found}.*Save it again as UTF-8"):
            read(tmp_path / name)


def test_captions_may_begin_with_a_byte_order_mark(tmp_path):
    store(tmp_path / "a.png", encoded((1, 2, 3)))
    store(tmp_path / "a.txt", "A thing.".encode("utf-8-sig"))
    (part,) = open_pool(tmp_path)
    assert [one.caption for block in part.blocks() for one in block] == ["A thing."]


def test_yaml_that_is_none_is_named(tmp_path):
    store(tmp_path / "a.yaml", b"person: [")
    with pytest.raises(RecordError, match=r"Asked .*a\.yaml for YAML\. Found .*line 1.*Correct it there"):
        read_yaml(tmp_path / "a.yaml")


def test_rows_of_csv_have_the_line_in_which_they_begin(tmp_path):
    path = store(tmp_path / "a.csv", b'a,b\r\n\r\n"1\r\n2",3\r\n4,"x')
    with pytest.raises(RecordError, match=r"a\.csv, line 5, for a row of CSV"):
        read_csv(path)
    store(path, b'a,b\r\n\r\n"1\r\n2",3\r\n4,x')
    assert read_csv(path) == [(1, ["a", "b"]), (3, ["1\r\n2", "3"]), (5, ["4", "x"])]


def test_a_table_with_a_row_of_other_length_is_named(tmp_path):
    """A cell that is lost would move all others under other names."""
    path = store(tmp_path / "published.csv", b"model,method\nllava\n")
    with pytest.raises(RecordError, match=r"published\.csv, line 2, for 2 cells.*Found 1"):
        read_table(path)


def test_verdict_files_of_any_case_are_read(tmp_path):
    for name in ("b.csv", "A.CSV", "c.Csv", "d.csv.bak", "e.txt"):
        store(tmp_path / name, VERDICT.encode())
    (tmp_path / "f.csv").mkdir()
    assert [Path(one).name for one in verdict_files(str(tmp_path))] == ["A.CSV", "b.csv", "c.Csv"]
    assert verdict_files(None) == verdict_files(str(tmp_path / "none")) == []


def texts(path: Path) -> list[str]:
    """The texts of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    every = (
        node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return [node.value for node in every if id(node) not in alone]


OWN = (  # what a run made, or no file
    "delete the lock",
    "or delete it to record the present weights' checksums anew",  # the lock
    "delete the file to have it made again",  # by fetch_weights, from others that it names
    "remove this file, and with it the files",  # what a fetch that broke off has left
    "remove the key",
    ", remove ",  # keys of an option
)


def test_no_message_tells_a_user_to_delete_a_file_of_theirs():
    advice = [
        f"{path.relative_to(LIBRARY)}: {text}"
        for path in LIBRARY.rglob("*.py")
        for text in texts(path)
        if re.search(r"\b(delete|remove|erase|throw away)\b", text) and not any(own in text for own in OWN)
    ]
    assert advice == []


OF_MACHINES = {  # besides JSON: what the system, the workflow or the hub's client wrote, our schema, packages' data
    "atomic.py", "claims.py", "files.py", "training/launch.py", "weights/hub.py", "workflow/paths.py",
    "workflow/schema.py", "pocket/avatars.py", "evaluation/language.py", "lifelong/draw.py", "scorers/device.py",
    "workflow/machine.py",
}  # fmt: skip


def test_texts_of_users_are_read_in_one_place():
    """Elsewhere a byte order mark would be part of the first word, and Latin-1 a traceback."""
    readers = {
        path.relative_to(LIBRARY).as_posix()
        for path in LIBRARY.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"\.read_text\(|\.read_bytes\(\)\.decode", line) and "json.loads(" not in line
    }
    assert readers <= OF_MACHINES, "read_text, read_yaml or read_csv of mmunlearn.files"
