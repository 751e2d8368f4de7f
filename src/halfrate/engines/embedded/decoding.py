"""How a Request wants to be answered, in the pipeline's terms; and where its answer ends."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from halfrate.domain.request import Choice, Request, Sampling
from halfrate.engines.embedded import calls
from halfrate.engines.embedded.grammar import Grammar, structured

if TYPE_CHECKING:
    from openvino_genai import GenerationConfig

# Colder than this, the pipeline divides by something too near 0; the outcome is greedy all the same.
_TEMPERATURE_MIN = 0.01
_TOP_P_MIN = 1e-6
HALF_CHARACTER = "\ufffd"  # what bytes become that are no whole character, or not yet


def configure(
    config: GenerationConfig,
    sampling: Sampling,
    grammar: Grammar | None,
    *,
    index: int,
    default_temperature: float,
    output_tokens: int,
) -> GenerationConfig:
    """Fill in a copy of the model's own defaults. What ``sampling`` leaves open stays the model's choice.

    ``index`` is that of the Candidate: with a seed, each is sampled from one of its own.
    """
    config.max_new_tokens = output_tokens
    config.apply_chat_template = False
    temperature = default_temperature if sampling.temperature is None else sampling.temperature
    if temperature > 0:
        _sample(config, sampling, temperature, index)
    else:
        config.do_sample = False
    if sampling.presence_penalty is not None:
        config.presence_penalty = sampling.presence_penalty
    if sampling.frequency_penalty is not None:
        config.frequency_penalty = sampling.frequency_penalty
    if sampling.logprobs is not None:
        config.logprobs = 1  # more is taken, and not told
    if grammar is not None:
        config.structured_output_config = structured(grammar)
    return config


def _sample(config: GenerationConfig, sampling: Sampling, temperature: float, index: int) -> None:
    config.do_sample = True
    config.temperature = max(temperature, _TEMPERATURE_MIN)
    if sampling.top_p is not None:
        config.top_p = max(sampling.top_p, _TOP_P_MIN)
    if sampling.top_k is not None:
        config.top_k = sampling.top_k
    # Every Request has a generator of its own in the pipeline, seeded with 0 unless told otherwise: without
    # this line all unseeded Requests would draw the same numbers.
    seed = secrets.randbits(32) if sampling.seed is None else sampling.seed + index
    config.rng_seed = seed % 2**64


class Watch(Protocol):
    """Notices where an answer ends that the pipeline would go on with."""

    def ended(self, tokens: list[int]) -> bool:
        """Whether the answer has ended by now, given that it had not one token ago."""
        ...

    def cut(self, text: str) -> tuple[str, bool]:
        """The text up to its end, and whether it has one."""
        ...

    def sure(self, text: str) -> str:
        """What `cut` leaves of every text that begins so."""
        ...


def watches(request: Request, decode: Callable[[list[int]], str]) -> tuple[Watch, ...]:
    """What must be looked out for in the answer to this Request, in the order to cut it in."""
    sampling, functions = request.sampling, request.functions
    watched: list[Watch] = []
    stop = tuple(filter(None, sampling.stop))  # every text holds the empty string
    said: Callable[[str], str] = str
    if functions is not None and functions.choice is Choice.NONE:
        stop = (*stop, calls.BEGIN)
    elif functions is not None:
        watched.append(RepeatWatch(decode) if functions.choice is Choice.ANY else CallWatch())
        said = said_beside_calls
    if stop:
        watched.append(StopWatch(stop, decode, said))
    if sampling.json_schema is not None:
        watched.append(JsonWatch(decode))
    return tuple(watched)


def said_beside_calls(answer: str) -> str:
    """The text of an answer that may hold function calls."""
    return calls.read(answer).text


class CallWatch:
    """Keeps function calls out of what is said. They end nothing: there may be more."""

    def ended(self, tokens: list[int]) -> bool:
        """Never."""
        return False

    def cut(self, text: str) -> tuple[str, bool]:
        """The text beside the calls."""
        return said_beside_calls(text), False

    def sure(self, text: str) -> str:
        """The text beside the calls, without what may become the mark of one."""
        return said_beside_calls(text[: len(text) - begun(text, calls.BEGIN)])


class RepeatWatch(CallWatch):
    """Watches for a call that was made before: a weak model that must call may repeat it until its bound."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        # A character takes at most four tokens, and what follows the mark in its last one is cut.
        self._tail_tokens = 4 * len(calls.END)

    def ended(self, tokens: list[int]) -> bool:
        """Whether a call that is complete now is one that was made before."""
        if calls.END not in self._decode(tokens[-self._tail_tokens :]):
            return False
        made = calls.read(self._decode(tokens)).calls
        return len(calls.before_repeat(made)) < len(made)


