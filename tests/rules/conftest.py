"""The mini world: 4 people at 4 events, one fixture a phase.

Each phase works in its own copy of the one before, so a test can start from any of them; what a test
changes, it changes in a copy of its own.
"""

from __future__ import annotations

import pytest

from mmunlearn.pocket.generator import PocketGenerator
from mmunlearn.workflow.targets import Targets
from tests.rules.brush import Brush
from tests.rules.mini import SETS, curate, draw, mini_config, scored, train, trainings
from tests.rules.standin import World
from tests.tiny import write_checkpoint


@pytest.fixture(scope="session")
def curated(tmp_path_factory: pytest.TempPathFactory) -> World:
    return curate(World.make(tmp_path_factory.mktemp("mini") / "curated", mini_config()))


@pytest.fixture(scope="session")
def drawn(curated: World) -> World:
    world = draw(curated.copy(curated.root.with_name("drawn")))
    world.run("write_truth")
    world.run("check_images")
    return world


@pytest.fixture(scope="session")
def asked(drawn: World) -> World:
    world = drawn.copy(drawn.root.with_name("asked"))
    world.run("build_questions")
    for split in Targets(world.config).splits:
        world.run("split_concepts", split=split)
    for name in SETS:
        world.run("build_reference_set", set=name)
    return world


@pytest.fixture(scope="session")
def encoded(asked: World) -> World:
    world = asked.copy(asked.root.with_name("encoded"))
    write_checkpoint(world.root / "models" / "tiny")
    for suite in ("dataset", *SETS):
        world.run("encode_images", model="tiny", suite=suite)
    return world


@pytest.fixture(scope="session")
def trained(encoded: World) -> World:
    world = encoded.copy(encoded.root.with_name("trained"))
    for run in trainings(world):
        train(world, run.recipe, run.seed)
    return world


@pytest.fixture(scope="session")
def answered(trained: World) -> World:
    world = trained.copy(trained.root.with_name("answered"))
    for run in trainings(world):
        world.run("answer_questions", **run._asdict())
    return world


@pytest.fixture(scope="session")
def judged(answered: World) -> World:
    """Judged and scored."""
    world = answered.copy(answered.root.with_name("judged"))
    for score in scored(world):
        if score["split"].startswith("event"):
            world.run("judge_answers", **score)
        world.run("score_answers", **score)
    return world


@pytest.fixture(scope="session")
def published(judged: World) -> World:
    world = judged.copy(judged.root.with_name("published"))
    for rule in ("write_run_config", "make_table3", "plot_figure8", "write_report"):
        world.run(rule)
    return world


@pytest.fixture
def brush(monkeypatch):
    made = Brush()
    monkeypatch.setattr(PocketGenerator, "draw", made.held_by(PocketGenerator.draw))
    return made
