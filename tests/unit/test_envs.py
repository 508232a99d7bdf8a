"""The conda files of envs/: one a phase, pinned as constraints.txt, naming all that the phase's rules import."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from mmunlearn import backends, robustness
from mmunlearn.evaluation.judge import rubrics
from mmunlearn.models import families
from mmunlearn.registry import Registry
from mmunlearn.training import methods

ROOT = Path(__file__).parents[2]
ENVS = {path.name: path for path in sorted((ROOT / "envs").glob("*.yaml"))}
TEXTS = (".py", ".md", ".yaml", ".smk", ".toml", ".j2")
RULE_FILES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]

REGISTRIES = {
    name: value
    for module in (backends, families, methods, robustness, rubrics)
    for name, value in vars(module).items()
    if isinstance(value, Registry)
}

# Needed by a library that we import, not by us.
INDIRECT = {
    "accelerate": "transformers, for its Trainer",
    "torchvision": "transformers, for its image processors",
    "torchao": "diffusers, where FLUX's weights are quantised",
    "symspellpy": "the embedded judge, which reads its files as data",
    "dicebear-styles": "the pocket renderer, which reads its files as data",
}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lines: list[str]) -> dict[str, str]:
    """name==version lines; refuses anything else."""
    found = [re.fullmatch(r"([A-Za-z0-9_.-]+)==([A-Za-z0-9.+]+)", line) for line in lines]
    assert all(found), (
        f"not name==version: {[line for line, match in zip(lines, found, strict=True) if not match]}"
    )
    return {canonical(match[1]): match[2] for match in found if match}


CONSTRAINTS = pins(
    [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
)


def env_pins(name: str) -> dict[str, str]:
    (pip,) = [
        part["pip"]
        for part in yaml.safe_load(ENVS[name].read_text())["dependencies"]
        if isinstance(part, dict)
    ]
    return pins(pip)


def rules_by_env() -> dict[str, set[Path]]:
    """The scripts that run in each environment, from the rule files' `conda:` and `script:`."""
    found: dict[str, set[Path]] = {}
    for file in RULE_FILES:
        for rule in re.split(r"^(?:rule|checkpoint) ", file.read_text(), flags=re.MULTILINE)[1:]:
            named = {
                key: re.search(rf'^\s+{key}:\s*"([^"]+)"', rule, re.MULTILINE) for key in ("conda", "script")
            }
            if named["conda"]:
                env = (file.parent / named["conda"][1]).resolve()
                assert env.parent == ROOT / "envs", f"{file.name} names {named['conda'][1]}"
                scripts = found.setdefault(env.name, set())
                if named["script"]:
                    scripts.add((file.parent / named["script"][1]).resolve())
    return found


def module_file(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def names_imported(path: Path) -> set[str]:
    """Modules that a file names in imports (also inside functions), and those of the registries that it loads from."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute) and node.attr == "load" and isinstance(node.value, ast.Name):
            names |= {entry.path.split(":")[0] for entry in REGISTRIES.get(node.value.id, {}).values()}
    return names


def third_party(scripts: set[Path]) -> set[str]:
    """Top-level names outside the standard library that scripts can come to import, through our own modules."""
    todo, seen, found = list(scripts), set(scripts), set()
    while todo:
        for name in names_imported(todo.pop()):
            top = name.split(".")[0]
            if top == "mmunlearn":
                parts = name.split(".")
                files = {module_file(".".join(parts[:n])) for n in range(1, len(parts) + 1)} - {None}
                todo += files - seen
                seen |= files
            elif top not in sys.stdlib_module_names and top not in ("__future__", "snakemake"):
                found.add(top)
    return found


@pytest.mark.parametrize("name", ENVS)
def test_env_is_pinned_to_the_constraints(name: str) -> None:
    assert env_pins(name), f"envs/{name} pins nothing"
    differing = {p: v for p, v in env_pins(name).items() if CONSTRAINTS.get(p) != v}
    assert not differing, f"envs/{name} and constraints.txt differ in {differing}"


@pytest.mark.parametrize("name", ENVS)
def test_env_asks_for_one_python(name: str) -> None:
    assert "python=3.11" in yaml.safe_load(ENVS[name].read_text())["dependencies"]


def test_every_env_is_named_by_a_rule_and_every_named_env_exists() -> None:
    assert set(rules_by_env()) == set(ENVS)


@pytest.mark.parametrize("name", ENVS)
def test_env_holds_what_its_rules_import_and_nothing_else(name: str) -> None:
    distributions = packages_distributions()
    needed = {
        canonical(distributions[top][0])
        for top in third_party(rules_by_env().get(name, set()))
        if top in distributions
    }
    pinned = set(env_pins(name))
    assert needed <= pinned, f"envs/{name} lacks {sorted(needed - pinned)}"
    assert pinned <= needed | set(INDIRECT), (
        f"envs/{name} holds {sorted(pinned - needed - set(INDIRECT))} for nothing"
    )


def test_pyproject_pins_agree_with_the_constraints() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + [
        one for extra in project["optional-dependencies"].values() for one in extra
    ]
    exact = pins([one for one in asked if "==" in one])
    assert exact
    assert {name: CONSTRAINTS.get(name) for name in exact} == exact
    others = [one for one in asked if not one.startswith("mmunlearn[")]
    missing = {canonical(re.split(r"[<>=]", one)[0]) for one in others} - set(CONSTRAINTS)
    assert not missing, f"constraints.txt has no version of {sorted(missing)}"


def test_extras_and_targets_that_messages_and_pages_name_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    places = [
        "mmunlearn/**/*",
        "workflow_scripts/*",
        "rules/*",
        "docs/**/*",
        "profiles/**/*",
        "presets/*",
        "envs/*",
        "*",
    ]
    files = {
        path
        for place in places
        for path in ROOT.glob(place)
        if path.suffix in TEXTS or path.name == "Makefile"
    }
    named: dict[str, set[str]] = {"extra": set(), "target": set()}
    for path in files:
        text = path.read_text(encoding="utf-8")
        lists = re.findall(r"(?:mmunlearn|'\.|\"\.)\[([a-z, -]+)\]", text) + re.findall(
            r"extra `([a-z]+)`", text
        )
        named["extra"] |= {one.strip() for names in lists for one in names.split(",")}
        named["target"] |= {
            one for pair in re.findall(r"`make ([a-z][a-z-]*)|: make ([a-z]+)\b", text) for one in pair
        }
    named["target"].discard("")
    assert {"paper", "dev", "slurm"} <= named["extra"] <= set(project["optional-dependencies"])
    assert {"paper", "review"} <= named["target"] <= targets


def test_peft_finds_no_bitsandbytes_which_pyiqa_asks_for_in_vain() -> None:
    from peft.import_utils import is_bnb_available

    assert sys.modules.get("bitsandbytes") is None and not is_bnb_available()
    assert not any(name.startswith("bitsandbytes.") for name in sys.modules)
