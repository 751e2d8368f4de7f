"""Train `pocket-1` from a seed: `python -m tools.pocket.train`; run it again to continue.

Everything is made as it goes: the tokenizer from generated text, the examples by `data`. A
checkpoint is written every few minutes and holds all that is needed to go on.
"""

import argparse
import itertools
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from tools.pocket.data import examples, examples_of
from tools.pocket.draw import Example, Split
from tools.pocket.model import ModelShape, PocketModel
from tools.pocket.tokenizer import PAD_ID, encode_chat, encode_prompt, load_tokenizer, train_tokenizer

CHECKED_TASKS = ("sentiment", "extraction", "document", "long-document", "catalogue", "talk")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every number a run depends on."""

    seed: int = 1
    steps: int = 5600
    warmup_steps: int = 100
    decay_share: float = 0.5
    matrix_rate: float = 8e-3
    vector_rate: float = 3e-3
    weight_decay: float = 0.05
    batch_tokens: int = 8192
    # Examples are made and sorted by length this many at a time, so that batches waste no padding.
    pool_examples: int = 4096
    # The answer length at which a token counts one. A one-word label must not drown in the sentences
    # the model knows by heart: weights fall with the root of an answer's length. Prompts count
    # nothing: made-up names cannot be predicted.
    answer_tokens: int = 8
    average_decay: float = 0.99
    long_share_early: float = 0.01
    long_share_late: float = 0.03
    tokenizer_examples: int = 40_000
    spaced_words: int = 500
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded ids and, for each next token, how much it counts."""

    ids: Tensor
    weights: Tensor


