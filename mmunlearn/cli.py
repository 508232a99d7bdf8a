"""The command `mmunlearn`; also `python -m mmunlearn`. Nothing heavy here."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmunlearn.workflow.work import PlannedJob

EXAMPLES = """examples:
  mmunlearn plan                                              the default run
  mmunlearn plan --configfile presets/paper.yaml -- table4    another preset, other targets
  mmunlearn plan --configfile mine.yaml --json                for machines

Every estimate rests on assumptions: the table `plan` in config.yaml. Correct them in a file of your own. Once jobs have
run, what they took stands beside what was estimated of them.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a subcommand and exit: 0, or 1 where the configuration cannot be run."""
    args = parser().parse_args(arguments)
    sys.exit(args.run(args))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="mmunlearn", description="Multimodal unlearning benchmarks: helpers."
    )
    commands = command.add_subparsers(dest="command", required=True, metavar="COMMAND")
    plan = commands.add_parser(
        "plan",
        help="what a run will cost, before it runs, and beside it what it has cost",
        description="Print jobs by rule, hours, pictures, questions, judge calls, tokens and cost. Runs nothing.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    plan.set_defaults(run=run_plan)
    doctor = commands.add_parser(
        "doctor",
        help="what this machine lacks for a run, and what to do about it",
        description="Look at packages, GPUs and their memory by arithmetic, weights, gates, keys, data and disks, a "
        "line each. Exit code 1 where something that the run needs is missing.",
    )
    doctor.add_argument(
        "--network", action="store_true", help="try whether endpoints and the hub take a connection"
    )
    doctor.set_defaults(run=run_doctor)
    for one in (plan, doctor):
        add_request(one)
    return command


def add_request(command: argparse.ArgumentParser) -> None:
    """The options that say which run is meant, and how to print."""
    command.add_argument(
        "targets", nargs="*", metavar="TARGET", help="rules or files, as for snakemake, last and behind a --"
    )
    command.add_argument(
        "--configfile", nargs="+", default=[], metavar="FILE", help="as for snakemake, e.g. a preset"
    )
    command.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as for snakemake")
    command.add_argument("--workflow-profile", metavar="FOLDER", help="as for snakemake")
    command.add_argument("--json", action="store_true", help="print JSON instead of text")


def run_plan(args: argparse.Namespace) -> int:
    """Print a plan; the exit code."""
    from mmunlearn.workflow.plan import make_plan
    from mmunlearn.workflow.show import show_plan

    planned = planned_jobs(args)
    if planned is None:
        return 1
    plan = make_plan(*planned, args.targets)
    print(f"{json.dumps(asdict(plan), indent=2)}\n" if args.json else show_plan(plan), end="")
    return 0


def run_doctor(args: argparse.Namespace) -> int:
    """Print what this machine lacks; the exit code."""
    from mmunlearn.workflow.doctor import PlannedRun, disk_left, examine, show_findings
    from mmunlearn.workflow.machine import lacking_executor

    logging.getLogger("mmunlearn").setLevel(logging.ERROR)  # what a run would warn of is a finding here
    executor = lacking_executor(Path(args.workflow_profile)) if args.workflow_profile else ""
    if executor:  # Snakemake refuses such a profile, of which nothing else is looked at
        args.workflow_profile = None
    planned = planned_jobs(args)
    if planned is None:
        return 1
    findings = examine(PlannedRun(*planned, disk_left(*planned), args.network, executor))
    rows = [one._asdict() for one in findings]
    print(f"{json.dumps(rows, indent=2)}\n" if args.json else show_findings(findings), end="")
    return int(any(one.status == "missing" for one in findings))


def planned_jobs(args: argparse.Namespace) -> tuple[dict[str, Any], list[PlannedJob]] | None:
    """The merged configuration and all jobs of a request; None where an error has been printed."""
    from mmunlearn.workflow.machine import executor_cure, lacking_executor
    from mmunlearn.workflow.plan import plan_jobs
    from mmunlearn.workflow.reading import file_error

    files = [*args.configfile, "Snakefile"]
    missing = [path for path in files if not Path(path).is_file()]
    if missing:
        print(
            f"mmunlearn {args.command}: asked for {', '.join(files)}; found no file {missing[0]} in {Path.cwd().name}/."
            " Run it in the folder of the workflow, where the Snakefile lies, correct the name, or put -- before the "
            "targets.",
            file=sys.stderr,
        )
        return None
    if taken := [name for name in ("results", "work", "logs", "benchmarks") if Path(name).is_file()]:
        print(
            f"mmunlearn {args.command}: asked for the folder {taken[0]}/; found a file of that name; move it away.",
            file=sys.stderr,
        )
        return None
    if error := file_error("config.yaml", *args.configfile):
        print(f"mmunlearn: {error}", file=sys.stderr)
        return None
    if args.workflow_profile and (package := lacking_executor(Path(args.workflow_profile))):
        print(
            f"mmunlearn {args.command}: asked for --workflow-profile {args.workflow_profile}; found no {package}, "
            f"which runs its jobs; {executor_cure(package)}, or leave the profile out: the jobs are the same.",
            file=sys.stderr,
        )
        return None
    return plan_jobs(snakemake_arguments(args))


def snakemake_arguments(args: argparse.Namespace) -> list[str]:
    """The same request in Snakemake's own options."""
    options = ["--dry-run"]
    if args.workflow_profile:
        options += ["--workflow-profile", args.workflow_profile]
    for name in ("configfile", "config"):
        if values := getattr(args, name):
            options += [f"--{name}", *values]
    return [*options, "--", *args.targets]
