"""Centroids of what a language model makes of pictures and of texts, and the distances between them.

MLUBench's slides print a *modality gap* and give no formula. Here it is:

- states: what the language model hands to its output layer, behind the final norm (the library's `hidden_states[-1]`),
  at the tokens of a question's prompt, before the answer;
- a question's picture is the mean over the picture's tokens, its text the mean over all other tokens of the prompt
  (the template's and the question's), padding left out;
- a set's centroids are the means of both over its questions, each counting once;
- the gap is the distance of the two: `euclidean`, or `cosine`, 1 minus the cosine of their angle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from mmunlearn.models.base import Base
from mmunlearn.models.collate import Collator
from mmunlearn.models.loading import autocast
from mmunlearn.progress import progress
from mmunlearn.tasks import TaskQuestion, entity_of

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def euclidean(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """2-norm of the difference, over the last axis."""
    return np.linalg.norm(one - other, axis=-1)


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """1 minus the cosine of the angle at the origin, over the last axis."""
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return 1 - (one * other).sum(-1) / lengths


DISTANCES: Mapping[str, Distance] = {"euclidean": euclidean, "cosine": cosine}


@dataclass(frozen=True)
class ModalitySums:
    """Pictures and texts of one set, added up by entity, so that entities can be drawn again.

    Attributes:
        counts: (entities,) questions.
        sums: (2, entities, hidden) float64: of the pictures' means, of the texts'.
    """

    counts: np.ndarray
    sums: np.ndarray

    def centroids(self, weights: np.ndarray | None = None) -> np.ndarray:
        """(2, hidden): of pictures, of texts; (2, draws, hidden) for (draws, entities): how often each is drawn."""
        weights = np.ones(len(self.counts)) if weights is None else weights
        return weights @ self.sums / (weights @ self.counts)[..., None]


def modality_sums(
    collator: Collator, rows: Sequence[TaskQuestion], *, batch: int, precision: str, what: str = "states"
) -> ModalitySums:
    """The sums over some questions, by the collator's base with the adapter that is on it. No state outlives its batch.

    Prompts of one length go together: nothing is padded, and a batch rounds as a question alone does, where the family
    says how many tokens a picture has.

    Args:
        rows: at least one.
        batch: questions a forward pass, at most.
        precision: see `loading.autocast`.
        what: name of the progress bar.
    """
    model = collator.base.model.eval()
    names = sorted(set(map(entity_of, rows)))
    place = {name: index for index, name in enumerate(names)}
    total = torch.zeros(2, len(names), model.config.get_text_config().hidden_size, dtype=torch.float64)
    for chunk in progress(_chunks(collator, rows, batch), what, unit="batch"):
        inputs = collator.prompts([row.question for row in chunk], [row.image_id for row in chunk])
        with torch.no_grad(), autocast(precision, model.device):
            states = model.base_model(**inputs, use_cache=False).last_hidden_state
        picture = inputs["input_ids"] == model.config.image_token_id
        text = inputs["attention_mask"].bool() & ~picture
        at = torch.tensor([place[entity_of(row)] for row in chunk])
        for part, tokens in zip(total, (picture, text), strict=True):
            part.index_add_(0, at, _mean(states, tokens).cpu())
    counts = np.bincount([place[entity_of(row)] for row in rows], minlength=len(names))
    return ModalitySums(counts.astype(float), total.numpy())


def without_picture_tokens(base: Base) -> str:
    """Why a model has no states of pictures; empty where it has.

    Llama 3.2 Vision looks at a picture from layers of its own: what it sees is the frozen tower's, and its one image
    token is a token of text.
    """
    config = base.model.config
    if getattr(config.get_text_config(), "cross_attention_layers", None):
        return f"pictures are no tokens of {type(base.model).__name__}'s text, so that they have no last hidden state"
    if getattr(config, "image_token_id", None) is None:
        return f"{type(base.model).__name__} does not say which of its tokens are pictures (image_token_id)"
    return ""


def _chunks(collator: Collator, rows: Sequence[TaskQuestion], batch: int) -> list[list[TaskQuestion]]:
    windows = collator.windows(row.image_id for row in rows)
    kinds = {
        row.question_id: (window, len(collator.prompt(row.question, row.image_id)))
        for window, row in zip(windows, rows, strict=True)
    }
    ordered = sorted(rows, key=lambda row: kinds[row.question_id])
    alike = [list(same) for _, same in groupby(ordered, key=lambda row: kinds[row.question_id])]
    return [same[at : at + batch] for same in alike for at in range(0, len(same), batch)]


def _mean(states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """(rows, hidden) float64: means of (rows, length, hidden) over the tokens, (rows, length)."""
    chosen = states.masked_fill(~tokens[..., None], 0)
    return chosen.sum(1, dtype=torch.float64) / tokens.sum(1, keepdim=True)
