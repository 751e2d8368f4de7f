"""Files of Requests as they are handed in, with an exact share of prompt tokens that begin alike.

A token is a character here, or one of the marks around a message: the tokenizer of `benchmarks.models` sees
it the same way. Of a file's prompt tokens those are *shared* that lie on a path of the trie of prompts which
another Request goes too, counted once less than they are there: what an engine that forgets nothing need not
compute.

    python -m benchmarks.workloads documents --shared 0.8 --requests 1000 --seed 7 --output requests.jsonl
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from benchmarks.models import END, TURNS
from halfrate.domain.request import Message, Request, Role, Sampling

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WORDS = tuple(first + vowel + last for first in "bdfgklmnprst" for vowel in "aeiou" for last in "lnrst")
_TURN = {Role.SYSTEM: "system", Role.USER: "user", Role.MODEL: "assistant"}
_MARK = {mark: chr(number) for number, mark in enumerate([END, *TURNS.values()])}  # no text has these


@dataclass(frozen=True, slots=True)
class Spec:
    """What a workload is like.

    Prompts branch at as many levels as there are ``groups``: so many ways, each with a text of as many
    ``tokens``. At the end every Request has a text of its own, of at least ``own_tokens``. ``shared`` is the
    share of all prompt tokens that begin alike. ``skew`` makes groups uneven: the n-th is smaller than the
    first by the factor n ** skew. ``twins`` is the part of the Requests that ask what another asks.
    ``speakers`` says whose the texts are, one for each level and one for the end; neighbours of one speaker
    are one message.
    """

    name: str
    says: str
    requests: int
    shared: Fraction
    groups: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    own_tokens: int = 16
    output_tokens: int = 8
    skew: float = 0.0
    twins: Fraction = Fraction(0)
    speakers: tuple[Role, ...] = (Role.USER,)

    def smaller(self, times: int) -> Spec:
        """Return the same with so many times fewer Requests, and groups at the first level."""
        groups = (max(1, self.groups[0] // times), *self.groups[1:]) if self.groups else ()
        return replace(self, requests=self.requests // times, groups=groups)


@dataclass(frozen=True)
class Workload:
    """Requests in the order of their file."""

    spec: Spec
    requests: tuple[Request, ...]

    @cached_property
    def total(self) -> int:
        """Tokens of all prompts."""
        return sum(map(len, self._prompts))

    @cached_property
    def shared(self) -> int:
        """Tokens that another prompt has in the same place, after the same beginning: see `shared_tokens`."""
        return shared_tokens(self._prompts)

    @cached_property
    def distinct(self) -> int:
        """Requests that are no twin of another."""
        return len(set(self._prompts))

    @cached_property
    def prefix_tokens(self) -> int:
        """Tokens that Requests which differ begin with together: a cache that holds them misses nothing."""
        lengths = _common_lengths(sorted(set(self._prompts)))
        return sum(max(0, length - before) for before, length in pairwise([0, *lengths]))

    def reachable(self, block_tokens: int) -> int:
        """Return the shared tokens that can be had from a cache that holds whole blocks; all of a twin's."""
        return sum(
            len(prompt) if prompt == before else length - length % block_tokens
            for (before, prompt), length in zip(
                pairwise(self._prompts), _common_lengths(self._prompts), strict=True
            )
        )

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the file, each with its end. Keys count them from 0."""
        for number, request in enumerate(self.requests):
            yield json.dumps({"key": str(number), "request": _body(request)}).encode() + b"\n"

    @cached_property
    def _prompts(self) -> list[str]:
        return sorted(map(tokens_of, self.requests))


def make(spec: Spec, *, seed: int) -> Workload:
    """Return a workload; equal arguments make equal ones.

    Its shared share is the one asked for, to the token. Raise `ValueError` if no length of the Requests' own
    texts makes it so.
    """
    chance = random.Random(f"{spec.name} {seed}")
    twins = round(spec.requests * spec.twins)
    paths = list(_paths(spec, spec.requests - twins))
    copied = [chance.randrange(len(paths)) for _ in range(twins)]
    own_tokens = [spec.own_tokens] * len(paths)

    def requests() -> list[Request]:
        made = [_request(spec, seed, path, own) for path, own in zip(paths, own_tokens, strict=True)]
        return made + [made[position] for position in copied]

    # A token more in a text that only one Request has is a token more in all, and none more that is shared.
    shortest = list(map(tokens_of, requests()))
    total, shared = sum(map(len, shortest)), shared_tokens(shortest)
    more = round(shared / spec.shared) - total
    alone = sorted(set(range(len(paths))) - set(copied))
    if more < 0 or not alone:
        raise ValueError(f"of {spec.name}, {shared / total:.3f} is shared at most, not {float(spec.shared)}")
    for nth, position in enumerate(alone):
        own_tokens[position] += more // len(alone) + (nth < more % len(alone))
    shuffled = requests()
    chance.shuffle(shuffled)
    workload = Workload(spec, tuple(shuffled))
    assert abs(workload.shared - spec.shared * workload.total) < 1, (
        "the shared share is not the one asked for"
    )
    return workload


def alike(workload: Workload, count: int, *, output_tokens: int, seed: int) -> list[Request]:
    """Return so many Requests as long as the workload's, that share nothing worth a cache."""
    chance = random.Random(seed)
    lengths = [len(tokens_of(request)) - 3 for request in chance.sample(workload.requests, count)]
    sampling = Sampling(temperature=0.0, max_output_tokens=output_tokens)
    return [
        Request((Message(Role.USER, _text(f"{seed} {number}", number, count, length)),), sampling)
        for number, length in enumerate(lengths)
    ]


