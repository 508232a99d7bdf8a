"""Trainings that Snakemake has no record of: it takes them for done, whatever the configuration says by now.

Records are lost with the folder `.snakemake`, where results were copied without it, or by --cleanup-metadata; params
are compared with records alone. Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.io import IOFile
from snakemake.settings.enums import RerunTrigger

from mmunlearn.settings import differences, other_settings
from mmunlearn.workflow.errors import NoPlan, decisive
from mmunlearn.workflow.lifelong import Lifelong
from mmunlearn.workflow.params import Params
from mmunlearn.workflow.targets import Targets


@decisive
class Unrecorded:
    """Input functions of the rules that train: they give no files, and end the run where a training that would count as
    done had other settings. The message names all of the configuration's that had."""

    def __init__(
        self, workflow: Any, results: str, runs: Targets, params: Params, lifelong: Lifelong
    ) -> None:
        """`workflow`: Snakemake's; `results`: folder of the run's results."""
        self._workflow, self._results = workflow, results
        self._runs, self._params, self._lifelong = runs, params, lifelong

    def model(self, wildcards: Any) -> list[str]:
        """Of a recipe's model."""
        return self._refuse(f"models/{wildcards.model}/{wildcards.recipe}/seed-{wildcards.seed}")

    def stages(self, wildcards: Any) -> list[str]:
        """Of a sequence of tasks."""
        folder = f"{wildcards.model}/{wildcards.method}/{wildcards.order}/seed-{wildcards.seed}"
        return self._refuse(f"lifelong/{folder}")

    def experts(self, wildcards: Any) -> list[str]:
        """Of a model's experts."""
        return self._refuse(f"lifelong/{wildcards.model}/experts/seed-{wildcards.seed}")

    def _refuse(self, folder: str) -> list[str]:
        place = Path(self._results, folder)
        if self._plans and any(
            path.is_relative_to(place) and not self._forced(str(path)) for path in self._found
        ):
            raise NoPlan(str(other_settings(self._found)))
        return []

    @property
    def _plans(self) -> bool:
        """Whether this process plans a run, and does not make all anew."""
        workflow = self._workflow
        if not workflow.is_main_process or workflow.persistence is None:
            return False
        return not workflow.dag_settings.forceall

    def _forced(self, path: str) -> bool:
        """Whether the command line names the file's rule or an output of its job, to make them anew."""
        asked = self._workflow.dag_settings
        named = {*asked.forcerun, *(asked.targets if asked.forcetargets else ())}
        return any(
            rule.name in named or not named.isdisjoint(rule.expand_output(rule.get_wildcards(path))[0])
            for rule in self._workflow.rules
            if named and rule.is_producer(path)
        )

    @cached_property
    def _found(self) -> dict[Path, list[str]]:
        return {
            Path(path): clauses
            for path, settings in self._trainings()
            if Path(path).is_file() and not self._known(path)
            if (clauses := differences(_recorded(path, settings), settings))
        }

    def _trainings(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Every training.json that the configuration knows, with what `differences` takes."""
        found: dict[str, Mapping[str, Any]] = {}
        for row in self._runs.rows:
            if settings := self._params.training_settings(row.run):
                found[self._params.training(row.run)] = settings
        for sequence in self._lifelong.sequences:
            settings = self._lifelong.training_settings(sequence)
            found |= {path: settings[Path(path).parent.name] for path in self._lifelong.trainings(sequence)}
        return ((path.replace("<results>", self._results), settings) for path, settings in found.items())

    def _known(self, path: str) -> bool:
        """Whether Snakemake has params to compare, or makes the file again, as that of a job that was killed."""
        records = self._workflow.persistence
        return records.metadata(IOFile(path)) is not None or bool(records._filter_incomplete_keys([path]))


def _recorded(path: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """What training.json says of its settings; of a damaged one, which its readers refuse, what it should say."""
    try:
        return dict(json.loads(Path(path).read_text(encoding="utf-8"))["settings"])
    except (OSError, ValueError, TypeError, KeyError):
        return settings


def overlooked_error(workflow: Any) -> WorkflowError | None:
    """Of jobs that are asked for, have other params or inputs than Snakemake's records, and are not run.

    It looks at none that stands below one to run, and then goes no further where a file is `ancient`: while
    check_images or fetch_weights runs, a changed setting below it waits for the next run.
    """
    dag, records, triggers = workflow.dag, workflow.persistence, workflow.rerun_triggers
    to_run = set(dag.needrun_jobs(exclude_finished=False))

    def changed(job: Any) -> bool:
        params = RerunTrigger.PARAMS in triggers and records.params_changed(job)
        return params or (RerunTrigger.INPUT in triggers and any(records.input_changed(job)))

    wanted = dag.bfs(dag.dependencies, *dag.targetjobs)  # not what --until or --omit-from leaves out
    finished = (job for job in wanted if job not in to_run and job.output and records.has_metadata(job))
    rules = Counter(job.rule.name for job in finished if changed(job))
    if not rules:
        return None
    jobs = ", ".join(f"{number} of {name}" for name, number in sorted(rules.items()))
    return WorkflowError(
        f"Asked for all that changed. Found jobs that Snakemake passes over in this run, though their settings, code "
        f"or inputs are others than when they ran: {jobs}. Run the same command again when it is done, and "
        f"without --forcerun."
    )
