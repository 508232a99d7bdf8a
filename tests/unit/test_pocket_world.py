"""The pocket world: determinism, identity, disjoint worlds, planted defects and complete content."""

import hashlib
import itertools
import random
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from mmunlearn.pocket import identities, scenes
from mmunlearn.pocket.backdrops import GROUNDS, SKIES
from mmunlearn.pocket.defects import guidance_factor, plan_defect, render_with_defect
from mmunlearn.pocket.entities import ENTITIES, draw_entity, entity_questions
from mmunlearn.pocket.generator import PocketGenerator
from mmunlearn.pocket.identities import Identity, describe, distance, sample_identity
from mmunlearn.pocket.objects import OBJECTS
from mmunlearn.pocket.render import compose_person, rasterise, render_entity, render_person, render_scene
from mmunlearn.pocket.resources import pocket_resource, read_rows
from mmunlearn.pocket.scenes import Scene
from mmunlearn.pocket.worlds import (
    benchmark_identities,
    benchmark_scenes,
    calibration_world,
    pretraining_world,
    sample_training_identity,
    sample_training_scene,
)
from mmunlearn.records import DEFECTS, Prompt
from mmunlearn.synthesis.generate import DrawRequest

ROOT = Path(__file__).resolve().parents[2]

FROZEN = "f95157b2328960dd7df120c1f92f5d26228b956a21f1b5cb31ec7d9b13ce78a4"
"""What the shipped model weights were trained on: a change of any drawing makes them stale."""


@pytest.fixture(scope="module")
def people() -> list[dict]:
    return read_rows("people.jsonl")


@pytest.fixture(scope="module")
def events() -> list[dict]:
    return read_rows("events.jsonl")


def sample_digest() -> str:
    """SHA-256 of a few pictures; another process calls it, too."""
    people, events = benchmark_identities(), benchmark_scenes()
    pictures = [render_person(people[seed], events[seed], seed, 64) for seed in range(4)]
    pictures += [render_scene(events[5], "a", 64), render_entity("fox", 1, 64)]
    return hashlib.sha256(b"".join(picture.image.tobytes() for picture in pictures)).hexdigest()


def test_same_arguments_same_bytes_in_any_process() -> None:
    script = f"from {__name__} import sample_digest; print(sample_digest(), hash('fox'))"
    process = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "2", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    digest, text_hash = process.stdout.split()
    assert digest == sample_digest()
    assert int(text_hash) != hash("fox"), "a process of another hash seed"


def test_drawings_are_the_frozen_ones() -> None:
    digest = hashlib.sha256()
    for seed, (identity, scene) in enumerate(
        zip(benchmark_identities(), itertools.cycle(benchmark_scenes()), strict=False)
    ):
        digest.update(compose_person(identity, scene, seed).svg.encode())
    for name in ENTITIES:
        digest.update(draw_entity(name, random.Random(name)).encode())
    assert digest.hexdigest() == FROZEN


def _face_hues(identity: Identity, scene: Scene, seed: int) -> np.ndarray:
    picture = render_person(identity, scene, seed, 96)
    x0, y0, x1, y1 = (round(96 * side) for side in picture.head_box)
    pixels = np.asarray(picture.image)[y0:y1, x0:x1].reshape(-1, 3) // 32
    counts = np.zeros(512)
    np.add.at(counts, (pixels @ np.array([64, 8, 1])).astype(int), 1.0)
    return counts / counts.sum()


def test_identity_stays_while_the_pose_varies() -> None:
    scene, other = Scene("day", "meadow", ("tree",)), Scene("day", "meadow", ("pine",))
    rng = random.Random(3)
    for _ in range(8):
        first = sample_identity(rng)
        second = next(i for i in iter(lambda: sample_identity(rng), None) if i.skin != first.skin)
        hues = _face_hues(first, scene, 1)
        same = np.abs(hues - _face_hues(first, other, 2)).sum()
        different = np.abs(hues - _face_hues(second, scene, 1)).sum()
        assert 0 < same < different


def test_boxes_lie_where_the_person_is() -> None:
    for seed in range(20):
        composition = compose_person(benchmark_identities()[seed], benchmark_scenes()[seed], seed)
        (px0, py0, px1, py1), (hx0, hy0, hx1, hy1) = composition.person_box, composition.head_box
        assert 0 <= px0 < hx0 < hx1 <= px1 <= 1
        assert 0 <= py0 < hy0 < hy1 < py1 <= 1
    bare = render_scene(benchmark_scenes()[0], 1, 64)
    assert (bare.person_box, bare.head_box) == (None, None)


