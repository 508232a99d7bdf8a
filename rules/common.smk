"""Checks the configuration and names what the rules share: the table of runs, leaf values, wildcards."""

from snakemake.logging import logger

from mmunlearn import ids, tasks
from mmunlearn.atomic import sweep
from mmunlearn.workflow import check, lifelong, params, paths, soundness, targets, unrecorded
from mmunlearn.workflow.forward import forward_interrupts
from mmunlearn.workflow.identity import code_digest
from mmunlearn.workflow.job import deal_cards, require_library
from mmunlearn.workflow.jobs import Jobs
from mmunlearn.workflow.outage import outlive_outages
from mmunlearn.workflow.versions import version

require_library(workflow.basedir)
deal_cards(workflow)
outlive_outages()
check.prepare(config)
if error := check.fault(config, places=workflow.is_main_process, gpus=workflow.global_resources.get("gpu")):
    raise error
if workflow.is_main_process:
    for message in soundness.look(config["scale"]):
        logger.warning(message)

RUNS, PARAMS, JOBS = targets.Targets(config), params.Params(config), Jobs(config)
LIFELONG = lifelong.Lifelong(config, PARAMS.contents, lambda: getattr(workflow.dag_settings, "targets", None))
UNRECORDED = unrecorded.Unrecorded(workflow, f"results/{config['scale']}", RUNS, PARAMS, LIFELONG)
SUITES = params.SUITES
WEIGHTS, REVIEW, IMAGES, TRAINING = (config[key] for key in ("weights", "review", "images", "training"))


wildcard_constraints:
    model=ids.MODEL,
    recipe=ids.RECIPE,
    split=ids.SPLIT,
    seed="[0-9]+",
    method=tasks.METHOD,
    order=tasks.ORDER,
    shard="[0-9]{3}",
    set="real|world|replay",
    suite="dataset|real|world|replay",
    weights="[a-z0-9][a-z0-9.-]*",


onstart:
    rules = {job.rule.name for job in workflow.dag.needrun_jobs()}
    if error := check.outputs_error(config, rules):
        raise error
    if error := paths.brought_error(config, rules):
        raise error
    if error := check.build_error(config, targets.trained(workflow.dag.needrun_jobs())):
        raise error
    if error := check.gpus_error(workflow.dag.needrun_jobs(), workflow.global_resources.get("gpu")):
        raise error
    PARAMS.contents.settle()
    sweep("work", "results")
    if error := unrecorded.overlooked_error(workflow):
        logger.warning(str(error))
    forward_interrupts()


onsuccess:
    if error := unrecorded.overlooked_error(workflow):
        raise error