class StopWatch:
    """Watches an answer grow for the strings that end it.

    The pipeline has stop strings too, but looks only at as many last tokens as the string itself is long
    when encoded alone. A model that spells it with other tokens runs on, and a token that holds more than
    the string's beginning leaves a piece of it in the answer.
    """

    def __init__(
        self, stop: Sequence[str], decode: Callable[[list[int]], str], said: Callable[[str], str] = str
    ) -> None:
        self._stop = tuple(stop)
        self._decode = decode
        self._said = said  # of what is decoded, the part that may hold them
        # A character takes at most four tokens, one for each of its bytes.
        self._tail_tokens = 4 * max(map(len, stop), default=0) + 8

    def ended(self, tokens: list[int]) -> bool:
        """Whether the answer so far holds a stop string, given that it held none one token ago."""
        tail = self._decode(tokens[-self._tail_tokens :])
        # The tail may begin in the middle of a character, so only the whole text counts.
        return self._find(tail) is not None and self._find(self._said(self._decode(tokens))) is not None

    def cut(self, text: str) -> tuple[str, bool]:
        """The text before the first stop string, and whether there was one."""
        found = self._find(text)
        return (text, False) if found is None else (text[:found], True)

    def sure(self, text: str) -> str:
        """The text before the first stop string, or before what may become one."""
        text, ended = self.cut(text)
        return text if ended else text[: len(text) - max(begun(text, stop) for stop in self._stop)]

    def _find(self, text: str) -> int | None:
        places = [place for stop in self._stop if (place := text.find(stop)) >= 0]
        return min(places, default=None)


class JsonWatch:
    """Watches for white space after a complete JSON text, which a weak model may write until its bound.

    The grammar allows white space between any two tokens of JSON, and the pipeline offers no switch for that.
    """

    _BLANK_TOKENS = 8

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode

    def ended(self, tokens: list[int]) -> bool:
        """Whether a complete JSON text is followed by a few tokens of nothing."""
        if len(tokens) <= self._BLANK_TOKENS or not self._decode(tokens[-self._BLANK_TOKENS :]).isspace():
            return False
        return _complete(self._decode(tokens))

    def cut(self, text: str) -> tuple[str, bool]:
        """The text without white space before it, and after it too if it is complete."""
        return (text.strip(), True) if _complete(text) else (text.lstrip(), False)

    def sure(self, text: str) -> str:
        """The text without the white space around it."""
        return text.strip()


def begun(text: str, mark: str) -> int:
    """How many characters at the end of the text are the beginning of the mark, and not all of it."""
    lengths = range(min(len(text), len(mark) - 1), 0, -1)
    return next((length for length in lengths if text.endswith(mark[:length])), 0)


class Unfolding:
    """The text of an answer that grows by tokens. Each call costs the decoding of a few.

    It says no character before it is whole. A window of tokens is decoded twice, without and with what is
    new, because some tokenizers decode a token otherwise where a text begins.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._text = ""
        self._window = 0  # where it begins
        self._decoded = 0  # so many tokens are in the text

    def text(self, tokens: list[int]) -> str:
        """What these tokens say, which begin with those of the last call."""
        before = self._decode(tokens[self._window : self._decoded])
        now = self._decode(tokens[self._window :])
        if len(now) > len(before) and not now.endswith(HALF_CHARACTER):
            self._text += now[len(before) :]
            self._window, self._decoded = self._decoded, len(tokens)
        return self._text


def _complete(text: str) -> bool:
    """Whether this is JSON that nothing but white space can follow. A number could go on."""
    text = text.strip()
    if not text.endswith(("}", "]", '"')):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