def tokens_of(request: Request) -> str:
    """Return the prompt that the model reads, a character for each token."""
    turns = [_MARK[TURNS[_TURN[message.role]]] + message.text + _MARK[END] for message in request.messages]
    return "".join(turns) + _MARK[TURNS["assistant"]]


def shared_tokens(prompts: Sequence[str]) -> int:
    """Return by how many tokens all prompts together exceed their trie.

    In sorted order, a prompt adds to the trie what it does not share with the one before it.
    """
    return sum(_common_lengths(sorted(prompts)))


def _common_lengths(prompts: Sequence[str]) -> list[int]:
    return [common_length(one, other) for one, other in pairwise(prompts)]


def common_length(one: str, other: str) -> int:
    """Return how many tokens two prompts begin with alike."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _paths(spec: Spec, count: int, at: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Yield which way each of ``count`` Requests goes at every level, and which it is at the end."""
    if len(at) == len(spec.groups):
        yield from ((*at, number) for number in range(count))
        return
    for way, part in enumerate(_split(count, spec.groups[len(at)], spec.skew)):
        yield from _paths(spec, part, (*at, way))


def _split(count: int, ways: int, skew: float) -> list[int]:
    weights = [(way + 1) ** -skew for way in range(ways)]
    borders = [round(count * sum(weights[: way + 1]) / sum(weights)) for way in range(ways)]
    return [border - before for before, border in pairwise([0, *borders])]


def _request(spec: Spec, seed: int, path: tuple[int, ...], own_tokens: int) -> Request:
    ways, tokens = (*spec.groups, spec.requests), (*spec.tokens, own_tokens)
    texts = [
        _text(f"{spec.name} {seed} {path[: level + 1]}", path[level], ways[level], tokens[level])
        for level in range(len(path))
    ]
    said = groupby(zip(spec.speakers, texts, strict=True), key=lambda each: each[0])
    messages = tuple(Message(speaker, "\n".join(text for _, text in parts)) for speaker, parts in said)
    return Request(messages, Sampling(temperature=0.0, max_output_tokens=spec.output_tokens))


def _text(seed: str, number: int, of: int, tokens: int) -> str:
    """Return a text of so many tokens that none of its siblings begins like."""
    chance = random.Random(seed)
    words = " ".join(chance.choices(_WORDS, k=tokens // 4 + 1))
    return f"{_letters(number, of)} {words}"[:tokens]


def _letters(number: int, of: int) -> str:
    """Return a number as letters, all as many as the largest needs."""
    letters = ""
    while of > 1:
        number, last = divmod(number, len(_LETTERS))
        letters, of = _LETTERS[last] + letters, -(-of // len(_LETTERS))
    return letters


def _body(request: Request) -> dict[str, object]:
    sampling = request.sampling
    turns = [m for m in request.messages if m.role is not Role.SYSTEM]
    body: dict[str, object] = {
        "contents": [{"role": str(m.role.value), "parts": [{"text": m.text}]} for m in turns],
        "generationConfig": {"temperature": 0, "maxOutputTokens": sampling.max_output_tokens},
    }
    if len(turns) < len(request.messages):
        body["systemInstruction"] = {"parts": [{"text": request.messages[0].text}]}
    return body


WORKLOADS = {
    spec.name: spec
    for spec in (
        Spec(
            "documents",
            "questions about documents, the document first",
            requests=320,
            shared=Fraction("0.84"),
            groups=(40,),
            tokens=(500,),
            speakers=(Role.USER, Role.USER),
        ),
        Spec(
            "few-shot",
            "tasks that begin with their examples",
            requests=384,
            shared=Fraction("0.8"),
            groups=(32,),
            tokens=(360,),
            speakers=(Role.USER, Role.USER),
        ),
        Spec(
            "classification",
            "short texts under one long system prompt",
            requests=480,
            shared=Fraction("0.95"),
            groups=(1,),
            tokens=(1_200,),
            output_tokens=2,
            speakers=(Role.SYSTEM, Role.USER),
        ),
        Spec(
            "table",
            "rows of a table whose first columns repeat",
            requests=480,
            shared=Fraction("0.75"),
            groups=(12, 5, 4),
            tokens=(120, 100, 80),
            speakers=(Role.USER,) * 4,
        ),
        Spec(
            "chat",
            "conversations with common openings, some far more common than others",
            requests=240,
            shared=Fraction("0.7"),
            groups=(16, 3, 1),
            tokens=(200, 60, 180),
            output_tokens=16,
            skew=0.8,
            speakers=(Role.SYSTEM, Role.USER, Role.MODEL, Role.USER),
        ),
        Spec(
            "distinct",
            "prompts that have nothing in common",
            requests=480,
            shared=Fraction("0.015"),
            own_tokens=96,
            output_tokens=16,
        ),
        Spec(
            "twins",
            "the same, but three in ten ask what another asks",
            requests=480,
            shared=Fraction("0.3"),
            own_tokens=128,
            output_tokens=16,
            twins=Fraction("0.3"),
        ),
    )
}
"""By name, W1 to W7."""


def main() -> int:
    """Write a workload to a file, or to standard output."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=WORKLOADS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--requests", type=int)
    parser.add_argument("--shared", type=Fraction, help="such as 0.8")
    parser.add_argument("--groups", type=int, nargs="+", help="ways at each level")
    parser.add_argument("--tokens", type=int, nargs="+", help="tokens of a text at each level")
    parser.add_argument("--twins", type=Fraction)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    asked: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(options).items()
        if name not in ("name", "seed", "output") and value is not None
    }
    workload = make(replace(WORKLOADS[options.name], **asked), seed=options.seed)
    with options.output.open("wb") if options.output else sys.stdout.buffer as file:
        file.writelines(workload.lines())
    say = f"{len(workload.requests)} requests of {workload.total} tokens, {workload.shared} of them shared"
    print(say, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
