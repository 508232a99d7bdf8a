"""Fetching weights: locks, pins, links, downloads from a loopback hub, and what is said when something is wrong."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save

from mmunlearn.weights import WeightsError, entries, fingerprint
from mmunlearn.weights.lock import listing, lock_path
from tests.unit.hub_standin import COMMIT, FILES, REPO, TENSORS, TINY, Fetch, Hub, place

TOKEN = "hf_ThisIsTheSecretOfTheTests"


@pytest.fixture
def resource(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces resources/weights.yaml by one with given rows; at first `tiny`."""
    path = tmp_path / "weights.yaml"
    monkeypatch.setattr(entries, "RESOURCE", path)

    def write(**rows: Any) -> None:
        path.write_text(yaml.safe_dump(rows), encoding="utf-8")

    write(tiny=TINY)
    return write


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants

    server = Hub(REPO, dict(FILES))
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    for name, value in {
        "ENDPOINT": server.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": template,
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_TOKEN_PATH": str(tmp_path / "token"),
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def fetch(tmp_path: Path, resource: Callable[..., None]) -> Fetch:
    return Fetch(tmp_path / "run")


def pickled(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def test_the_first_fetch_writes_lock_and_receipt_and_the_second_asks_nothing(fetch: Fetch, hub: Hub) -> None:
    receipt = fetch(download=True)
    home, lock = fetch.folder / "tiny", fetch.lock()
    assert listing(home) == ["config.json", "part/model.safetensors"]
    assert (home / "part/model.safetensors").read_bytes() == TENSORS
    assert (lock["origin"], lock["address"], lock["revision"]) == ("hub", REPO, COMMIT)
    assert lock["files"]["config.json"]["size"] == len(FILES["config.json"])
    time = lock.pop("time")
    assert time and receipt == lock
    hub.requests.clear()
    before = fetch.receipt.read_bytes()
    fetch(download=True)
    assert hub.requests == []
    assert fetch.receipt.read_bytes() == before and fetch.lock()["time"] == time


def test_without_leave_to_download_nothing_is_asked_and_the_error_says_all(fetch: Fetch, hub: Hub) -> None:
    with pytest.raises(WeightsError) as caught:
        fetch()
    assert hub.requests == []
    home = fetch.folder / "tiny"
    for words in (
        f"{home}/config.json",
        f"{home}/part/*.safetensors",
        f"They come from {REPO} on the model hub, licence: of the tests",
        f"accept the licence at https://huggingface.co/{REPO} and set HF_TOKEN",
        "weights.sources.tiny",
        "weights.download to true",
    ):
        assert words in str(caught.value)
    assert not lock_path(home).exists() and not fetch.receipt.exists()


def test_a_lost_file_is_fetched_again_at_the_recorded_commit(fetch: Fetch, hub: Hub) -> None:
    fetch(download=True)
    (fetch.folder / "tiny/config.json").unlink()
    hub.requests.clear()
    fetch(download=True)
    assert f"GET /api/models/{REPO}/revision/{COMMIT}" in hub.requests
    assert not any("model.safetensors" in request for request in hub.requests)


def test_a_tampered_file_is_refused(fetch: Fetch) -> None:
    home = place(fetch.folder / "tiny")
    fetch()
    (home / "config.json").write_bytes(b'{"hidden_size": 61}')
    with pytest.raises(
        WeightsError, match=r"config\.json with the SHA-256 .*tiny\.lock\.json recorded; found"
    ) as e:
        fetch()
    assert "delete the lock if the change is meant" in str(e.value)
    lock_path(home).unlink()
    fetch()


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("part/model.safetensors", TENSORS[:-5], "no whole safetensors file"),
        ("part/model.safetensors", b"<html>not found</html>", "no whole safetensors file"),
        ("part/model.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("config.json", b'{"hidden_si', "no whole JSON file"),
        ("config.json", b"", "an empty file"),
    ],
)
def test_a_cut_off_file_is_refused_at_the_first_fetch(
    fetch: Fetch, tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    source = place(tmp_path / "source", {**FILES, name: content})
    with pytest.raises(WeightsError, match=problem) as caught:
        fetch(source=source)
    assert str(source / name) in str(caught.value) and REPO in str(caught.value)
    assert not lock_path(fetch.folder / "tiny").exists()


def test_a_users_folder_is_linked(fetch: Fetch, tmp_path: Path, hub: Hub) -> None:
    source, home = place(tmp_path / "source"), fetch.folder / "tiny"
    receipt = fetch(source=source, download=True)
    assert hub.requests == []
    assert (home / "part/model.safetensors").readlink() == source / "part/model.safetensors"
    assert not (home / "notes.txt").exists()
    assert fetch.lock()["address"] == str(source)
    other = source.rename(tmp_path / "elsewhere")
    assert fetch(source=other) == receipt
    assert (home / "config.json").readlink() == other / "config.json"
    assert str(tmp_path) not in fetch.receipt.read_text()


def test_a_users_folder_must_be_there_and_complete(fetch: Fetch, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"as weights\.sources\.tiny says; found no such folder"):
        fetch(source=tmp_path / "nowhere", download=True)
    source = place(tmp_path / "source", {"config.json": b"{}"})
    with pytest.raises(
        WeightsError, match=r"found none of: part/\*\.safetensors; they come from someone/tiny"
    ):
        fetch(source=source, download=True)


def test_a_file_in_the_way_of_a_link_is_left_alone(fetch: Fetch, tmp_path: Path) -> None:
    path = place(fetch.folder / "tiny") / "config.json"
    with pytest.raises(WeightsError, match="found another file at"):
        fetch(source=place(tmp_path / "source"))
    assert path.read_bytes() == FILES["config.json"] and not path.is_symlink()


def test_a_missing_shard_is_named(fetch: Fetch) -> None:
    index = json.dumps({"weight_map": {"layer": "model.safetensors", "more": "model-2.safetensors"}}).encode()
    row = {**TINY, "files": ["part/*"], "sha256": {}}
    entries.RESOURCE.write_text(yaml.safe_dump({"tiny": row}))
    place(fetch.folder / "tiny", {**FILES, "part/model.safetensors.index.json": index})
    with pytest.raises(WeightsError, match=r"tiny/part/model-2\.safetensors"):
        fetch()


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_asks_for_licence_and_token(
    fetch: Fetch, hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    hub.refuse = status
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with caplog.at_level(logging.DEBUG), pytest.raises(WeightsError) as caught:
        fetch(download=True)
    assert f"refused ({status}; HF_TOKEN: it was set)" in str(caught.value)
    assert f"accept the licence at https://huggingface.co/{REPO} and set HF_TOKEN" in str(caught.value)
    assert f"Bearer {TOKEN}" in hub.authorizations
    assert TOKEN not in caplog.text + str(caught.value) and caught.value.__suppress_context__
    assert listing(fetch.folder / "tiny") == []


def test_an_interrupted_download_leaves_no_half_file_and_goes_on_with_the_same_commit(
    fetch: Fetch, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the client's retries
    hub.cut = 40  # the configuration is shorter
    with pytest.raises(
        WeightsError, match=r"asked someone/tiny on the model hub for part/model\.safetensors; found"
    ):
        fetch(download=True)
    assert listing(fetch.folder / "tiny") == ["config.json"]
    hub.cut = None
    hub.requests.clear()
    fetch(download=True)
    assert f"GET /api/models/{REPO}/revision/{COMMIT}" in hub.requests
    assert not any("config.json" in request for request in hub.requests)
    assert sorted(path.name for path in fetch.folder.iterdir()) == ["tiny", "tiny.lock.json"]


@pytest.mark.parametrize("text", ["", COMMIT[:20]])
def test_a_damaged_note_of_a_fetch_is_named(fetch: Fetch, hub: Hub, text: str) -> None:
    note = fetch.folder / ".tiny.revision"
    note.parent.mkdir(parents=True)
    note.write_text(text)
    with pytest.raises(WeightsError, match=rf"found none in {note}; remove this file"):
        fetch(download=True)
    note.unlink()
    assert fetch(download=True)["revision"] == COMMIT


def test_a_download_that_is_not_what_the_hub_lists_is_not_kept(fetch: Fetch, hub: Hub) -> None:
    hub.claimed["part/model.safetensors"] = "0" * 64
    with pytest.raises(WeightsError, match=r"that the hub lists; received .* nothing was kept"):
        fetch(download=True)
    assert listing(fetch.folder / "tiny") == ["config.json"]


def test_offline_mode_is_named(fetch: Fetch, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="unset HF_HUB_OFFLINE"):
        fetch(download=True)


def test_the_hub_is_the_one_of_the_environment(fetch: Fetch, hub: Hub, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mmunlearn.weights import entries, fetch\n"
        "entries.RESOURCE = Path(sys.argv[1])\n"
        "fetch.fetch_weights(Path(sys.argv[2]), name='tiny', folder=sys.argv[3], source=None, download=True)\n"
    )
    env = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path),
    }
    paths = map(str, (entries.RESOURCE, fetch.receipt, fetch.folder))
    run = subprocess.run([sys.executable, "-c", code, *paths], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert fetch.lock()["revision"] == COMMIT and f"Bearer {TOKEN}" in hub.authorizations
    written = "".join(path.read_text(errors="replace") for path in fetch.folder.rglob("*") if path.is_file())
    assert TOKEN not in run.stderr + run.stdout + written


class Named:
    """A hub of which only the address matters."""

    def __init__(self, url: str) -> None:
        self.url = url


def plain(hub: Hub | Named, **more: Any) -> dict[str, Any]:
    url = f"{hub.url}/plain/config.json"
    row = {key: TINY[key] for key in ("licence", "gated")}
    return {"url": url, "files": ["config.json"], "sha256": {"config.json": None}, **row, **more}


def test_a_plain_address(fetch: Fetch, hub: Hub, resource: Callable[..., None]) -> None:
    resource(tiny=plain(hub))
    assert fetch(download=True)["origin"] == "url"
    fetch(download=True)
    assert hub.requests == ["GET /plain/config.json"]


@pytest.mark.parametrize(("what", "problem"), [("cut", "19 bytes; received 7"), ("refuse", r"refused \(403")])
def test_a_plain_address_that_fails_leaves_nothing(
    fetch: Fetch, hub: Hub, resource: Callable[..., None], what: str, problem: str
) -> None:
    resource(tiny=plain(hub))
    setattr(hub, what, {"cut": 7, "refuse": 403}[what])
    with pytest.raises(WeightsError, match=problem):
        fetch(download=True)
    assert list((fetch.folder / "tiny").iterdir()) == []


def test_a_plain_address_may_lead_elsewhere_but_not_to_less(
    fetch: Fetch, hub: Hub, resource: Callable[..., None]
) -> None:
    resource(tiny=plain(hub, url=f"{hub.url}/to/config.json"))
    hub.leads_to = "file:///etc/hostname"
    with pytest.raises(WeightsError, match="broken off"):
        fetch(download=True)
    hub.leads_to = f"{hub.url}/plain/config.json"
    assert fetch(download=True)["files"]["config.json"]["size"] == len(FILES["config.json"])


def test_https_never_leads_to_http(fetch: Fetch, resource: Callable[..., None], monkeypatch) -> None:
    import httpx2

    def lead(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(302, headers={"Location": "http://host.invalid/file"})

    client = httpx2.AsyncClient
    monkeypatch.setattr(
        httpx2, "AsyncClient", lambda **more: client(transport=httpx2.MockTransport(lead), **more)
    )
    resource(tiny={**plain(Named("https://user:sesame@host.invalid"))})
    with pytest.raises(WeightsError, match=r"leads from https to http, where anyone") as caught:
        fetch(download=True)
    assert "sesame" not in str(caught.value) and "https://host.invalid/plain/config.json" in str(caught.value)


def test_a_plain_address_that_sends_byte_by_byte_is_given_up(
    fetch: Fetch, hub: Hub, resource: Callable[..., None], monkeypatch
) -> None:
    monkeypatch.setattr("mmunlearn.weights.plain.TIMEOUT", 0.3)
    resource(tiny=plain(hub))
    hub.trickle = 0.05
    with pytest.raises(WeightsError, match=r"less than a megabyte in 0\.3 seconds"):
        fetch(download=True)
    assert list((fetch.folder / "tiny").iterdir()) == []


def test_a_plain_address_without_a_size_ends_somewhere(
    fetch: Fetch, hub: Hub, resource: Callable[..., None], monkeypatch
) -> None:
    monkeypatch.setattr("mmunlearn.weights.plain.LARGEST", 500)
    resource(tiny=plain(hub))
    hub.trickle = 1e-6
    with pytest.raises(WeightsError, match=r"no end after .* bytes"):
        fetch(download=True)


def test_a_token_that_the_hub_repeats_is_not_repeated_in_part(
    fetch: Fetch, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("x" * 290 + TOKEN)

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: TOKEN)
    with pytest.raises(WeightsError) as caught:
        fetch(download=True)
    assert TOKEN[:6] not in str(caught.value)


@pytest.mark.parametrize("download", [True, False])
@pytest.mark.parametrize("digits", [64, 8])
def test_pins_are_respected(
    fetch: Fetch, hub: Hub, resource: Callable[..., None], digits: int, download: bool
) -> None:
    right = hashlib.sha256(FILES["config.json"]).hexdigest()[:digits]
    for pin in (right, "0" * digits):
        full = {"sha256": {"config.json": pin}}
        resource(tiny=plain(hub, **(full if digits == 64 else {"sha256_prefix": {"config.json": pin}})))
        if not download:
            place(fetch.folder / "tiny", {"config.json": FILES["config.json"]})
        if pin == right:
            fetch(download=download)
            (fetch.folder / "tiny/config.json").unlink()
            lock_path(fetch.folder / "tiny").unlink()
            continue
        with pytest.raises(WeightsError, match=rf"SHA-256 {pin} that resources/weights\.yaml pins"):
            fetch(download=download)


def test_a_pinned_revision_is_asked_for_and_compared(
    fetch: Fetch, hub: Hub, resource: Callable[..., None]
) -> None:
    resource(tiny={**TINY, "revision": COMMIT})
    fetch(download=True)
    assert f"GET /api/models/{REPO}/revision/{COMMIT}" in hub.requests
    resource(tiny={**TINY, "revision": "b" * 40})
    with pytest.raises(WeightsError, match=r"at revision bbb.*found files of aaa"):
        fetch(download=True)


PICKLED = {
    **{key: TINY[key] for key in ("repo", "licence", "gated")},
    "files": ["weights.pth"],
    "sha256": {"weights.pth": None},
    "convert": [{"from": "weights.pth", "to": "model.safetensors", "drop_prefixes": ["head."]}],
}


def test_pickled_weights_are_converted_beside_their_source(
    fetch: Fetch, resource: Callable[..., None], tmp_path: Path
) -> None:
    resource(tiny=PICKLED)
    source = pickled(tmp_path / "source/weights.pth", {"body": torch.ones(3), "head.bias": torch.ones(2)})
    receipt = fetch(source=source.parent)
    made = fetch.folder / "tiny/model.safetensors"
    assert list(load_file(made)) == ["body"] and not made.is_symlink()
    assert list(source.parent.iterdir()) == [source]
    row = receipt["converted"]["model.safetensors"]
    assert (row["source"], row["source_sha256"]) == ("weights.pth", receipt["files"]["weights.pth"]["sha256"])
    stamp = made.stat().st_mtime_ns
    assert fetch(source=source.parent) == receipt and made.stat().st_mtime_ns == stamp

    made.write_bytes(TENSORS)
    with pytest.raises(WeightsError, match=r"made of weights\.pth, .*delete the file to have it made again"):
        fetch(source=source.parent)
    pickled(source, {"body": torch.zeros(3)})
    lock_path(made.parent).unlink()
    assert fetch(source=source.parent) != receipt
    assert load_file(made)["body"].tolist() == [0, 0, 0]


def test_offered_safetensors_are_taken_instead_of_the_pickle(
    fetch: Fetch, hub: Hub, resource: Callable[..., None], tmp_path: Path
) -> None:
    resource(tiny=PICKLED)
    hub.files = {"weights.pth": b"never read", "model.safetensors": TENSORS}
    receipt = fetch(download=True)
    assert list(receipt["files"]) == ["model.safetensors"] and receipt["converted"] == {}
    fetch.folder = tmp_path / "other"
    again = fetch(source=place(tmp_path / "source", hub.files))
    assert again["files"] == receipt["files"]


def test_a_pickle_of_more_than_tensors_leaves_nothing(fetch: Fetch, resource: Callable[..., None]) -> None:
    resource(tiny=PICKLED)
    path = pickled(fetch.folder / "tiny/weights.pth", {"body": Path("anything else")})
    with pytest.raises(WeightsError, match="more than tensors"):
        fetch()
    assert listing(path.parent) == ["weights.pth"] and not lock_path(path.parent).exists()


def test_a_fingerprint_tells_large_files_of_one_size_apart(tmp_path: Path) -> None:
    """Two trainings of one architecture have files of equal names and sizes."""
    prints = []
    for seed in (1, 2, 1):
        folder = tmp_path / f"{len(prints)}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(random.Random(seed).randbytes(6_000_000))
        prints.append(fingerprint(folder))
    assert prints[0] == prints[2] != prints[1]


FETCH = """
import sys
from pathlib import Path
from mmunlearn.weights import entries
entries.RESOURCE = Path(sys.argv[1])
from mmunlearn.weights.fetch import fetch_weights
root, download = Path(sys.argv[2]), sys.argv[3] == "download"
import os, huggingface_hub
assert os.environ["HF_HUB_OFFLINE"] == "1" and huggingface_hub.is_offline_mode()
fetch_weights(root / "receipt.json", name="tiny", folder=str(root / "weights"), source=None, download=download)
assert huggingface_hub.is_offline_mode(), "only the fetch itself reaches the hub"
"""


@pytest.mark.parametrize("inherited", [False, True])
def test_a_fresh_process_fetches_through_the_real_client(tmp_path, resource, hub, inherited):
    """With HF_HUB_OFFLINE unset, or as Snakemake's own process has set it for its jobs."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("OFFLINE")}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(Path.cwd())}
    if inherited:
        code = "import mmunlearn, os; print(os.environ['HF_HUB_OFFLINE'], os.environ['MMUNLEARN_OFFLINE'])"
        printed = subprocess.run(
            [sys.executable, "-c", code], env=environment, check=True, capture_output=True
        )
        assert printed.stdout == b"1 1\n"
        environment |= {"HF_HUB_OFFLINE": "1", "MMUNLEARN_OFFLINE": "1"}
    command = [sys.executable, "-c", FETCH, str(entries.RESOURCE), str(tmp_path), "download"]
    subprocess.run(command, env=environment, check=True, stderr=subprocess.PIPE)
    assert (tmp_path / "weights/tiny/part/model.safetensors").read_bytes() == TENSORS
    hub.requests.clear()
    ours = subprocess.run([*command[:-1], "no"], env=environment, capture_output=True, check=True)
    assert (hub.requests, ours.returncode) == ([], 0)


def test_what_the_user_has_set_keeps_the_client_offline(tmp_path, resource, hub):
    environment = {name: value for name, value in os.environ.items() if name != "MMUNLEARN_OFFLINE"}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", FETCH, str(entries.RESOURCE), str(tmp_path), "download"]
    refused = subprocess.run(command, env=environment, capture_output=True)
    assert refused.returncode and b"unset HF_HUB_OFFLINE" in refused.stderr
    assert hub.requests == []


def snapshot(cache: Path, repo: str = REPO, commit: str = COMMIT) -> Path:
    """What the hub's client keeps of a download: links of a commit's names to blobs, which are called by content."""
    home = cache / f"models--{repo.replace('/', '--')}"
    for name, content in FILES.items():
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        blob = hashlib.sha256(content).hexdigest() if name.endswith(".safetensors") else git
        place(home / "blobs", {blob: content})
        link = home / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(home / "blobs" / blob)
    return home / "snapshots" / commit


def test_links_into_a_snapshot_tell_the_commit_and_nothing_else_does(
    fetch: Fetch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    folder = snapshot(tmp_path / "cache")
    assert (fetch(source=folder)["revision"], fetch.lock()["origin"]) == (COMMIT, "folder")
    assert f"of commit {COMMIT}" in caplog.text
    fetch.folder = tmp_path / "linked"
    fetch.folder.mkdir()
    (fetch.folder / "tiny").symlink_to(folder)
    assert (fetch()["revision"], fetch.lock()["origin"]) == (COMMIT, "placed")
    other = snapshot(tmp_path / "others", "someone/else")
    named = snapshot(tmp_path / "named", commit="main")
    mixed = snapshot(tmp_path / "mixed")
    (mixed / "config.json").unlink()
    place(mixed, {"config.json": FILES["config.json"]})
    changed = snapshot(tmp_path / "changed")
    (changed / "config.json").resolve().write_bytes(b'{"hidden_size": 61}')
    grown = snapshot(tmp_path / "grown")
    (grown / "part/model.safetensors").resolve().write_bytes(save({"layer": torch.ones(60)}))
    for number, source in enumerate((other, named, mixed, changed, grown, place(tmp_path / "plain"))):
        fetch.folder = tmp_path / f"weights{number}"
        caplog.clear()
        assert fetch(source=source)["revision"] is None, source
        assert "of a commit that nobody can know; their checksums pin them" in caplog.text


def test_the_users_own_pin_is_fetched_and_compared(
    fetch: Fetch, hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`weights.revisions` goes before resources/weights.yaml; of files that no download brought it may say nothing."""
    fetch(download=True, revision=COMMIT)
    assert f"GET /api/models/{REPO}/revision/{COMMIT}" in hub.requests
    wrong = "b" * 40
    with pytest.raises(
        WeightsError, match=rf"at revision {wrong}, which weights\.revisions\.tiny pins; found files of aaa"
    ):
        fetch(download=True, revision=wrong)
    fetch.folder = tmp_path / "of a snapshot"
    source = snapshot(tmp_path / "cache")
    assert fetch(source=source, revision=COMMIT)["revision"] == COMMIT
    lock_path(fetch.folder / "tiny").unlink()
    with pytest.raises(
        WeightsError, match=r"weights\.revisions\.tiny pins; found files of aaa.*as the hub's cache names"
    ):
        fetch(source=source, revision=wrong)
    fetch.folder = tmp_path / "placed"
    place(fetch.folder / "tiny")
    assert fetch(revision=wrong)["revision"] is None
    doubt = f"weights.revisions.tiny pins revision {wrong}, but nothing says of which commit"
    assert doubt in caplog.text
    caplog.clear()
    fetch(revision=wrong)
    assert doubt in caplog.text, "as long as it is pinned"
