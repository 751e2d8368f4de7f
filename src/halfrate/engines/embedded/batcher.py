"""Feeds the pipeline, turn by turn: encode what is new, let in who may enter, step, hand out answers.

Everything here runs in one thread, on purpose. The pipeline's ``step()`` and its tokenizer hold Python's
interpreter lock from beginning to end, so a second thread would run only between steps anyway; and
``add_request`` changes the block tables that ``step()`` reads. Nor is there much to win: all but one to three
hundredths of the time are spent in ``step()``.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from halfrate.domain.outcome import Answered, Candidate, Cause, Delta, Finish, TokenLogprob
from halfrate.domain.request import FunctionCall, Request, Sampling
from halfrate.domain.usage import Usage
from halfrate.engines.api import Ability
from halfrate.engines.embedded import calls, native, protocol, thinking
from halfrate.engines.embedded.admission import Admission, Applicant, Entry
from halfrate.engines.embedded.decoding import HALF_CHARACTER, Unfolding, Watch, configure, watches
from halfrate.engines.embedded.grammar import Grammar, GrammarProbe, grammar_of
from halfrate.engines.embedded.loading import Model, reason
from halfrate.engines.embedded.prefix import chain
from halfrate.engines.embedded.prompts import BadPrompt, Prompt, Prompts
from halfrate.engines.embedded.schema import BadSchema, UnenforcedSchema
from halfrate.engines.embedded.settings import EmbeddedSettings

if TYPE_CHECKING:
    from openvino_genai import GenerationHandle

# Between two steps at most this long is spent on encoding new prompts: those decoding should not wait for
# them.
_PREPARE_SECONDS = 0.02
_BEAT_SECONDS = 1.0

ABILITIES = frozenset({Ability.CANDIDATES, Ability.CHOICES, Ability.FUNCTIONS, Ability.LOGPROBS})
"""What can be asked of any model here."""


@dataclass(slots=True)
class _Question:
    """An Ask, encoded and checked, until all its Candidates are there. ``left`` are the sequences under way.

    Each Candidate is a sequence of its own to the pipeline, which has the prompt from the first one's
    computing. The pipeline can make several by itself, but tells them only when all are complete, and loses
    track of a Grammar among them.
    """

    id: int
    request: Request
    streamed: bool
    prompt: Prompt
    grammar: Grammar | None
    output_tokens: int
    left: set[int] = field(default_factory=set)
    candidates: dict[int, Candidate] = field(default_factory=dict)
    written_tokens: int = 0
    cached_tokens: int = 0

    @property
    def sampling(self) -> Sampling:
        return self.request.sampling


@dataclass(slots=True)
class _Stream:
    """An answer that somebody reads as it is written; ``told`` is how much of it is sent."""

    unfolding: Unfolding
    told: int = 0


@dataclass(slots=True)
class _Running:
    """In the pipeline. ``written`` is read early only for first tokens, by watches, and for a stream."""

    question: _Question
    index: int
    handle: GenerationHandle
    decode: Callable[[list[int]], str]
    watches: tuple[Watch, ...]
    stream: _Stream | None
    thinking: bool  # what is written is a thought, and the answer comes after it
    prefilled: bool = False
    finish: Finish = Finish.STOP
    written: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    thought: str = ""
    thought_tokens: int = 0


class Batcher:
    """Owns the model. ``send`` is called with every message for the server, from inside `turn`."""

    def __init__(
        self, model: Model, settings: EmbeddedSettings, send: Callable[[protocol.FromChild], None]
    ) -> None:
        self._model = model
        self._settings = settings
        self._send = send
        self._prompts = Prompts(model.tokenizer, settings.template_options)
        self._probe = GrammarProbe()
        self._admission = Admission(
            sequences_max=settings.sequences_max,
            blocks_total=model.blocks_total,
            prefix_caching=settings.prefix_caching,
        )
        self._new: tuple[deque[protocol.Ask], deque[protocol.Ask]] = (deque(), deque())  # interactive, batch
        self._questions: dict[int, _Question] = {}  # by the id of the Ask
        self._last_id = 0  # of a sequence
        self._waiting: dict[int, tuple[_Question, int]] = {}  # by the id of a sequence: which Candidate it is
        self._running: dict[int, _Running] = {}
        self._leaving: list[int] = []  # cancelled; their blocks are free after the next step
        self._steps = 0
        self._beat_at = 0.0

    @property
    def thinks(self) -> bool:
        """Whether the model thinks before it answers, when it is told to."""
        return self._prompts.thinks

    @property
    def busy(self) -> bool:
        """Whether `turn` has anything to do."""
        return bool(any(self._new) or self._waiting or self._running or self._leaving)

    def take(self, message: protocol.ToChild) -> None:
        """Accept one message. Cheap, except a `Count`, which is answered at once."""
        match message:
            case protocol.Ask(interactive=interactive):
                self._new[0 if interactive else 1].append(message)
            case protocol.Count(id=id, request=request):
                self._count(id, request)
            case protocol.Embed(id=id) | protocol.CountText(id=id):
                detail = "This model writes text and makes no embeddings. Ask an embedding model."
                self._send(protocol.Refused(id, Cause.UNSUPPORTED, detail))
            case protocol.Cancel(id=id):
                self._cancel(id)
            case protocol.Load():
                raise protocol.BadFrame("a second Load")

    def turn(self) -> None:
        """Make one round. Raise one of `native.ERRORS` when the pipeline failed; it is of no use then."""
        self._prepare()
        self._let_in()
        if self._running or self._leaving:
            self._step()
        self._beat()

    def _prepare(self) -> None:
        until = time.monotonic() + _PREPARE_SECONDS
        while any(self._new):
            ask = (self._new[0] or self._new[1]).popleft()
            try:
                self._offer(ask)
            except _Refusal as refusal:
                self._send(protocol.Refused(ask.id, refusal.cause, refusal.detail))
            if self._running and time.monotonic() > until:
                return

    def _offer(self, ask: protocol.Ask) -> None:
        question = self._encode(ask)
        self._check(question.grammar)
        self._questions[ask.id] = question
        keys = chain(question.prompt.tokens)
        for index in range(question.sampling.candidates):
            self._last_id += 1
            question.left.add(self._last_id)
            self._waiting[self._last_id] = question, index
            self._admission.offer(
                Applicant(
                    id=self._last_id,
                    prompt_tokens=len(question.prompt.tokens),
                    output_tokens=question.output_tokens,
                    keys=keys,
                    interactive=ask.interactive,
                )
            )

    def _encode(self, ask: protocol.Ask) -> _Question:
        request = ask.request
        prompt = self._prompt(request)
        context = self._model.context_tokens
        room = context - len(prompt.tokens)
        if room < 1:
            raise _Refusal(
                Cause.TOO_LONG,
                f"A prompt of {len(prompt.tokens)} tokens leaves no room for an answer in the context of "
                f"{context} tokens of {self._model.name}. Shorten the prompt, or use a model with a larger "
                "context.",
            )
        # A bound is not a wish: an answer that would outgrow the context ends there, as one of LENGTH.
        asked = request.sampling.max_output_tokens or self._settings.output_tokens_default
        return _Question(ask.id, request, ask.streamed, prompt, grammar_of(request), min(asked, room))

    def _prompt(self, request: Request) -> Prompt:
        try:
            prompt = self._prompts.prompt(request)
        except BadPrompt as error:
            raise _Refusal(Cause.INVALID, _sentence(str(error))) from error
        except native.ERRORS as error:
            _end_if_out_of_memory(error)
            raise _Refusal(Cause.INVALID, f"The prompt cannot be encoded: {reason(error)}") from error
        if not prompt.tokens:
            raise _Refusal(Cause.INVALID, "The prompt is empty.")
        return prompt

    def _check(self, grammar: Grammar | None) -> None:
        if grammar is None:
            return
        try:
            self._probe.check(grammar)
        except BadSchema as error:
            raise _Refusal(Cause.INVALID, _sentence(str(error))) from error
        except UnenforcedSchema as error:
            raise _Refusal(Cause.UNSUPPORTED, _sentence(str(error))) from error

    def _count(self, id: int, request: Request) -> None:
        try:
            self._send(protocol.Counted(id, len(self._prompt(request).tokens)))
        except _Refusal as refusal:
            self._send(protocol.Refused(id, refusal.cause, refusal.detail))

    def _let_in(self) -> None:
        for entry in self._admission.admit():
            if entry.id not in self._waiting:  # another Candidate was refused a moment ago, and all with it
                self._admission.left(entry.id)
                continue
            question, index = self._waiting.pop(entry.id)
            try:
                self._running[entry.id] = self._enter(entry, question, index)
            except native.ERRORS as error:  # a value the pipeline does not accept
                _end_if_out_of_memory(error)
                self._admission.left(entry.id)
                detail = f"The engine does not accept the Request: {reason(error)}"
                self._refuse(question, Cause.INVALID, detail)

    def _enter(self, entry: Entry, question: _Question, index: int) -> _Running:
        if index == 0:
            question.cached_tokens = entry.cached_tokens
        if question.prompt.thinking:
            return self._think(entry.id, question, index)
        return self._begin(entry.id, question, index, question.prompt.tokens, question.output_tokens)

    def _think(self, id: int, question: _Question, index: int) -> _Running:
        """Let it write a thought."""
        tokens, bound = question.prompt.tokens, thinking.bound(question.sampling, question.output_tokens)
        decode = self._prompts.text
        return _Running(
            question,
            index,
            handle=self._add(id, question, index, tokens, bound, is_thought=True),
            decode=decode,
            watches=(),
            stream=_Stream(Unfolding(decode)) if question.streamed else None,
            thinking=True,
        )

    def _begin(
        self, id: int, question: _Question, index: int, tokens: list[int], output_tokens: int
    ) -> _Running:
        """Let it write its answer, after these tokens."""
        decode = self._prompts.text if question.request.functions is None else self._prompts.marked_text
        return _Running(
            question,
            index,
            handle=self._add(id, question, index, tokens, output_tokens),
            decode=decode,
            watches=watches(question.request, decode),
            stream=_Stream(Unfolding(decode)) if question.streamed else None,
            thinking=False,
        )

    def _add(
        self,
        id: int,
        question: _Question,
        index: int,
        tokens: list[int],
        output_tokens: int,
        *,
        is_thought: bool = False,
    ) -> GenerationHandle:
        config = configure(
            self._model.pipeline.get_config(),
            question.sampling,
            None if is_thought else question.grammar,
            index=index,
            default_temperature=self._model.default_temperature,
            output_tokens=output_tokens,
        )
        if is_thought:
            config.stop_token_ids |= {self._prompts.end_of_thought}
        handle: GenerationHandle = self._model.pipeline.add_request(id, native.tensor(tokens), config)
        return handle

    def _step(self) -> None:
        self._model.pipeline.step()
        self._steps += 1
        self._free(self._leaving)
        for id, running in list(self._running.items()):
            if id in self._running:  # else it was dropped with another Candidate
                self._look_at(id, running)

    def _free(self, leaving: list[int]) -> None:
        for id in leaving:
            self._admission.left(id)
        leaving.clear()

    def _look_at(self, id: int, running: _Running) -> None:
        """Read what a step wrote for one Request, as far as somebody must know."""
        finished = running.handle.get_status() != native.genai().GenerationStatus.RUNNING
        if not running.prefilled or running.watches or running.stream or finished:
            new = self._read(running)
            if new and not running.prefilled:
                running.prefilled = True
                self._admission.prefilled(id)
        if finished:
            self._finish(id, running)
        elif any(watch.ended(running.written) for watch in running.watches):
            self._stop(id, running)
        elif running.stream is not None:
            self._tell(running, running.stream)

    def _tell(self, running: _Running, stream: _Stream) -> None:
        """Send what is final by now, and not sent yet."""
        if running.thinking and not running.question.sampling.include_thoughts:
            return
        text = stream.unfolding.text(running.written)
        for watch in running.watches:
            text = watch.sure(text)
        if running.thinking:
            text = text.strip()
        if len(text) > stream.told:
            more, index = text[stream.told :], running.index
            delta = Delta(thought=more, index=index) if running.thinking else Delta(more, index=index)
            self._send(protocol.Wrote(running.question.id, (delta,)))
            stream.told = len(text)

    def _read(self, running: _Running) -> bool:
        """Take over what was written since the last time. Whether that was anything."""
        before = len(running.written)
        reasons = native.genai().GenerationFinishReason
        while running.handle.can_read():
            for output in running.handle.read().values():
                running.written.extend(output.generated_ids)
                running.logprobs.extend(output.generated_log_probs)
                if output.finish_reason == reasons.LENGTH:
                    running.finish = Finish.LENGTH
        return len(running.written) > before

    def _stop(self, id: int, running: _Running) -> None:
        """End an answer that the pipeline would go on with."""
        running.handle.cancel()
        del self._running[id]
        self._leaving.append(id)
        self._answered(id, running)

    def _finish(self, id: int, running: _Running) -> None:
        if running.thinking and running.handle.get_status() == native.genai().GenerationStatus.FINISHED:
            answering = self._thought(id, running)
            if answering is not None:
                self._running[id] = answering
                return
        del self._running[id]
        self._admission.left(id)
        if running.handle.get_status() == native.genai().GenerationStatus.FINISHED:
            self._answered(id, running)
        else:
            # Admission leaves room for every token of everyone inside, so this is a fault of its bookkeeping.
            detail = "The engine's cache ran full while it worked on this Request."
            self._refuse(running.question, Cause.OVERLOADED, detail)

    def _thought(self, id: int, running: _Running) -> _Running | None:
        """Let what has thought go on to its answer; None if there is no room left for one."""
        question, written = running.question, running.written
        is_ended = written[-1] == self._prompts.end_of_thought
        is_over = is_ended or written[-1] == self._model.tokenizer.get_eos_token_id()
        thought = written[:-1] if is_over else written
        if question.sampling.include_thoughts:
            running.thought = self._prompts.text(thought).strip().rstrip(HALF_CHARACTER)
        after = thinking.AFTER if is_ended else thinking.ENDED
        said = (written if is_ended else thought) + self._prompts.encoded(after)
        running.thought_tokens = min(len(said), question.output_tokens)
        room = question.output_tokens - len(said)
        running.written = []
        if room < 1:
            running.finish = Finish.LENGTH
            return None
        answering = self._begin(id, question, running.index, question.prompt.tokens + said, room)
        answering.prefilled = True
        answering.thought, answering.thought_tokens = running.thought, running.thought_tokens
        self._admission.exchanged(1)  # the block that was not full is computed again
        return answering

    def _answered(self, id: int, running: _Running) -> None:
        """Keep what was answered, and tell when it was the last that was left."""
        question = running.question
        question.candidates[running.index] = self._candidate(running)
        # Tokens computed, the end of text and those of a stop string among them: they cost as much.
        question.written_tokens += running.thought_tokens + len(running.written)
        question.left.discard(id)
        if question.left:
            return
        del self._questions[question.id]
        usage = Usage(len(question.prompt.tokens), question.written_tokens, question.cached_tokens)
        candidates = tuple(question.candidates[index] for index in sorted(question.candidates))
        self._send(protocol.Done(question.id, Answered(candidates, usage)))

    def _refuse(self, question: _Question, cause: Cause, detail: str) -> None:
        self._drop(question)
        self._send(protocol.Refused(question.id, cause, detail))

    def _candidate(self, running: _Running) -> Candidate:
        answer = running.decode(running.written) if running.written else ""
        text, finish = answer, running.finish
        for watch in running.watches:
            text, ended = watch.cut(text)
            finish = Finish.STOP if ended else finish
        if finish is Finish.LENGTH:
            text = text.rstrip(HALF_CHARACTER)  # what is left of a character cut in two by the bound
        question = running.question
        called: tuple[FunctionCall, ...] = ()
        if question.grammar is not None and question.grammar.functions:
            said = calls.read(answer)
            called = calls.before_repeat(said.calls) if question.grammar.must_call else said.calls
            if said.broken or (question.grammar.must_call and not called):
                finish = Finish.MALFORMED_CALL
        logprobs = () if question.sampling.logprobs is None else self._logprobs(running, text)
        return Candidate(text, finish, running.thought, running.thought_tokens, called, logprobs)

    def _logprobs(self, running: _Running, text: str) -> tuple[TokenLogprob, ...]:
        """Those of the tokens that make up the text, without what ended it."""
        written = running.written
        end = running.decode(written).find(text) + len(text)
        count = bisect_left(range(len(written)), end, key=lambda n: len(running.decode(written[:n])))
        steps = zip(written[:count], running.logprobs[:count], strict=True)
        return tuple(TokenLogprob(self._prompts.text([id]), id, logprob) for id, logprob in steps)

    def _drop(self, question: _Question) -> None:
        """Have nothing more to do with it."""
        del self._questions[question.id]
        for id in question.left:
            running = self._running.pop(id, None)
            if running is not None:
                running.handle.cancel()
                self._leaving.append(id)
            elif self._waiting.pop(id, None) is not None:
                self._admission.withdraw(id)

    def _cancel(self, id: int) -> None:
        question = self._questions.get(id)
        if question is not None:
            self._drop(question)
        else:
            for queue in self._new:
                for ask in [ask for ask in queue if ask.id == id]:
                    queue.remove(ask)

    def _beat(self) -> None:
        now = time.monotonic()
        if self.busy and now - self._beat_at < _BEAT_SECONDS:
            return
        self._beat_at = now
        waiting = self._admission.waiting + sum(map(len, self._new))
        usage = self._model.pipeline.get_metrics().cache_usage
        self._send(protocol.Beat(self._steps, len(self._running), waiting, usage))


class _Refusal(Exception):
    """This Request will get no answer."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail


def _end_if_out_of_memory(error: Exception) -> None:
    """Raise again what is no fault of the Request: a process short of memory is of no more use to anyone."""
    if native.out_of_memory(error):
        raise error


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
