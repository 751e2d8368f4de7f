"""Lines that are nearly right: good ones from a grammar and bad ones from the corpus, mutated by one seed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

CORPUS = Path(__file__).parents[1] / "wire" / "bad_lines"
CORPUS_LINE_BYTES_MAX = 4_096

_TEXTS = (
    "Hello",
    "",
    "a\nb",
    "Zoë \u0085\u2028",
    "😀",
    'say "request"',
    "{[",
    "\\",
    "\x7f",
    "</s><|im_end|>",
    "x" * 200,
)
_NUMBERS = (0, -0.0, 1, 0.5, 2, -1, 1e300, 2**31, 2**63, 10**25, "1", "0.5", "NaN", "Infinity", True, None)
_SCHEMAS: tuple[object, ...] = (
    {"type": "STRING"},
    {"type": "OBJECT", "properties": {"a": {"type": "INTEGER", "minimum": 1}}, "property_ordering": ["a"]},
    {"type": "ARRAY", "items": {"type": "STRING", "enum": ["x", "y"]}, "maxItems": "3"},
    {"anyOf": [{"type": "NULL"}, {"type": "NUMBER"}]},
    [],
    "STRING",
)
_NAMES = (b'"request"', b'"key"', b'"metadata"', b'"contents"', b'"parts"', b'"text"')
_JSON = (
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"NaN",
    b"-Infinity",
    b"1e400",
    b"-0",
)
_LARGE = (b"9" * 30, b"9" * 5_000, b'{"a":' * 101, b"[" * 200, b"}" * 101)
_ESCAPES = (b"\\u0000", b"\\ud800", b"\\udc00", b"\\ud83d\\ude00", b"\\u0065")
_BYTES = (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xc2\x85", b"\0", b"\r")
_SLIPS = (b"\t", b"\x0b", b" ", b"'", b"//", b"#", b'"a":1,')
_TOKENS = (*_NAMES, *_JSON)
_WORDS = (*_TOKENS, *_LARGE, *_ESCAPES, *_BYTES, *_SLIPS)


class Lines:
    """An endless supply. The same seed gives the same lines on every machine."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._corpus = [
            line
            for path in sorted(CORPUS.glob("*.jsonl"))
            for line in path.read_bytes().split(b"\n")
            if line and len(line) <= CORPUS_LINE_BYTES_MAX
        ]

    def __iter__(self) -> Iterator[bytes]:
        while True:
            line = self.line()
            for _ in range(self._chance.choice((0, 0, 0, 1, 1, 2, 6))):
                line = self._mutated(line)
            yield line

    def line(self) -> bytes:
        """A good line, or one of the corpus."""
        if self._chance.random() < 0.2:
            return self._chance.choice(self._corpus)
        document = self._keyed() if self._chance.random() < 0.7 else self.request()
        escaped = self._chance.random() < 0.5
        return json.dumps(document, ensure_ascii=escaped).encode()

    def request(self) -> dict[str, object]:
        """A request that is right, or nearly."""
        request: dict[str, object] = {"contents": [self._content() for _ in range(self._few())]}
        chosen = self._chance.random()
        if chosen < 0.4:
            request[self._spelled("generation_config")] = self._config()
        if chosen < 0.1:
            request[self._spelled("system_instruction")] = self._content()
        if chosen > 0.95:
            request["tools"] = [{"googleSearch": {}}]
        return request

    def _keyed(self) -> dict[str, object]:
        document: dict[str, object] = {"key": self._chance.choice(_TEXTS), "request": self.request()}
        if self._chance.random() < 0.2:
            document["metadata"] = {self._chance.choice(_TEXTS): self._chance.choice((*_NUMBERS, *_TEXTS))}
        return document

    def _content(self) -> dict[str, object]:
        content: dict[str, object] = {
            "parts": [{"text": self._chance.choice(_TEXTS)} for _ in range(self._few())]
        }
        if self._chance.random() < 0.5:
            content["role"] = self._chance.choice(("user", "user", "model", "wizard"))
        return content

    def _config(self) -> dict[str, object]:
        values: dict[str, object] = {
            "temperature": self._chance.choice(_NUMBERS),
            "top_p": self._chance.choice(_NUMBERS),
            "top_k": self._chance.choice(_NUMBERS),
            "max_output_tokens": self._chance.choice(_NUMBERS),
            "seed": self._chance.choice(_NUMBERS),
            "stop_sequences": [self._chance.choice(_TEXTS)],
            "response_mime_type": "application/json",
            "response_schema": self._chance.choice(_SCHEMAS),
            "response_json_schema": self._chance.choice(_SCHEMAS),
        }
        names = self._chance.sample(sorted(values), self._few())
        return {self._spelled(name): values[name] for name in names}

    def _spelled(self, name: str) -> str:
        if self._chance.random() < 0.5:
            return name
        head, *rest = name.split("_")
        return head + "".join(word.title() for word in rest)

    def _few(self) -> int:
        return self._chance.choice((1, 1, 1, 2, 3))

    def _mutated(self, line: bytes) -> bytes:
        place, other = sorted(self._chance.choices(range(len(line) + 1), k=2))
        match self._chance.randrange(9):
            case 0:  # a bit flips
                if place == len(line):
                    return line
                flipped = line[place] ^ (1 << self._chance.randrange(8))
                return line[:place] + bytes([flipped]) + line[place + 1 :]
            case 1:  # cut off
                return line[:place]
            case 2:  # a piece is lost
                return line[:place] + line[other:]
            case 3:  # a piece comes twice
                return line[:other] + line[place:other] + line[other:]
            case 4:  # the beginning of one, the end of another
                end = self._chance.choice(self._corpus)
                return line[:place] + end[self._chance.randrange(len(end) + 1) :]
            case 5:  # in place of a piece, something odd
                return line[:place] + self._chance.choice(_WORDS) + line[other:]
            case 6:  # one token becomes another
                return line.replace(self._chance.choice(_TOKENS), self._chance.choice(_WORDS), 1)
            case 7:  # deeper
                depth = self._chance.choice((1, 5, 50, 95, 101))
                return line[:place] + b'{"a":' * depth + line[place:] + b"}" * depth
            case _:
                return line[:place] + self._chance.choice(_WORDS) + line[place:]
