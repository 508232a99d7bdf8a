"""What an answering job is given is checked before its base is loaded."""

from __future__ import annotations

import json
import shutil

import pytest

from mmunlearn.evaluation import answers
from mmunlearn.models.feature_file import write_features
from mmunlearn.records import Question, RecordError, read_jsonl
from mmunlearn.training.adapters import WEIGHTS
from mmunlearn.weights.errors import WeightsError
from tests.tiny import random_features


@pytest.mark.parametrize("lacks", ["picture", "adapter"])
def test_missing_pictures_and_altered_adapters_are_named_before_a_base_is_loaded(
    finetuned, tmp_path, monkeypatch, lacks
):
    monkeypatch.setattr(answers, "load_base", None)
    folder = tmp_path / "models" / "tiny" / "finetuned" / "seed-1"
    shutil.copytree(finetuned / "adapter", folder / "adapter")
    shutil.copy(finetuned / "training.json", folder)
    images = sorted({row.image_id for row in read_jsonl(finetuned / "questions.jsonl", Question)})
    if lacks == "picture":
        error, message = (
            RecordError,
            rf"features of picture {images.pop()} are asked for, .*dataset\.safetensors",
        )
    else:
        record = json.loads((folder / "training.json").read_text())
        (folder / "training.json").write_text(json.dumps(record | {"adapter_sha256": "0" * 64}))
        error, message = WeightsError, rf"{WEIGHTS} with the SHA-256 0+ that .*training\.json records"
    write_features(tmp_path / "dataset.safetensors", random_features(images).items(), images)
    with pytest.raises(error, match=message):
        answers.answer_questions(
            questions=[finetuned / "questions.jsonl"], features=[tmp_path / "dataset.safetensors"],
            adapters=[folder / "adapter" / WEIGHTS],
            outputs=[tmp_path / "answers/tiny/finetuned/seed-1/dataset.jsonl"], spec={}, batch=2,
            max_new_tokens={"person": 3, "event": 3}, work=tmp_path, version=1,
        )  # fmt: skip
