"""The mini world: 4 people at 4 events, one fixture a phase.

Each phase works in its own copy of the one before, so a test can start from any of them; what a test
changes, it changes in a copy of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mmunlearn.pocket.generator import PocketGenerator
from mmunlearn.workflow.targets import Targets
from tests.rules.brush import Brush
from tests.rules.mini import SETS, curate, draw, mini_config, scored, train, trainings
from tests.rules.standin import World
from tests.shared import shared
from tests.tiny import write_checkpoint


@pytest.fixture(scope="session")
def curated(tmp_path_factory: pytest.TempPathFactory) -> World:
    config = mini_config()
    root = shared(tmp_path_factory, "curated", lambda root: curate(World.make(root, config)))
    return World(root, config)


@pytest.fixture(scope="session")
def drawn(curated: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    def make(world: World) -> None:
        draw(world)
        world.run("write_truth")
        world.run("check_images")

    return further(curated, "drawn", make, tmp_path_factory)


@pytest.fixture(scope="session")
def asked(drawn: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    def make(world: World) -> None:
        world.run("build_questions")
        for split in Targets(world.config).splits:
            world.run("split_concepts", split=split)
        for name in SETS:
            world.run("build_reference_set", set=name)

    return further(drawn, "asked", make, tmp_path_factory)


@pytest.fixture(scope="session")
def encoded(asked: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    def make(world: World) -> None:
        write_checkpoint(world.root / "models" / "tiny")
        for suite in ("dataset", *SETS):
            world.run("encode_images", model="tiny", suite=suite)

    return further(asked, "encoded", make, tmp_path_factory)


@pytest.fixture(scope="session")
def trained(encoded: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    def make(world: World) -> None:
        for run in trainings(world):
            train(world, run.recipe, run.seed)

    return further(encoded, "trained", make, tmp_path_factory)


@pytest.fixture(scope="session")
def answered(trained: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    def make(world: World) -> None:
        for run in trainings(world):
            world.run("answer_questions", **run._asdict())

    return further(trained, "answered", make, tmp_path_factory)


@pytest.fixture(scope="session")
def judged(answered: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Judged and scored."""

    def make(world: World) -> None:
        for score in scored(world):
            if score["split"].startswith("event"):
                world.run("judge_answers", **score)
            world.run("score_answers", **score)

    return further(answered, "judged", make, tmp_path_factory)


@pytest.fixture(scope="session")
def published(judged: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    def make(world: World) -> None:
        for rule in ("write_run_config", "make_table3", "plot_figure8", "write_report"):
            world.run(rule)

    return further(judged, "published", make, tmp_path_factory)


def further(
    before: World, name: str, make: Callable[[World], None], factory: pytest.TempPathFactory
) -> World:
    """The next phase's world: a copy of the one before in which `make` has run."""
    return World(shared(factory, name, lambda root: make(before.copy(root))), before.config)


@pytest.fixture
def brush(monkeypatch):
    made = Brush()
    monkeypatch.setattr(PocketGenerator, "draw", made.held_by(PocketGenerator.draw))
    return made
