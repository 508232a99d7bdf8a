"""Paths of the configuration: those in use lead somewhere, `~` is a home, and what has to be brought is told apart."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from shutil import rmtree

import pytest
import yaml

from mmunlearn.dataset.local_sets import HOW
from mmunlearn.workflow.check import ConfigError, check, prepare
from mmunlearn.workflow.paths import TO_BRING, brought_error, to_bring
from mmunlearn.workflow.schema import places
from tests.unit.file_sets import write_collection, write_manifest
from tests.unit.task_files import task_file, write_pictures, write_release
from tests.unit.test_check import CONFIG, changed


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("curation.shipped.people", "nowhere.jsonl", "there is no file 'nowhere.jsonl'"),
        ("curation.shipped.events", "folder", "a file is asked for; found a folder, 'folder'"),
        ("robustness.paraphrases", "nowhere.yaml", "there is no file"),
        ("robustness.paraphrases", "$HOME/p.yaml", "correct the path, in which no variable is replaced"),
        ("training.unlearn.refusals", "folder", "a file is asked for"),
        ("training.unlearn.refusals", "dangling", "there is no file 'dangling', only a link to nowhere"),
        ("training.accelerate_config", "nowhere.yaml", "there is no file"),
        ("training.unlearn.refusals", "latin", "latin for text in UTF-8. Found byte 0xe9 in line 1, as in Latin-1"),
        ("training.unlearn.refusals", "file", "file holds no refusals; PO and DPO need at least one line"),
        ("training.unlearn.refusals", "blank", "blank holds no refusals"),
        ("robustness.paraphrases", "file", "file is asked for questions of kind person, but holds none"),
        ("robustness.paraphrases", "half/p.yaml", "questions of kind event, but holds none; give a list of texts as"),
        ("robustness.paraphrases", "half/q.yaml", "Asked half/q.yaml for YAML"),
        ("curation.shipped.people", "wide", "Asked wide for text in UTF-8. Found UTF-16. Save it again as UTF-8."),
        ("review.verdicts", "file", "a folder is asked for; found a file, 'file'"),
        ("review.verdicts", "~nobody-of-that-name/verdicts", "home of a user that this machine does not know"),
        ("images.pocket.weights", "folder", "the folder 'folder' holds no card.json"),
        ("models.pocket-llava.source", "nowhere", "there is no folder 'nowhere'"),
        ("models.pocket-llava.source", "folder", "the folder 'folder' holds no config.json"),
        ("models.pocket-llava.source", "half", "the folder 'half' holds no *.safetensors"),
        ("models.pocket-llava.source", "a/b", "there is no folder 'a/b'; name a folder with config.json and "
         "*.safetensors, or a hub id with its revision"),
        ("models.pocket-llava.revision", "main", "is a folder, and models.pocket-llava.revision, 'main', is for"),
        ("models.pocket-llava.source", "weights/mine", "and 'mine' is not there"),
        ("weights.folder", "file", "'file' is no folder"),
        ("weights.sources", {"flux-dev": "nowhere"}, "weights.sources.flux-dev: there is no folder 'nowhere'"),
    ],
)  # fmt: skip
def test_a_path_that_leads_nowhere_is_named_with_its_key(tmp_path, monkeypatch, path, value, says):
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    config = changed(path, value)
    prepare(config)
    with pytest.raises(ConfigError, match=re.escape(says)) as told:
        check(config)
    assert path in str(told.value) and str(told.value).count("\n") == 1
    check(config, places=False)


def lay_out(folder: Path) -> None:
    """The shipped files, and some things that are in the way."""
    (folder / "resources").symlink_to(Path(__file__).parents[2] / "resources")
    (folder / "folder").mkdir()
    (folder / "file").touch()
    (folder / "half").mkdir()
    (folder / "half" / "config.json").touch()
    (folder / "half" / "p.yaml").write_text("person: [Who]\nevent: []\n")
    (folder / "half" / "q.yaml").write_text("person: [Who\n")
    (folder / "blank").write_text(" \n\t\n\n")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "latin").write_text("Désolé.", encoding="latin-1")
    (folder / "wide").write_text("{}", encoding="utf-16")


def test_paths_of_backends_that_are_not_chosen_are_not_looked_for(tmp_path, monkeypatch):
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    config = changed("dataset.files.pope", "nowhere")
    config["images"]["flux"]["source"] = config["images"]["networks"]["face"] = "nowhere"
    config["evaluation"]["openai"]["store"] = "folder"
    check(config)
    for section, key, choice, says in (
        ("dataset", "reference_sets", "files", "dataset.files.pope: there is no folder"),
        ("images", "generator", "flux", "images.flux.source: there is no folder"),
        ("images", "scorers", "networks", "images.networks.face: there is no folder"),
        ("evaluation", "judge", "openai", "evaluation.openai.store: 'folder' is to be a file"),
    ):
        chosen = config | {section: config[section] | {key: choice}}
        with pytest.raises(ConfigError, match=says):
            check(chosen)
    chosen["evaluation"]["openai"]["store"] = "other.txt"
    (tmp_path / "other.txt").write_text("")
    check(chosen)
    (tmp_path / "other.txt").write_text("notes of mine, and no verdicts")
    with pytest.raises(
        ConfigError, match=r"store: 'other.txt' is to be a file of verdicts .*found another file"
    ):
        check(chosen)


def test_data_that_has_still_to_be_brought_stops_a_run_but_no_plan(tmp_path, monkeypatch, caplog):
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    config = changed("dataset.reference_sets", "files")
    check(config)
    assert "dataset.files.people: there is no folder 'data/mike'; bring it" in caplog.text
    told = str(brought_error(config, {"build_reference_set", "fetch_weights"}))
    assert "dataset.files.coco: there is no folder 'data/coco/val2014'" in told
    assert "clip: there is no folder 'weights/clip-vit-l-14'; set weights.download: true, name" in told
    assert "clip" not in str(brought_error(config, {"build_reference_set"}))
    assert brought_error(config, {"curate_people"}) is brought_error(CONFIG, {"build_reference_set"}) is None
    for weights in ({"download": True}, {"sources": {"clip-vit-l-14": "folder"}}):
        config["weights"] = CONFIG["weights"] | weights
        assert set(to_bring(config).values()) == {"build_reference_set"}
    shipped = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
    files = [*shipped["dataset"]["files"].values(), *shipped["lifelong"]["files"].values()]
    official = yaml.safe_load((Path(__file__).parents[2] / "presets" / "paper-official.yaml").read_text())
    files += [official["images"]["files"][key] for key in ("folder", "manifest")]
    assert {value for value in files if str(value).startswith("data/")} == set(TO_BRING)


def collection(folder: Path):
    """A configuration of local sets that are whole, and their folder."""
    config, home = changed("dataset.reference_sets", "files"), write_collection(folder)
    config["dataset"] |= {"n_real": 4, "n_world": 4}
    config["dataset"]["files"] |= {key: str(home / key) for key in ("people", "events", "pope", "coco")}
    config["weights"]["download"] = True
    return config, home


@pytest.mark.parametrize(
    ("key", "damage", "says"),
    [
        ("people", lambda home: (home / "2.png").unlink(), "line 3: the picture '2.png' is not in"),
        ("people", lambda home: (home / "manifest.csv").write_text("file,person\n"), "needs the columns file and name"),
        ("people", lambda home: write_manifest(home, [("2.png", "Bo", "")]), "(dataset.n_real), the manifest of data"),
        ("people", lambda home: (home / "manifest.csv").write_bytes(b"\xff\xfe"), "Found UTF-16"),
        ("pope", lambda home: (home / "coco_pope_random.json").write_text("{"), "coco_pope_random.json, line 1 should"),
        ("pope", lambda home: next((home.parent / "coco").iterdir()).unlink(), "its picture COCO_val2014_"),
        ("pope", lambda home: (home / "coco_pope_random.json").write_text(""), "should ask 6 questions on each of 4"),
        ("events", lambda home: [one.rename(one.with_suffix(".tar")) for one in home.rglob("*") if one.is_file()],
         "only .tar files: unpack them"),
        ("events", lambda home: rmtree(home) or home.mkdir(), "Found none in"),
    ],
)  # fmt: skip
def test_what_a_folder_of_data_lacks_stops_the_run_that_needs_it(tmp_path, caplog, key, damage, says):
    """By lists and names: key, folder, what is missing, where it comes from and under which licence."""
    config, home = collection(tmp_path)
    check(config)
    assert brought_error(config, {"build_reference_set"}) is None and caplog.text == ""
    damage(home / key)
    check(config)
    (line,) = to_bring(config)
    assert says in line and f"Before a run that needs it: {line}" in caplog.text
    assert line.startswith(f"dataset.files.{key}: ") and 'README, "Real and World sets"' in line
    assert f"'{home / key}' is to hold {HOW[key]}" in line
    assert (f"'{home / 'coco'}' is to hold {HOW['coco']}" in line) is (key == "pope")
    assert brought_error(config, {"draw_shard"}) is None
    assert line in str(brought_error(config, {"draw_shard", "build_reference_set"}))
    caplog.clear()
    check(config, places=False)
    check(config | {"dataset": config["dataset"] | {"reference_sets": "pocket"}})
    assert caplog.text == ""


def test_a_folder_or_a_list_that_is_not_there_is_told_once(tmp_path, monkeypatch):
    config, home = collection(tmp_path)
    (home / "people" / "manifest.csv").unlink()
    rmtree(home / "coco")
    monkeypatch.setattr("mmunlearn.workflow.paths.TO_BRING", dict.fromkeys(
        [str(home / "people"), str(home / "coco")], "build_reference_set"))  # fmt: skip
    people, coco = to_bring(config)
    assert "people' holds no manifest.csv; bring it: pictures of public figures with a manifest.csv" in people
    assert "there is no folder" in coco and "val2014.zip, 6 GB (annotations CC BY 4.0;" in coco


def test_pictures_are_looked_for_and_not_opened(tmp_path):
    config, home = collection(tmp_path)
    for picture in home.rglob("*"):
        if picture.suffix in (".png", ".jpg"):
            picture.write_bytes(b"")
    assert to_bring(config) == {}


def test_tasks_that_have_still_to_be_brought_stop_the_rule_that_reads_them(tmp_path, monkeypatch):
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    config = changed("lifelong.data", "files")
    check(config)
    told = str(brought_error(config, {"read_tasks"}))
    assert "lifelong.files.tasks: there is no file or folder 'data/MLUBench.zip'; bring it (README" in told
    assert 'bring it (README, "Lifelong unlearning"; docs/lifelong_data.md), or name where it lies' in told
    assert told.count("lifelong.files") == 2, "pictures are not looked for where there are no tasks"
    assert brought_error(config, {"build_reference_set"}) is brought_error(CONFIG, {"read_tasks"}) is None


def test_a_hub_id_is_looked_up_in_the_local_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    row = CONFIG["models"]["pocket-llava"] | {"source": "org/name", "revision": "main"}
    with pytest.raises(ConfigError, match=r"hf download org/name --revision main"):
        check(changed("models.pocket-llava", row))
    repository = tmp_path / "models--org--name"
    (repository / "snapshots" / "c0ffee").mkdir(parents=True)
    (repository / "snapshots" / "c0ffee" / "config.json").touch()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    check(changed("models.pocket-llava", row))
    check(changed("models.pocket-llava", row | {"revision": "c0ffee"}))


def test_a_tilde_is_a_home_in_every_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = copy.deepcopy(CONFIG)
    config["review"]["verdicts"] = config["training"]["accelerate_config"] = "~/mine"
    config["weights"] |= {"folder": "~/weights", "sources": {"flux-dev": "~"}}
    for place in places(config):
        if place.key[0] not in ("weights", "review"):
            section = config
            for name in place.key[:-1]:
                section = section[name]
            section[place.key[-1]] = "~/mine"
    config["images"]["networks"]["face"] = "weights/facenet-vggface2"
    prepare(config)
    found = {place.path for place in places(config)}
    assert found == {f"{tmp_path}{end}" for end in ("", "/mine", "/weights", "/weights/facenet-vggface2")}
    assert len(places(config)) == 26


def test_missing_pictures_of_tasks_and_damaged_ones_stop_a_run_and_a_dry_run_tells(tmp_path, caplog):
    tasks, pictures = write_release(tmp_path / "release"), write_pictures(tmp_path / "pictures")
    config = changed("lifelong.data", "files")
    config["lifelong"] |= {"files": {"tasks": str(tasks), "pictures": str(pictures)}, "tasks": ["A", "B"]}
    assert brought_error(config, {"read_tasks"}) is None
    (pictures / "Plants/Rose/0.png").unlink()
    told = str(brought_error(config, {"read_tasks"}))
    assert "lifelong.files.pictures: Asked" in told
    assert "Found 34 of them; missing are Plants/Rose/0.png. Put them there" in told
    assert brought_error(config, {"answer_before"}) is None
    check(config)
    assert "Before a run that needs it: lifelong.files.pictures: Asked" in caplog.text
    caplog.clear()
    check(config, places=False)
    config["lifelong"]["keep_available"] = True
    check(config)
    assert caplog.text == "" and brought_error(config, {"read_tasks"}) is None
    config["lifelong"]["files"]["pictures"] = str(tmp_path)
    assert f"none of the 35 pictures is in {tmp_path}; the first is" in str(
        brought_error(config, {"read_tasks"})
    )
    config["lifelong"] |= {
        "files": {"tasks": str(tasks), "pictures": str(pictures)},
        "tasks": ["A", "B", "E"],
    }
    check(config)
    assert "Before a run that needs it: lifelong.files: Asked" in caplog.text
    assert "for task E, as lifelong.tasks says. Found no Tasks/TaskE" in caplog.text
    config["lifelong"]["tasks"] = ["A", "B"]
    for text in ("[", f"[{'9' * 5000}]"):
        task_file(tasks, "B", "retain").write_text(text)
        assert "lifelong.files: Asked" in str(brought_error(config, {"read_tasks"}))
    task_file(tasks, "B", "retain").unlink()
    task_file(tasks, "B", "retain").mkdir()
    assert "taskB_retain.json" in str(brought_error(config, {"read_tasks"}))


@pytest.mark.parametrize(
    ("path", "value", "section"),
    [
        ("evaluation.judge", "openai", "evaluation"),
        ("curation.backend", "openai", "curation"),
        ("lifelong.gates.vlm.asks", "openai", "lifelong.gates.vlm"),
    ],
)
def test_a_key_that_is_not_set_is_told_where_its_endpoint_is_in_use(
    caplog, monkeypatch, path, value, section
):
    config, told = (
        changed(path, value),
        f"run that needs it: {section}.openai.key_env: OPENAI_API_KEY is not set here",
    )
    config["images"]["generator"] = "flux" if section == "curation" else "pocket"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    check(config)
    assert "key_env" not in caplog.text
    monkeypatch.setenv("OPENAI_API_KEY", " ")
    check(CONFIG)
    check(config, places=False)
    assert "key_env" not in caplog.text, "not in use; a job"
    check(config)
    assert told in caplog.text and caplog.text.count("key_env") == 1
    caplog.clear()
    node = config
    for name in section.split("."):
        node = node[name]
    node["openai"]["key_env"] = None
    check(config)
    assert "key_env" not in caplog.text, "the server needs none"


def test_no_key_is_missed_of_what_the_outputs_leave_out(caplog, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    config = changed("curation.backend", "openai")
    config["images"]["generator"], config["outputs"] = "flux", ["lifelong"]
    config["lifelong"]["gates"]["vlm"]["asks"] = "openai"
    config["lifelong"]["lumoe"] = {"base": {"gate": "none"}, "lumoe": {"gate": "clip"}}
    config["lifelong"]["drift"]["methods"] = None
    check(config)
    assert "key_env" not in caplog.text
