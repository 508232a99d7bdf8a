"""The command `mmunlearn`; also `python -m mmunlearn`. Nothing heavy here."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

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
    plan.add_argument(
        "targets", nargs="*", metavar="TARGET", help="rules or files, as for snakemake; put -- before"
    )
    plan.add_argument(
        "--configfile", nargs="+", default=[], metavar="FILE", help="as for snakemake, e.g. a preset"
    )
    plan.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as for snakemake")
    plan.add_argument("--workflow-profile", metavar="FOLDER", help="as for snakemake")
    plan.add_argument("--json", action="store_true", help="print JSON instead of tables")
    plan.set_defaults(run=run_plan)
    return command


def run_plan(args: argparse.Namespace) -> int:
    """Print a plan; the exit code."""
    from mmunlearn.workflow.plan import make_plan, plan_jobs
    from mmunlearn.workflow.reading import file_error
    from mmunlearn.workflow.show import show_plan

    files = [*args.configfile, "Snakefile"]
    missing = [path for path in files if not Path(path).is_file()]
    if missing:
        print(
            f"mmunlearn: a plan by {', '.join(files)} is asked for; found no file {missing[0]} in {Path.cwd().name}/. "
            "Run it in the folder of the workflow, where the Snakefile lies, or correct the name.",
            file=sys.stderr,
        )
        return 1
    if error := file_error("config.yaml", *args.configfile):
        print(f"mmunlearn: {error}", file=sys.stderr)
        return 1
    planned = plan_jobs(snakemake_arguments(args))
    if planned is None:
        return 1
    config, jobs = planned
    plan = make_plan(config, jobs, args.targets)
    print(f"{json.dumps(asdict(plan), indent=2)}\n" if args.json else show_plan(plan), end="")
    return 0


def snakemake_arguments(args: argparse.Namespace) -> list[str]:
    """The same request in Snakemake's own options."""
    options = ["--dry-run"]
    if args.workflow_profile:
        options += ["--workflow-profile", args.workflow_profile]
    for name in ("configfile", "config"):
        if values := getattr(args, name):
            options += [f"--{name}", *values]
    return [*options, "--", *args.targets]
