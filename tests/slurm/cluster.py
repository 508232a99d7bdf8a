"""A real Slurm on this machine, as root and without a database: a controller and two nodes that say to have
two processors each and memory enough.

    python -m tests.slurm.cluster up FOLDER
    python -m tests.slurm.cluster down FOLDER

All lies in the folder but a link in /etc/slurm and, where this machine's name has no address, a line in /etc/hosts;
`down` removes both. Jobs of Snakemake drop SLURM_CONF, so the link is needed. Found there a configuration that is not
one of these, nothing is touched. Needs Debian's packages slurm-wlm, munge and what they bring.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PROGRAMS = ("slurmctld", "slurmd", "squeue", "sbatch", "srun", "munged", "munge")
LINK = Path("/etc/slurm/slurm.conf")
HOSTS = Path("/etc/hosts")
MARK = "# of mmunlearn's tests"
NODES = ("n1", "n2")
CONTROLLER_PORT, NODE_PORT = 26817, 26818

# cred_expire is also how long a requeued job waits before it starts again.
# jobacct_gather: a job that takes more memory than it asked for is killed, without cgroups.
CONFIGURATION = """\
ClusterName=mmunlearn
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=10
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PropagateResourceLimits=NONE
ReturnToService=2
KillWait=2
MinJobAge=3600
SlurmdTimeout=15
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={n1} CPUs=2 RealMemory=100000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={n2} CPUs=2 RealMemory=100000
PartitionName=main Nodes=ALL Default=YES PriorityTier=1
PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF
"""


@dataclass(frozen=True)
class Job:
    """What the controller knows of a job.

    Attributes:
        name: of Snakemake's jobs the rule and its wildcards; empty for others.
        node: where it runs or ran; empty where it waits.
        restarts: how often Slurm has started it again.
        limit: of its time, HH:MM:SS.
    """

    number: str
    name: str
    state: str
    node: str
    restarts: int
    limit: str

    @classmethod
    def of(cls, said: dict[str, str]) -> Job:
        return cls(
            number=said["JobId"],
            name=said.get("Comment", "").removeprefix("rule_"),
            state=said["JobState"],
            node=said.get("BatchHost", ""),
            restarts=int(said["Restarts"]),
            limit=said["TimeLimit"],
        )

    @property
    def rule(self) -> str:
        return self.name.partition("_wildcards_")[0]


class Cluster:
    """Slurm in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.configuration = folder, folder / "mmunlearn-slurm.conf"

    def missing(self) -> str | None:
        """Why no Slurm can be brought up here, or None."""
        if os.getuid():
            return "needs root, who writes to /etc/slurm"
        if absent := [name for name in PROGRAMS if not shutil.which(name)]:
            return f"needs Slurm and munge (apt-get install slurm-wlm munge); not found: {', '.join(absent)}"
        if not LINK.is_symlink() and not LINK.exists():
            return None
        other = Path(os.path.realpath(LINK))
        if other.name != self.configuration.name:
            return f"found that {LINK} is of another Slurm, which stays as it is"
        if alive(other.parent / "slurmctld.pid"):
            return f"found another of these: python -m tests.slurm.cluster down {other.parent}"
        return None

    def up(self) -> None:
        """Start all of it and wait until both nodes take jobs."""
        if reason := self.missing():
            raise RuntimeError(f"No Slurm was brought up: {reason}")
        for name in ("state", *NODES):
            (self.folder / name).mkdir(parents=True)
        host = socket.gethostname().split(".")[0]
        ports = {name: NODE_PORT + index for index, name in enumerate(NODES)}
        self.configuration.write_text(
            CONFIGURATION.format(host=host, folder=self.folder, controller_port=CONTROLLER_PORT, **ports)
        )
        if subprocess.run(["getent", "hosts", host], capture_output=True).returncode:
            HOSTS.write_text(f"{HOSTS.read_text()}127.0.0.1 {host} {MARK}\n")
        LINK.unlink(missing_ok=True)
        LINK.symlink_to(self.configuration)
        self._start_munge()
        self.start_controller()
        for name in NODES:
            self.start_node(name)

    def down(self) -> None:
        """Cancel what runs, stop all of it and remove the link and the line."""
        if alive(self.folder / "slurmctld.pid"):
            self.ask("scancel", "--user", "root")
            with suppress(TimeoutError):
                wait_for(lambda: not self.ask("squeue", "--noheader"), "all jobs have ended", seconds=20)
        for name in (*NODES, "slurmctld", "munged"):
            end(self.folder / f"{name}.pid", signal.SIGTERM)
        for step in filter(self._is_step, psutil.process_iter(["name"])):
            for process in (step, *step.children(recursive=True)):
                process.kill()
        if os.path.realpath(LINK) == str(self.configuration.resolve()):
            LINK.unlink()
        if MARK in (hosts := HOSTS.read_text()):
            HOSTS.write_text("".join(line for line in hosts.splitlines(True) if MARK not in line))

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        files = {"key-file": key} | {
            f"{name}-file": self.folder / f"munged.{name}" for name in ("pid", "log", "seed")
        }
        files["socket"] = self.folder / "munge.sock"
        call("munged", "--force", *(f"--{name}={path}" for name, path in files.items()))

    def start_controller(self) -> None:
        call("slurmctld", "-f", self.configuration)
        wait_for(lambda: "is UP" in self.ask("scontrol", "ping"), "the controller answers")

    def stop_controller(self) -> None:
        """Let it write down what it knows: one that is killed forgets the last seconds and gives numbers twice."""
        end(self.folder / "slurmctld.pid", signal.SIGTERM)

    def start_node(self, name: str) -> None:
        call("slurmd", "-f", self.configuration, "-N", name)
        self.ask("scontrol", "update", f"NodeName={name}", "State=RESUME")
        wait_for(lambda: self.node(name) in ("idle", "mixed", "allocated"), f"node {name} takes jobs")

    def kill_node(self, name: str) -> None:
        """Kill its daemon. Its jobs run on, and the controller does not know."""
        end(self.folder / f"{name}.pid", signal.SIGKILL)

    def node(self, name: str) -> str:
        """The state of a node: idle, mixed, drained, down, ..., with a mark where it does not answer."""
        return self.ask(
            "sinfo", "--noheader", "--nodes", name, "--partition", "main", "--format", "%T"
        ).strip()

    def job(self, number: str) -> Job:
        """What the controller knows of a job."""
        return next(job for job in self.jobs() if job.number == number)

    def jobs(self) -> list[Job]:
        """All jobs that the controller remembers, in the order of their submission."""
        lines = self.ask("scontrol", "show", "job", "--oneliner").splitlines()
        said = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
        return sorted((Job.of(one) for one in said if "JobId" in one), key=lambda job: int(job.number))

    def working(self, name: str) -> list[Job]:
        """Running jobs whose name begins so, and whose scripts have begun."""
        jobs = [job for job in self.jobs() if job.name.startswith(name) and job.state == "RUNNING"]
        return [job for job in jobs if scripts(job)]

    def _is_step(self, process: psutil.Process) -> bool:
        """Whether it minds one of these nodes' jobs."""
        with suppress(psutil.Error):
            return process.name() == "slurmstepd" and process.cwd() == str(self.folder)
        return False

    def ask(self, *command: object) -> str:
        """What a command of Slurm prints; empty where the controller does not answer."""
        environment = os.environ | {"SLURM_CONF": str(self.configuration)}
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment).stdout


def scripts(job: Job) -> list[psutil.Process]:
    """The processes that run a job's script: two where Slurm believes that one is lost."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_script = any("/.snakemake/scripts/" in word for word in process.cmdline())
            if is_script and process.environ().get("SLURM_JOB_ID") == job.number:
                found.append(process)
    return found


def running(pid_file: Path) -> psutil.Process | None:
    """The process that a daemon's file names, if it runs."""
    try:
        return psutil.Process(int(pid_file.read_text()))
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None


def alive(pid_file: Path) -> bool:
    return running(pid_file) is not None


def end(pid_file: Path, by: signal.Signals) -> None:
    """Stop a daemon, if it runs, and wait until it has gone."""
    if process := running(pid_file):
        process.send_signal(by)
        psutil.wait_procs([process], timeout=20)


def call(*command: object) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stderr}")


def wait_for(ready: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(0.2)


if __name__ == "__main__":
    {"up": Cluster.up, "down": Cluster.down}[sys.argv[1]](Cluster(Path(sys.argv[2]).resolve()))
