"""Evaluation: answers -> judgements -> scores.

needs  <results>/models/, <results>/features/, <results>/dataset/
makes  <results>/answers/<model>/<recipe>/seed-<n>/<suite>.jsonl
       <results>/judgements/<model>/<recipe>/seed-<n>/<split>.jsonl (event targets)
       <results>/scores/<model>/<recipe>/seed-<n>/<split>.json
"""


def sample_of(wildcards):
    """How many questions a recipe is asked, none for all: fewer after k steps, and of one concept alone those on
    what the splits forget."""
    recipe, own = recipes.parse_recipe(wildcards.recipe), {"seed": config["seed"]}
    if recipe.concept is not None:
        return own | dict.fromkeys(("retain", "real", "world"), 0) | {"own_kind": True}
    if recipe.step is not None:
        return own | dict.fromkeys(("retain", "real", "world"), config["figures"]["questions"])
    retain = config["evaluation"].get("retain_sample")
    return None if retain is None else own | {"retain": retain}


def sample_splits(wildcards):
    """The splits that a sample is drawn for: those that its answers are scored on."""
    recipe = recipes.parse_recipe(wildcards.recipe)
    if sample_of(wildcards) is None:
        names = []
    elif recipe.concept is not None:
        names = [f"{target}{recipe.percent:02d}" for target in config["dataset"]["targets"]]
    elif recipe.target is None:
        names = sorted({split for _, name, split, _ in (*TABLE3, *TABLE4) if name == recipe.name})
    else:
        names = recipes.parts(recipe.split)
    return [f"<results>/dataset/splits/{name}.json" for name in names]


rule answer_questions:
    input:
        questions=[f"<results>/dataset/{name}.jsonl" for name in ("questions", "real", "world")],
        features=expand("<results>/features/{{model}}/{suite}.safetensors", suite=SUITES),
        splits=sample_splits,
        adapter="<results>/models/{model}/{recipe}/seed-{seed}/adapter/adapter_model.safetensors",
        base=checkpoint,
    output:
        expand("<results>/answers/{{model}}/{{recipe}}/seed-{{seed}}/{suite}.jsonl", suite=SUITES),
    log:
        "<logs>/answer_questions/{model}/{recipe}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/answer_questions/{model}/{recipe}/seed-{seed}.tsv"
    conda:
        "../envs/evaluation.yaml"
    resources:
        **TRAINING["job"],
    params:
        spec=model_spec,
        suites=SUITES,
        sample=sample_of,
        batch=config["evaluation"]["batch"],
        max_new_tokens=config["evaluation"]["max_new_tokens"],
        version=1,
    script:
        "../workflow_scripts/answer_questions.py"


rule judge_answers:
    input:
        answers="<results>/answers/{model}/{recipe}/seed-{seed}/dataset.jsonl",
        finetuned=finetuned_answers,
        goal=goal_answers,
        split="<results>/dataset/splits/{split}.json",
    output:
        "<results>/judgements/{model}/{recipe}/seed-{seed}/{split}.jsonl",
    log:
        "<logs>/judge_answers/{model}/{recipe}/seed-{seed}/{split}.log",
    benchmark:
        "<benchmarks>/judge_answers/{model}/{recipe}/seed-{seed}/{split}.tsv"
    conda:
        "../envs/evaluation.yaml"
    resources:
        **settings.judge_resources(config),
    params:
        judge=config["evaluation"]["judge"],
        decided=settings.judge_identity(config),
        code=code_digest("evaluation/judge.py", "evaluation/rouge.py", "records.py"),
    script:
        "../workflow_scripts/judge_answers.py"


rule score_answers:
    input:
        answers=expand("<results>/answers/{{model}}/{{recipe}}/seed-{{seed}}/{suite}.jsonl", suite=SUITES),
        finetuned=finetuned_real_answers,
        judgements=judgements,
        split="<results>/dataset/splits/{split}.json",
        people="<results>/curation/people.jsonl",
        real="<results>/dataset/real.jsonl",
        world="<results>/dataset/world.jsonl",
    output:
        "<results>/scores/{model}/{recipe}/seed-{seed}/{split}.json",
    log:
        "<logs>/score_answers/{model}/{recipe}/seed-{seed}/{split}.log",
    benchmark:
        "<benchmarks>/score_answers/{model}/{recipe}/seed-{seed}/{split}.tsv"
    conda:
        "../envs/evaluation.yaml"
    params:
        suites=SUITES,
        label=lambda wildcards: recipes.label(config, wildcards.recipe),
        sample=sample_of,
        judge=settings.judge_name(config),
        bootstrap=config["evaluation"]["bootstrap"],
        max_missing_share=config["evaluation"]["max_missing_share"],
        code=code_digest("evaluation", "seeds.py", "records.py"),
    script:
        "../workflow_scripts/score_answers.py"
