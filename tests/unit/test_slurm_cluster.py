"""Where tests may bring up a Slurm of their own, without bringing one up."""

from __future__ import annotations

import os

import pytest

from tests.slurm import cluster
from tests.slurm.cluster import Cluster


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with all programs, of root, and without a configured Slurm."""
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(cluster, "PROGRAMS", ("sh",))
    monkeypatch.setattr(cluster, "LINK", tmp_path / "etc" / "slurm.conf")
    monkeypatch.setattr(cluster, "HOSTS", tmp_path / "hosts")
    (tmp_path / "etc").mkdir()
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
    return tmp_path


@pytest.mark.parametrize("is_link", [True, False])
def test_a_slurm_of_somebody_else_is_not_touched(machine, is_link):
    theirs = machine / "etc" / "slurm.conf"
    if is_link:
        (machine / "theirs.conf").write_text("ClusterName=theirs\n")
        theirs.symlink_to(machine / "theirs.conf")
    else:
        theirs.write_text("ClusterName=theirs\n")
    one = Cluster(machine / "ours")
    assert "is of another Slurm" in one.missing()
    with pytest.raises(RuntimeError, match="another Slurm"):
        one.up()
    one.down()
    assert theirs.read_text() == "ClusterName=theirs\n" and theirs.is_symlink() is is_link
    assert not one.folder.exists()


def test_a_link_that_a_killed_run_has_left_is_in_nobodys_way(machine):
    left = Cluster(machine / "left")
    cluster.LINK.symlink_to(left.configuration)
    one = Cluster(machine / "ours")
    assert one.missing() is None
    left.folder.mkdir()
    (left.folder / "slurmctld.pid").write_text(str(os.getpid()))
    assert one.missing() == f"found another of these: python -m tests.slurm.cluster down {left.folder}"


def test_down_removes_what_up_has_left_outside_its_folder(machine):
    one = Cluster(machine / "ours")
    cluster.LINK.symlink_to(one.configuration)
    cluster.HOSTS.write_text(f"127.0.0.1 localhost\n127.0.0.1 vm {cluster.MARK}\n")
    one.down()
    assert not cluster.LINK.is_symlink()
    assert cluster.HOSTS.read_text() == "127.0.0.1 localhost\n"


def test_without_root_or_programs_the_reason_is_said(machine, monkeypatch):
    monkeypatch.setattr(cluster, "PROGRAMS", ("sh", "slurmctld-of-no-machine"))
    assert "apt-get install slurm-wlm munge" in Cluster(machine / "ours").missing()
    assert "not found: slurmctld-of-no-machine" in Cluster(machine / "ours").missing()
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert "needs root" in Cluster(machine / "ours").missing()