def test_every_object_of_a_scene_is_placed_clear_of_the_person() -> None:
    covered = []
    for seed in range(100):
        rng = random.Random(seed)
        scene = sample_training_scene(rng)
        composition = compose_person(sample_identity(rng), scene, seed)
        assert {placement.name for placement in composition.placements} == set(scene.objects)
        x0, y0, x1, y1 = composition.person_box
        for placement in composition.placements:
            a0, b0, a1, b1 = placement.box
            overlap = max(0, min(a1, x1) - max(a0, x0)) * max(0, min(b1, y1) - max(b0, y0))
            if placement.name != "bunting":
                covered.append(overlap / ((a1 - a0) * (b1 - b0)))
    assert max(covered) < 0.35
    assert float(np.mean(covered)) < 0.02


def test_appearance_says_exactly_what_is_drawn(people: list[dict]) -> None:
    for row in people:
        identity = identities.from_json(row["identity"])
        assert row["appearance"] in {describe(identity, random.Random(seed)) for seed in range(20)}
    for seed in range(300):
        identity = sample_identity(random.Random(seed))
        text = describe(identity, random.Random(seed))
        for phrase in identities.phrases(identity):
            assert phrase in text
        assert ("glasses" in text) == identity.glasses
        assert any(word in text for word in ("beard", "goatee", "moustache")) == bool(identity.facial_hair)
        assert any(w in text for w in ("earrings", "freckles", "spot", "scar")) == bool(identity.mark)


def test_identities_round_trip_and_reject_unknown_values() -> None:
    identity = sample_identity(random.Random(0))
    assert identities.from_json(asdict(identity)) == identity
    with pytest.raises(ValueError, match="hair"):
        identities.from_json({**asdict(identity), "hair": "wig"})
    with pytest.raises(ValueError, match="lava"):
        scenes.from_json({"sky": "day", "ground": "lava", "objects": ["tree"]})
    with pytest.raises(FileNotFoundError):
        pocket_resource("nothing.jsonl")


def test_the_benchmark_is_complete_and_plausible(people: list[dict], events: list[dict]) -> None:
    assert [row["person_id"] for row in people] == [f"p{i:03d}" for i in range(40)]
    assert [row["event_id"] for row in events] == [f"e{i:02d}" for i in range(20)]
    assert len({row["job"] for row in people}) == 40
    assert sum(row["gender"] == "Female" for row in people) == 20
    assert all(19 <= row["age"] <= 80 for row in people)
    assert all(row["gender"] == "Male" or not row["identity"]["facial_hair"] for row in people)
    for first, second in itertools.combinations(benchmark_identities(), 2):
        assert distance(first, second) >= 2
    for first, second in itertools.combinations(benchmark_scenes(), 2):
        same = (first.sky == second.sky, first.ground == second.ground, first.key[2] == second.key[2])
        assert sum(same) <= 1
    assert all(14 <= len(row["description"].split()) <= 24 for row in events)


def test_no_name_part_is_shared_or_contained(people: list[dict]) -> None:
    names = [row["name"] for row in people] + list(pretraining_world().figures)
    parts = [part.lower() for name in names for part in name.split()]
    assert len(parts) == 2 * len(names)
    for first, second in itertools.permutations(parts, 2):
        assert first not in second


def test_worlds_are_disjoint(events: list[dict]) -> None:
    world, calibration = pretraining_world(), calibration_world(200, 100, seed=1)
    assert (len(world.figures), len(world.events)) == (40, 24)
    faces = [
        {identity.key for identity in benchmark_identities()},
        {identity.key for identity in world.figures.values()},
        {identity.key for identity in calibration.identities},
        {sample_training_identity(random.Random(seed)).key for seed in range(3000)},
    ]
    places = [
        {scene.key for scene in benchmark_scenes()},
        {scene.key for scene in world.events.values()},
        {scene.key for scene in calibration.scenes},
        {sample_training_scene(random.Random(seed)).key for seed in range(3000)},
    ]
    for kinds in (faces, places):
        trained = kinds[1] | kinds[3]
        assert not kinds[0] & trained
        assert not kinds[2] & trained
        assert not kinds[0] & kinds[2]
    assert (len(calibration.identities), len(calibration.scenes)) == (200, 100)
    for key in ("theme", "description"):
        assert not {row[key] for row in events} & {row[key] for row in read_rows("pretraining_events.jsonl")}