class Trainer:
    """The state of a run, which a checkpoint saves whole."""

    def __init__(self, recipe: Recipe, shape: ModelShape) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.model = PocketModel(shape)
        self.average = PocketModel(shape)
        self.average.load_state_dict(self.model.state_dict())
        matrices = [p for n, p in self.model.named_parameters() if p.ndim == 2 and "embedding" not in n]
        vectors = [p for n, p in self.model.named_parameters() if p.ndim == 1]
        groups: list[dict[str, Any]] = [
            {"params": [self.model.embedding.weight]},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.optimizers = (
            torch.optim.Muon(
                matrices,
                lr=recipe.matrix_rate,
                weight_decay=recipe.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                groups,
                lr=recipe.vector_rate,
                betas=(0.9, 0.98),
                weight_decay=recipe.weight_decay,
            ),
        )
        self.step = 0
        self.tokens = 0
        self.seconds = 0.0

    def train_on(self, batch: Batch) -> Tensor:
        """One step; returns the weighted mean loss."""
        started = time.monotonic()
        self._set_rates()
        with torch.autocast("cpu", torch.bfloat16):
            hidden = self.model.hidden(batch.ids[:, :-1])[batch.weights > 0]
            logits = functional.linear(hidden, self.model.embedding.weight)
        targets, weights = batch.ids[:, 1:][batch.weights > 0], batch.weights[batch.weights > 0]
        losses = functional.cross_entropy(logits.float(), targets, reduction="none")
        loss = losses @ weights / weights.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()  # type: ignore[no-untyped-call]
            optimizer.zero_grad(set_to_none=True)
        self._average()
        self.step += 1
        self.tokens += batch.ids.numel()
        self.seconds += time.monotonic() - started
        return loss.detach()

    def _set_rates(self) -> None:
        recipe = self.recipe
        warm = min(1.0, (self.step + 1) / recipe.warmup_steps)
        remaining = (recipe.steps - self.step) / (recipe.steps * recipe.decay_share)
        factor = warm * max(0.02, min(1.0, remaining))
        for optimizer, rate in zip(self.optimizers, (recipe.matrix_rate, recipe.vector_rate), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor

    @torch.no_grad()
    def _average(self) -> None:
        # The running average of the weights is what is measured and shipped: it is worth about as
        # much as a finished learning-rate decay, at any moment of the run.
        keep = min(self.recipe.average_decay, (self.step + 1) / (self.step + 10))
        for mean, current in zip(self.average.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(current, 1.0 - keep)

    def save(self, path: Path) -> None:
        """Write a checkpoint; a run that dies while writing keeps the one before."""
        state = {
            "shape": asdict(self.model.shape),
            "recipe": asdict(self.recipe),
            "model": self.average.state_dict(),
            "current": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
        }
        unfinished = path.with_suffix(".tmp")
        torch.save(state, unfinished)
        unfinished.replace(path)

    def load(self, path: Path) -> None:
        """Go on from where `save` left off."""
        state = torch.load(path, weights_only=True)
        self.average.load_state_dict(state["model"])
        self.model.load_state_dict(state["current"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]


def batches(recipe: Recipe, tokenizer: Tokenizer, *, pool: int, long_share: float) -> list[Batch]:
    """The batches of one pool of fresh examples, in random order."""
    seed = recipe.seed * 1_000_000 + pool
    made = itertools.islice(examples(seed, Split.TRAINING, long_share=long_share), recipe.pool_examples)
    rows = [_weigh(recipe, *encode_chat(tokenizer, example.turns)) for example in made]
    chance = random.Random(seed)
    rows.sort(key=lambda row: len(row.ids) + chance.random())
    grouped = list(_groups(rows, recipe.batch_tokens))
    chance.shuffle(grouped)
    return [_pad(group) for group in grouped]


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation's ids, and what each counts."""

    ids: list[int]
    weights: list[float]


def _weigh(recipe: Recipe, ids: list[int], is_answer: list[bool]) -> Row:
    answer_weight = math.sqrt(recipe.answer_tokens / sum(is_answer))
    return Row(ids, [answer_weight if flag else 0.0 for flag in is_answer])


def _groups(rows: Sequence[Row], tokens_max: int) -> Iterator[Sequence[Row]]:
    """Cut a list sorted by length into runs that hold at most `tokens_max` tokens once padded."""
    start = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or len(rows[end].ids) * (end + 1 - start) > tokens_max:
            yield rows[start:end]
            start = end


def _pad(rows: Sequence[Row]) -> Batch:
    length = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), length), PAD_ID)
    weights = torch.zeros(len(rows), length)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = torch.tensor(row.ids)
        weights[index, : len(row.ids)] = torch.tensor(row.weights)
    return Batch(ids, weights[:, 1:])


@torch.no_grad()
def exact_share(model: PocketModel, tokenizer: Tokenizer, checked: Sequence[Example]) -> float:
    """The share of examples of which greedy decoding would give the last answer token for token."""
    rows = []
    for example in checked:
        prompt_tokens = len(encode_prompt(tokenizer, example.prompt))
        ids, _ = encode_chat(tokenizer, example.turns)
        rows.append(Row(ids, [float(index >= prompt_tokens) for index in range(len(ids))]))
    rows.sort(key=lambda row: len(row.ids))
    right = 0
    for group in _groups(rows, Recipe().batch_tokens):
        batch = _pad(group)
        with torch.autocast("cpu", torch.bfloat16):
            guesses = model(batch.ids[:, :-1]).argmax(-1)
        wrong = (guesses != batch.ids[:, 1:]) & (batch.weights > 0)
        right += int((~wrong.any(1)).sum())
    return right / len(checked)


def prepare_tokenizer(recipe: Recipe, shape: ModelShape, path: Path) -> Tokenizer:
    """The tokenizer at `path`, learnt from training examples if it is not there yet."""
    if not path.exists():
        stream = examples(recipe.seed, Split.TRAINING, long_share=recipe.long_share_early)
        texts = (
            turn.text
            for example in itertools.islice(stream, recipe.tokenizer_examples)
            for turn in example.turns
        )
        train_tokenizer(texts, shape.vocabulary_size, recipe.spaced_words).save(str(path))
    return load_tokenizer(path)


def train(recipe: Recipe, shape: ModelShape, folder: Path) -> Path:
    """Run (or continue) the recipe in `folder`; returns the checkpoint's path."""
    torch.set_num_threads(recipe.threads)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = prepare_tokenizer(recipe, shape, folder / "tokenizer.json")
    checkpoint = folder / "checkpoint.pt"
    trainer = Trainer(recipe, shape)
    if checkpoint.exists():
        trainer.load(checkpoint)
    checked = {
        task: examples_of(task, 80, seed=0, split=Split.NEW_WORDS_AND_PHRASINGS) for task in CHECKED_TASKS
    }
    print(f"{sum(p.numel() for p in trainer.model.parameters()):,} parameters, {recipe}", flush=True)
    # A pool's seed follows from the step it starts at, so a continued run sees new examples.
    while trainer.step < recipe.steps:
        progress = trainer.step / recipe.steps
        long_share = recipe.long_share_late if progress > 0.5 else recipe.long_share_early
        losses = []
        for batch in batches(recipe, tokenizer, pool=trainer.step, long_share=long_share):
            losses.append(trainer.train_on(batch))
            if trainer.step == recipe.steps:
                break
        trainer.save(checkpoint)
        report = {
            "step": trainer.step,
            "tokens": trainer.tokens,
            "seconds": round(trainer.seconds),
            "loss": round(float(torch.stack(losses).mean()), 4),
        }
        for task, held_out in checked.items():
            report[task] = round(exact_share(trainer.average, tokenizer, held_out), 3)
        print(json.dumps(report), flush=True)
    return checkpoint


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/pocket"))
    parser.add_argument("--steps", type=int, default=Recipe().steps)
    arguments = parser.parse_args()
    train(Recipe(steps=arguments.steps), ModelShape(), arguments.folder)


if __name__ == "__main__":
    main()
