"""The one place that lays out a batch: all questions of an image behind one image prefix.

A row is `[prefix with image tokens, question 1 + answer 1, question 2 + answer 2, ...]`. A token of one
question sees the prefix and its own question only, and positions restart after the prefix for every question,
so losses and gradients are those of one question a row. That is the layout of families that cannot share a
prefix, and of flash attention, which takes no such mask. What comes out of `forward` knows nothing of the layout:
logits and labels with one row a question.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import send_to_device

from mmunlearn.models.base import Base, Features
from mmunlearn.models.dialogue import Dialogue
from mmunlearn.models.example import Example
from mmunlearn.models.families import FAMILIES
from mmunlearn.models.feature_file import FeatureTable
from mmunlearn.models.head import Answers, only
from mmunlearn.models.picture_list import Picture, PictureList
from mmunlearn.models.tower import RECENT, Tower

IGNORED = -100
logger = logging.getLogger(__name__)


class Collator:
    """Turns examples into the tensors of a forward pass, and a forward pass into rows of questions."""

    def __init__(
        self, base: Base, features: Mapping[str, Features | Picture], *, packed: bool | None = None
    ) -> None:
        """Choose the layout.

        Args:
            features: by image id; or a PictureList, of which they are made when they are needed.
            packed: override the family's layout (for comparison).

        Raises:
            ValueError: `packed` is asked of a family or an attention that cannot.
            WeightsError: files of another model's features.
        """
        config = base.model.config
        flash = config._attn_implementation.startswith("flash")
        if packed and (flash or not base.packs):
            raise ValueError(
                f"questions behind one image prefix are asked for, but family {base.family} with attention "
                f"{config._attn_implementation} lays out one question a row; use packed=None or attention: sdpa"
            )
        if flash and base.packs and packed is None:
            logger.info("flash attention takes no block mask: one question a row")
        self.packed = base.packs and not flash if packed is None else packed
        if isinstance(features, FeatureTable):
            features.check(base.stored)
        self.base, self._features = base, features
        self._tower = Tower(base, features) if isinstance(features, PictureList) else None
        self._image_token = getattr(config, "image_token_id", None)
        self._dialogue = Dialogue(base.processor, self._image_token if base.frozen else None)
        self._limit = getattr(config.get_text_config(), "max_position_embeddings", None)
        self.vocabulary = config.get_text_config().vocab_size

    def __call__(self, examples: Iterable[Example]) -> dict[str, Any]:
        """Tensors of a forward pass.

        Returns:
            input_ids (B, L); position_ids (B, L), or (3, B, L) where the family has three axes; attention_mask,
            packed (B, 1, L, L) additive in the model's dtype, else (B, L) of 0 and 1; image_features, a list of
            every row's features, or, before `with_features`, the list `pictures` of their ids and of each id `pixels`.
            A family without a frozen tower has `inputs` instead of all these. And
            question_rows (Q, 1), question_positions and labels (Q, T): where each question's answer lies. Labels
            are -100 but for the answer and its end token; T counts the position before the answer, too, so that
            the usual shift by one applies. `family` and `image_token` say how `forward` goes on.
        """
        rows = self._rows(examples)
        if self.base.frozen:
            laid_out = [self._layout(row) for row in rows]
            inputs = self._text_inputs(laid_out)
            inputs |= self._shown([row.image_id for row in rows])
        else:
            inputs, laid_out = self._processed(rows)
        return {
            **inputs,
            **_questions(laid_out),
            "family": self.base.family,
            "image_token": self._image_token,
        }

    def with_features(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """A batch as `forward` takes it: the features of its pictures, where the model is, in place of their pixels.

        The tower runs once a picture, however many rows of this batch and of those before it show it.
        """
        rest = {name: one for name, one in batch.items() if name not in ("pictures", "pixels")}
        if "pixels" in batch:
            pixels = batch["pixels"]
            rest["image_features"] = [self._tower.features(one, pixels[one]) for one in batch["pictures"]]
        return rest

    @property
    def runs_tower(self) -> bool:
        """Whether features are made here, apart from the language model."""
        return self._tower is not None and self.base.frozen

    def windows(self, image_ids: Iterable[str]) -> list[int]:
        """In which window of pictures each lies: what is asked on those of one window finds their features at hand.
        All are in one where features are stored."""
        ids = list(image_ids)
        place = {image_id: at // RECENT for at, image_id in enumerate(dict.fromkeys(ids))}
        return [place[image_id] if self._tower else 0 for image_id in ids]

    def check(self, examples: Iterable[Example]) -> None:
        """Refuse, before training starts, what would have to be cut: rows are never truncated.

        Raises:
            ValueError: a row needs more positions than the model has, or a picture has no features.
        """
        for row in self._rows(examples):
            if row.image_id not in self._features:
                raise ValueError(
                    f"features of picture {row.image_id} are asked for, but there are none; encode its suite first"
                )
            laid_out = self._layout(row) if self.base.frozen else self._processed([row])[1][0]
            length = 1 + max(max(axis) for axis in laid_out.positions or [[len(laid_out.ids) - 1]])
            if self._limit is not None and length > self._limit:
                raise ValueError(
                    f"picture {row.image_id} with its longest question needs {length} positions, "
                    f"{laid_out.ids.count(self._image_token)} tokens of them the image's, but the model has "
                    f"{self._limit}; shorten questions and answers, or use a model with a longer context"
                )

    def prompt(self, question: str, image_id: str) -> list[int]:
        """Token ids up to where the model starts to answer, image tokens expanded."""
        tokens = self._dialogue.tokens(question, "")
        if self.base.frozen:
            return self._expand(tokens.prefix, self._outline(image_id)) + list(tokens.tail)
        return [*tokens.prefix, *tokens.tail]

    def prompts(self, questions: Sequence[str], image_ids: Sequence[str]) -> dict[str, Any]:
        """What `generate` takes for questions, each to its picture; padded at the left, where the model is."""
        return self.inputs_of(self.asked(questions, image_ids))

    def asked(self, questions: Sequence[str], image_ids: Sequence[str]) -> dict[str, Any]:
        """What `inputs_of` takes: all of `prompts` that needs no model, on the CPU, so that any thread may make it."""
        if not self.base.frozen:
            texts = list(map(self._dialogue.prompt, questions))
            return {"inputs": self.base.process(texts, list(map(self._whole, image_ids)), "left")}
        rows = list(map(self.prompt, questions, image_ids))
        length, pad = max(map(len, rows)), self.base.processor.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (length - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
        return {"input_ids": ids, "attention_mask": mask, **self._shown(image_ids)}

    def inputs_of(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """`prompts` of what was asked."""
        batch = self.with_features(send_to_device(asked, self.base.model.device))
        if "inputs" in batch:
            return batch["inputs"]
        features = batch.pop("image_features")
        return batch | self.base.model_inputs(features, batch["input_ids"], self._image_token)

    def features(self, image_id: str) -> Features:
        """A picture's features, where the model is."""
        if self._tower:
            return self._tower.features(image_id)
        device = self.base.model.device
        return {name: tensor.to(device) for name, tensor in self._features[image_id].items()}

    def _shown(self, image_ids: Sequence[str]) -> dict[str, Any]:
        """What is known of pictures without the model, see `__call__`."""
        if not self._tower:
            return {"image_features": [self._features[image_id] for image_id in image_ids]}
        pixels = {image_id: self._tower.pixels(image_id) for image_id in image_ids}
        return {"pictures": list(image_ids), "pixels": pixels}

    def release(self) -> None:
        """Give back the memory of pictures that are at hand: of several suites on one base, one has them at a time."""
        if self._tower:
            self._tower.release()

    def _outline(self, image_id: str) -> Features:
        return self._tower.outline(image_id) if self._tower else self._features[image_id]

    def _whole(self, image_id: str) -> Features:
        """The picture itself, of a family without a frozen tower."""
        return self._tower.pixels(image_id) if self._tower else self._features[image_id]

    def _rows(self, examples: Iterable[Example]) -> list[Example]:
        return [row for example in examples for row in ([example] if self.packed else example.split())]

    def _expand(self, prefix: Sequence[int], features: Features) -> list[int]:
        """The prefix with the picture's ids in place of its last token, the image token."""
        return [*prefix[:-1], *self.base.image_ids(features, self._image_token)]

    def _layout(self, example: Example) -> _Row:
        shared = self._dialogue.tokens(example.turns[0][0], "").prefix
        features = self._outline(example.image_id)
        prefix = self._expand(shared, features)
        axes = self.base.prefix_positions(prefix, features)
        row = _Row(list(prefix), [list(axis) for axis in axes], [0] * len(prefix), [])
        begin = 1 + max(map(max, axes))
        for number, (question, answer) in enumerate(example.turns, start=1):
            tokens = self._dialogue.tokens(question, answer)
            if tokens.prefix != shared:
                raise ValueError("the chat template puts the question before the image: it cannot be packed")
            start = len(row.ids) + len(tokens.tail)
            row.answers.append((start, start + len(tokens.answer)))
            turn = [*tokens.tail, *tokens.answer]
            row.ids += turn
            row.segments += [number] * len(turn)
            for axis in row.positions:
                axis += range(begin, begin + len(turn))
        return row

    def _text_inputs(self, rows: Sequence[_Row]) -> dict[str, Any]:
        length, pad = max(len(row.ids) for row in rows), self.base.processor.tokenizer.pad_token_id
        axes = len(rows[0].positions)
        positions = [
            torch.tensor([row.positions[axis] + [0] * (length - len(row.ids)) for row in rows])
            for axis in range(axes)
        ]
        if self.packed:
            dtype = self.base.model.dtype
            mask = torch.stack([_visible(row.segments, length, dtype) for row in rows])[:, None]
        else:
            mask = torch.tensor([[1] * len(row.ids) + [0] * (length - len(row.ids)) for row in rows])
        return {
            "input_ids": torch.tensor([row.ids + [pad] * (length - len(row.ids)) for row in rows]),
            "position_ids": positions[0] if axes == 1 else torch.stack(positions),
            "attention_mask": mask,
        }

    def _processed(self, rows: Sequence[Example]) -> tuple[dict[str, Any], list[_Row]]:
        """All inputs by the processor, right-padded, and where the answers lie in them."""
        texts = [self._dialogue.full(*row.turns[0]) for row in rows]
        features = [self._whole(row.image_id) for row in rows]
        inputs = self.base.process(texts, features, "right")
        laid_out = []
        for row, ids, mask in zip(rows, inputs["input_ids"], inputs["attention_mask"], strict=True):
            ids, answer = ids[mask.bool()].tolist(), list(self._dialogue.tokens(*row.turns[0]).answer)
            if ids[-len(answer) :] != answer:
                raise ValueError(
                    f"the answer is asked for at the end of a row, but the processor of picture {row.image_id} puts "
                    f"it elsewhere; describe the model as a family of its own"
                )
            laid_out.append(_Row(ids, [], [], [(len(ids) - len(answer), len(ids))]))
        return {"inputs": inputs}, laid_out


