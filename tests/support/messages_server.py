"""A server that speaks Anthropic's Messages API, as documented, with an Engine that plays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from anthropic.types import Message as SdkMessage
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from halfrate.domain.outcome import Answered, Cause, Delta, Failed, Finish, Outcome
from halfrate.domain.request import (
    Choice,
    FunctionCall,
    FunctionDeclaration,
    FunctionReturn,
    Functions,
    Message,
    Request,
    Role,
    Sampling,
)
from halfrate.engines.scripted import ScriptedEngine, count_words
from tests.support.messages_api import check_count_body, check_message_body
from tests.support.upstream_server import MODEL, Asgi, MortalServer

KEY = "sk-secret"
_ERRORS = {
    Cause.TOO_LONG: (400, "invalid_request_error", "prompt is too long: "),
    Cause.OVERLOADED: (529, "overloaded_error", ""),
    Cause.INTERNAL: (500, "api_error", ""),
    Cause.INVALID: (400, "invalid_request_error", ""),
}


class MessagesServer(MortalServer):
    """Serves `MODEL` to whoever has `KEY`. A body that the API would not take fails the test.

    ``bodies`` are those that were sent to it. ``capabilities`` is what it says of the model, if anything.
    ``next_errors`` are answered, one a call, before anything else is: status, type, and headers.
    """

    def __init__(self, make_engine: Callable[[], ScriptedEngine]) -> None:
        super().__init__()
        self._make_engine = make_engine
        self.url = f"{self.origin}/v1"
        self.engine: ScriptedEngine
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.capabilities: dict[str, Any] | None = None
        self.next_errors: list[tuple[int, str, dict[str, str]]] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Asgi]:
        """Have its Engine play."""
        self.engine = self._make_engine()
        routes = [
            Route("/v1/messages", self._create, methods=["POST"]),
            Route("/v1/messages/count_tokens", self._count, methods=["POST"]),
            Route("/v1/models", self._list),
            Route("/v1/models/{name}", self._get),
        ]
        async with self.engine:
            yield Starlette(routes=routes)

    def _refusal(self, request: HttpRequest) -> Response | None:
        self.headers.append(dict(request.headers))
        if request.headers.get("anthropic-version") != "2023-06-01":
            return _error(400, "invalid_request_error", "anthropic-version: header is required")
        if request.headers.get("x-api-key") != KEY:
            return _error(401, "authentication_error", "invalid x-api-key")
        return None

    def _model(self) -> dict[str, Any]:
        told = {"type": "model", "id": MODEL, "display_name": "There", "created_at": "2026-01-01T00:00:00Z"}
        limits = {"max_input_tokens": 4_096, "max_tokens": 4_096}
        return told | ({} if self.capabilities is None else {**limits, "capabilities": self.capabilities})

    async def _list(self, request: HttpRequest) -> Response:
        return self._refusal(request) or JSONResponse({"data": [self._model()], "has_more": False})

    async def _get(self, request: HttpRequest) -> Response:
        refused = self._refusal(request)
        if refused is None and request.path_params["name"] != MODEL:
            return _error(404, "not_found_error", f"model: {request.path_params['name']}")
        return refused or JSONResponse(self._model())

    async def _count(self, request: HttpRequest) -> Response:
        refused = self._refusal(request)
        if refused is not None:
            return refused
        body = await request.json()
        check_count_body(body)
        return JSONResponse({"input_tokens": count_words(_asked(body))})

    async def _create(self, http: HttpRequest) -> Response:
        refused = self._refusal(http)
        if refused is not None:
            return refused
        if self.next_errors:
            status, kind, headers = self.next_errors.pop(0)
            return _error(status, kind, "Said so by the test.", headers)
        body = await http.json()
        check_message_body(body)
        self.bodies.append(body)
        request = _asked(body)
        if body.get("stream"):
            return StreamingResponse(self._stream(request, body), media_type="text/event-stream")
        outcome = await _unless_gone(http, self.engine.answer(request))
        if isinstance(outcome, Failed):
            return _failed(outcome)
        assert isinstance(outcome, Answered)
        said = _message(outcome, body)
        SdkMessage.model_validate(said)
        return JSONResponse(said)

    async def _stream(self, request: Request, body: dict[str, Any]) -> AsyncIterator[str]:
        pieces: asyncio.Queue[Delta | None] = asyncio.Queue()
        answer = asyncio.create_task(self.engine.answer(request, wrote=pieces.put_nowait))
        answer.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            usage = {"input_tokens": count_words(request), "output_tokens": 1}
            yield _event("message_start", message={"content": [], "usage": usage})
            yield _event("ping")
            block = {"type": "text", "text": ""}
            yield _event("content_block_start", index=0, content_block=block)
            while (piece := await pieces.get()) is not None:
                if "output_config" not in body:
                    yield _event(
                        "content_block_delta", index=0, delta={"type": "text_delta", "text": piece.text}
                    )
            outcome = await answer
        finally:
            answer.cancel()
        if isinstance(outcome, Failed):
            _, kind, opening = _ERRORS[outcome.cause]
            yield _event("error", error={"type": kind, "message": opening + outcome.detail})
            return
        assert isinstance(outcome, Answered)
        said = _message(outcome, body)
        if "output_config" in body:
            delta = {"type": "text_delta", "text": said["content"][0]["text"]}
            yield _event("content_block_delta", index=0, delta=delta)
        yield _event("content_block_stop", index=0)
        for index, use in enumerate(
            [each for each in said["content"] if each["type"] == "tool_use"], start=1
        ):
            yield _event("content_block_start", index=index, content_block={**use, "input": {}})
            delta = {"type": "input_json_delta", "partial_json": json.dumps(use["input"])}
            yield _event("content_block_delta", index=index, delta=delta)
            yield _event("content_block_stop", index=index)
        usage = {"output_tokens": outcome.usage.output_tokens}
        yield _event("message_delta", delta={"stop_reason": said["stop_reason"]}, usage=usage)
        yield _event("message_stop")


async def _unless_gone(http: HttpRequest, answer: Any) -> Outcome:
    """Return the Outcome, and let go of it when the client hangs up."""
    task = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(http.receive())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else Failed(Cause.INTERNAL, "Nobody listens.")
    finally:
        task.cancel()
        gone.cancel()


def _event(kind: str, **said: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **said})}\n\n"


def _error(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> Response:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return JSONResponse(body, status, headers)


def _failed(failed: Failed) -> Response:
    status, kind, opening = _ERRORS.get(failed.cause, (500, "api_error", ""))
    return _error(status, kind, opening + failed.detail)


def _asked(body: dict[str, Any]) -> Request:
    """Return what a body asks, as far as the Engine that plays looks at it."""
    system = "".join(block["text"] for block in body.get("system", ()))
    messages = [Message(Role.SYSTEM, system)] if system else []
    messages += [_turn(turn) for turn in body["messages"]]
    format = body.get("output_config", {}).get("format", {}).get("schema", {})
    choices = format.get("properties", {}).get("answer", {}).get("enum", ())
    sampling = Sampling(
        max_output_tokens=body.get("max_tokens"),
        stop=tuple(body.get("stop_sequences", ())),
        choices=tuple(choices),
    )
    return Request(tuple(messages), sampling, _functions(body))


def _turn(turn: dict[str, Any]) -> Message:
    blocks = turn["content"]
    return Message(
        Role.MODEL if turn["role"] == "assistant" else Role.USER,
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        tuple(
            FunctionCall(b["name"], json.dumps(b["input"]), b["id"])
            for b in blocks
            if b["type"] == "tool_use"
        ),
        tuple(
            FunctionReturn("", b["content"], b["tool_use_id"]) for b in blocks if b["type"] == "tool_result"
        ),
    )


def _functions(body: dict[str, Any]) -> Functions | None:
    declared = tuple(FunctionDeclaration(tool["name"]) for tool in body.get("tools", ()))
    choice = body.get("tool_choice", {}).get("type", "auto")
    if not declared:
        return None
    return Functions(declared, Choice.ANY if choice in {"any", "tool"} else Choice(choice))


_REASONS = {Finish.STOP: "end_turn", Finish.LENGTH: "max_tokens"}


def _message(answered: Answered, body: dict[str, Any]) -> dict[str, Any]:
    (candidate,) = answered.candidates
    text = json.dumps({"answer": candidate.text}) if "output_config" in body else candidate.text
    content: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    for number, call in enumerate(candidate.calls):
        use = {"type": "tool_use", "id": f"toolu_{number}", "name": call.name}
        content.append({**use, "input": json.loads(call.arguments)})
    usage = {"input_tokens": answered.usage.input_tokens, "output_tokens": answered.usage.output_tokens}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": "tool_use" if candidate.calls else _REASONS[candidate.finish],
        "stop_sequence": None,
        "usage": usage,
    }


@asynccontextmanager
async def messages_server(
    make_engine: Callable[[], ScriptedEngine] = ScriptedEngine,
) -> AsyncIterator[MessagesServer]:
    """Have one until left."""
    server = MessagesServer(make_engine)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