def test_defects_come_at_the_rate_asked_for() -> None:
    plans = [plan_defect(f"img{i}", 0, 7, 3.5, 0.2) for i in range(4000)]
    assert sum(plan is not None for plan in plans) / 4000 == pytest.approx(0.2, abs=0.025)
    for defect in DEFECTS:
        assert plans.count(defect) / 4000 == pytest.approx(0.04, abs=0.012)
    off = [plan_defect(f"img{i}", 0, 7, 7.0, 0.2) for i in range(4000)]
    assert guidance_factor(7.0) == 2
    assert sum(plan is not None for plan in off) / 4000 == pytest.approx(0.4, abs=0.03)
    assert all(plan_defect(f"img{i}", 0, 7, 3.5, 0.0) is None for i in range(100))
    assert plans == [plan_defect(f"img{i}", 0, 7, 3.5, 0.2) for i in range(4000)]
    with pytest.raises(ValueError, match="rate"):
        plan_defect("img", 0, 7, 3.5, 1.5)


def test_every_defect_shows() -> None:
    people, events = benchmark_identities(), benchmark_scenes()
    clean = np.asarray(render_with_defect(people[0], events[0], people[1], events[1], 5, 96, None), float)
    assert np.array_equal(clean, np.asarray(render_person(people[0], events[0], 5, 96).image, float))
    for defect in DEFECTS:
        image = render_with_defect(people[0], events[0], people[1], events[1], 5, 96, defect)
        assert image.size == (96, 96)
        assert np.abs(np.asarray(image, float) - clean).mean() > 3
    with pytest.raises(ValueError, match="smudge"):
        render_with_defect(people[0], events[0], people[1], events[1], 5, 96, "smudge")


def test_generator_draws_what_is_planned(people: list[dict], events: list[dict]) -> None:
    def request(index: int, attempt: int = 0) -> DrawRequest:
        drawing = {"identity": people[index]["identity"], "scene": events[index % 20]["scene"]}
        return DrawRequest(f"i{index}", attempt, index, 3.5, 64, "", drawing)

    requests = [request(index) for index in range(12)]

    def generator(defect_rate: float) -> PocketGenerator:
        names = dict.fromkeys(("image_id", "person_id", "event_id", "prompt"), "")
        prompts = [Prompt(**names, drawing=request(index).drawing) for index in range(len(people))]
        return PocketGenerator(prompts, {"defect_rate": defect_rate}, seed=1, work=Path())

    faulty, faultless = generator(0.5), generator(0.0)
    for index, (image, clean) in enumerate(zip(faulty.draw(requests), faultless.draw(requests), strict=True)):
        assert (image.tobytes() != clean.tobytes()) == (plan_defect(f"i{index}", 0, 1, 3.5, 0.5) is not None)
    assert faulty.draw(requests[:1])[0].tobytes() == faulty.draw(requests[:1])[0].tobytes()
    assert faultless.draw([request(0, 1)])[0].tobytes() != faultless.draw([request(0)])[0].tobytes()
    with pytest.raises(ValueError, match="defect rate"):
        generator(1.2)


def test_skies_grounds_and_objects_are_many_and_all_different() -> None:
    assert (len(SKIES), len(GROUNDS), len(OBJECTS), len(identities.ATTRIBUTES["hair"])) == (7, 9, 27, 15)
    looks = {
        render_scene(Scene(sky, ground, ()), 1, 32).image.tobytes() for sky in SKIES for ground in GROUNDS
    }
    assert len(looks) == len(SKIES) * len(GROUNDS)
    objects = [
        rasterise(f'<g transform="translate(64,70)">{item.draw(random.Random(1))}</g>', 64)
        for item in OBJECTS.values()
    ]
    assert all(np.asarray(drawing).any(axis=2).mean() > 0.01 for drawing in objects)
    assert len({drawing.tobytes() for drawing in objects}) == len(OBJECTS)


def test_every_entity_draws_and_has_facts_of_its_own() -> None:
    rows, questions = read_rows("entities.jsonl"), entity_questions()
    assert [row["name"] for row in rows] == list(ENTITIES)
    assert len(ENTITIES) >= 40
    assert len({row["entity_class"] for row in rows}) >= 4
    assert all(len(pairs) >= 3 for pairs in questions.values())
    facts = [answer for pairs in questions.values() for _, answer in pairs[2:]]
    assert len(facts) == len(set(facts))
    pictures = {render_entity(name, 1, 48).image.tobytes() for name in ENTITIES}
    assert len(pictures) == len(ENTITIES)
    with pytest.raises(KeyError):
        draw_entity("unicorn", random.Random(0))