@dataclass
class _Row:
    ids: list[int]
    positions: list[list[int]]  # by axis; empty: left to the model
    segments: list[int]  # 0 for the prefix, then the number of the question
    answers: list[tuple[int, int]]  # half-open spans of the answers


def _questions(rows: Sequence[_Row]) -> dict[str, torch.Tensor]:
    """question_rows (Q, 1), question_positions and labels (Q, T)."""
    spans = [(index, span) for index, row in enumerate(rows) for span in row.answers]
    widest = max(end - start for _, (start, end) in spans) + 1
    labels = torch.full((len(spans), widest), IGNORED)
    positions = torch.zeros((len(spans), widest), dtype=torch.long)
    for question, (index, (start, end)) in enumerate(spans):
        positions[question, : end - start + 1] = torch.arange(start - 1, end)
        labels[question, 1 : end - start + 1] = torch.tensor(rows[index].ids[start:end])
    indices = torch.tensor([[index] for index, _ in spans])
    return {"question_rows": indices, "question_positions": positions, "labels": labels}


def _visible(segments: Sequence[int], length: int, dtype: torch.dtype) -> torch.Tensor:
    """Additive mask (length, length): causal, a question sees the prefix and itself; padding sees itself."""
    segment = torch.tensor([*segments, *[IGNORED] * (length - len(segments))])
    order = torch.arange(length)
    same = (segment[None, :] == 0) | (segment[:, None] == segment[None, :])
    allowed = (order[:, None] >= order[None, :]) & same & (segment[:, None] != IGNORED)
    allowed |= torch.eye(length, dtype=torch.bool)
    return torch.zeros(length, length, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)


def forward(model: torch.nn.Module, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (Q, T, V) and labels (Q, T), one row a question; labels are not shifted. The head makes no others."""
    if "inputs" in batch:
        inputs = batch["inputs"]
    else:
        base = FAMILIES.load(batch["family"])
        images = base.model_inputs(batch["image_features"], batch["input_ids"], batch["image_token"])
        text = {key: batch[key] for key in ("input_ids", "position_ids", "attention_mask")}
        inputs = {**text, **images}
    answers = Answers(batch["question_rows"], batch["question_positions"], tuple(inputs["input_ids"].shape))
    with only(model, answers):
        logits = model(**inputs, use_cache=False).logits
    return answers.logits(logits), batch["labels"]
