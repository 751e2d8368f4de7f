"""Calls as they can be sent, for the manual. The tests send each to a real server."""

from __future__ import annotations

import json
from dataclasses import replace

from halfrate.server.manual import Example, Json

_ID = "k3qZ0c9y1VtD5g2r"


def _said(text: str, role: str = "user") -> Json:
    return {"role": role, "parts": [{"text": text}]}


def _answered(text: str, *, prompt: int, answer: int) -> Json:
    return {
        "candidates": [{"content": _said(text, "model"), "finishReason": "STOP", "index": 0}],
        "usageMetadata": {
            "promptTokenCount": prompt,
            "candidatesTokenCount": answer,
            "totalTokenCount": prompt + answer,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
        },
        "modelVersion": "pocket-1",
        "responseId": _ID,
    }


_CHEESE = {
    "type": "OBJECT",
    "properties": {"name": {"type": "STRING"}, "soft": {"type": "BOOLEAN"}},
    "required": ["name", "soft"],
    "propertyOrdering": ["name", "soft"],
}

GENERATE = (
    Example(
        "text",
        body={"contents": [_said("Say hello.")]},
        answer=_answered("Hello!", prompt=12, answer=2),
    ),
    Example(
        "everything",
        body={
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [
                _said("My name is Ann."),
                _said("Hello, Ann.", "model"),
                _said("What is my name?"),
            ],
            "generationConfig": {
                "temperature": 0.5,
                "topP": 0.9,
                "topK": 40,
                "seed": 7,
                "maxOutputTokens": 64,
                "stopSequences": ["END"],
                "presencePenalty": 0.1,
                "frequencyPenalty": 0.1,
            },
        },
        answer=_answered("Ann.", prompt=40, answer=2),
    ),
    Example(
        "schema",
        body={
            "contents": [_said("Name a cheese.")],
            "generationConfig": {"responseMimeType": "application/json", "responseSchema": _CHEESE},
        },
        answer=_answered('{"name": "Brie", "soft": true}', prompt=14, answer=11),
    ),
)


def _piece(text: str) -> Json:
    content = _said(text, "model")
    return {"candidates": [{"content": content, "index": 0}], "modelVersion": "pocket-1", "responseId": _ID}


_PIECES = [_piece("Hel"), _answered("lo!", prompt=12, answer=2)]

STREAM = (
    Example("list", body={"contents": [_said("Say hello.")]}, answer=_PIECES),
    Example(
        "events",
        body={"contents": [_said("Say hello.")]},
        query={"alt": "sse"},
        answer="".join(f"data: {json.dumps(piece)}\r\n\r\n" for piece in _PIECES),
    ),
)

COUNT_TOKENS = (
    Example(
        "contents",
        body={"contents": [_said("Say hello.")]},
        answer={"totalTokens": 12, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}]},
    ),
    Example(
        "request",
        body={
            "generateContentRequest": {
                "model": "models/pocket-1",
                "systemInstruction": {"parts": [{"text": "Be brief."}]},
                "contents": [_said("Say hello.")],
            }
        },
        answer={"totalTokens": 20, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}]},
    ),
)


def _created(requests: int, display_name: str, **more: Json) -> Json:
    name = "batches/4m855v7q30kc7gtz2w9xhd1b"
    return {
        "name": name,
        "metadata": {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            "model": "models/pocket-1",
            "displayName": display_name,
            **more,
            "createTime": "2026-01-01T00:00:00.407650Z",
            "updateTime": "2026-01-01T00:00:00.407650Z",
            "batchStats": {"requestCount": str(requests), "pendingRequestCount": str(requests)},
            "state": "BATCH_STATE_PENDING",
            "name": name,
            "halfrate": {
                "costUsd": "0",
                "interactiveCostUsd": "0",
                "deadline": "2026-01-03T00:00:00.407650Z",
            },
        },
    }


_TOKENS = {"promptTokenCount": 5, "totalTokenCount": 5}
_EMBEDDER = {"model": "gemini-embedding-001"}
_TEXT: dict[str, object] = {"content": {"parts": [{"text": "Say hello."}]}}

EMBED = (
    Example(
        "text",
        path=_EMBEDDER,
        body=_TEXT,
        answer={"embedding": {"values": [0.6, -0.8]}, "usageMetadata": _TOKENS},
    ),
)

EMBED_BATCH = (
    Example(
        "texts",
        path=_EMBEDDER,
        body={"requests": [_TEXT]},
        answer={"embeddings": [{"values": [0.6, -0.8]}], "usageMetadata": _TOKENS},
    ),
)

CREATE_EMBEDDINGS = (
    Example(
        "file",
        path=_EMBEDDER,
        headers={"x-halfrate-on-invalid": "skip"},
        body={"batch": {"displayName": "texts", "inputConfig": {"fileName": "files/questions"}}},
        answer=_created(2, "texts", inputConfig={"fileName": "files/questions"}),
    ),
    Example(
        "inline",
        path=_EMBEDDER,
        body={
            "batch": {
                "displayName": "a text",
                "inputConfig": {
                    "requests": {"requests": [{"request": {**_TEXT, "outputDimensionality": 2}}]}
                },
            }
        },
        answer=_created(1, "a text"),
    ),
)

CREATE_BATCH = (
    Example(
        "file",
        body={"batch": {"displayName": "nightly", "inputConfig": {"fileName": "files/questions"}}},
        answer=_created(2, "nightly", inputConfig={"fileName": "files/questions"}),
    ),
    Example(
        "inline",
        body={
            "batch": {
                "displayName": "two questions",
                "inputConfig": {
                    "requests": {
                        "requests": [
                            {
                                "request": {"contents": [_said("Name three cheeses.")]},
                                "metadata": {"key": "cheeses"},
                            },
                            {
                                "request": {
                                    "contents": [_said("Name three rivers.")],
                                    "generationConfig": {"temperature": 0, "maxOutputTokens": 32},
                                },
                                "metadata": {"key": "rivers"},
                            },
                        ]
                    }
                },
            }
        },
        answer=_created(2, "two questions"),
    ),
)

_CACHE = {
    "name": "cachedContents/6xq0v3k1c9a8d2m5z7w4b1n8t0r5y3u6p9e2h7jd",
    "model": "models/pocket-1",
    "displayName": "the manual",
    "createTime": "2026-11-24T08:00:00.000000Z",
    "updateTime": "2026-11-24T08:00:00.000000Z",
    "expireTime": "2026-11-24T09:00:00.000000Z",
    "usageMetadata": {"totalTokenCount": 93},
}

CREATE_CACHE = (
    Example(
        "a manual, for an hour",
        body={
            "model": "models/pocket-1",
            "displayName": "the manual",
            "systemInstruction": {"parts": [{"text": "Answer from the manual, in one sentence."}]},
            "contents": [_said("The lamp is switched on and off with the button at its foot. " * 5)],
            "ttl": "3600s",
        },
        answer=_CACHE,
    ),
)

UPDATE_CACHE = (
    Example(
        "two hours from now",
        body={"ttl": "7200s"},
        answer=_CACHE | {"expireTime": "2026-11-24T10:00:00.000000Z"},
    ),
)

_WEBHOOK = {
    "id": "0b7c9f5e-5a52-4a0f-9a57-4f2d5f5d9d53",
    "name": "nightly",
    "uri": "https://hooks.test/a",
    "subscribed_events": ["batch.succeeded", "batch.failed"],
    "state": "enabled",
    "create_time": "2026-01-01T00:00:00.407650Z",
    "update_time": "2026-01-01T00:00:00.407650Z",
    "signing_secrets": [{"truncated_secret": "whsec_...c3Q="}],
}

CREATE_WEBHOOK = (
    Example(
        "two events",
        body={
            "name": "nightly",
            "uri": "https://hooks.test/a",
            "subscribedEvents": ["batch.succeeded", "batch.failed"],
        },
        answer=_WEBHOOK | {"new_signing_secret": "whsec_Zm9yIGV4YW1wbGUsIGFuZCBmb3IgdGhhdCBvbmx5c3Q="},
    ),
)

UPDATE_WEBHOOK = (Example("switch off", body={"state": "disabled"}, answer=_WEBHOOK | {"state": "disabled"}),)

ROTATE = (
    Example(
        "at once",
        body={"revocationBehavior": "revoke_previous_secrets_immediately"},
        answer={"secret": "whsec_Zm9yIGV4YW1wbGUsIGFuZCBmb3IgdGhhdCBvbmx5c3Q="},
    ),
)


UPDATE_BATCH = (
    Example(
        "name",
        body={"displayName": "nightly, again"},
        query={"updateMask": "displayName"},
        answer=_created(2, "nightly, again")["metadata"],
    ),
)


# OpenAI's dialect, in its own form -----------------------------------------------------------------------

_FILE_ID = "file-questions"
_BATCH_ID = "batch_4m855v7q30kc7gtz2w9xhd1b"


def in_layer(example: Example) -> Example:
    """Return an example with ids as Gemini's layer for the dialect has them."""

    def renamed(value: Json) -> Json:
        text = json.dumps(value)
        return json.loads(
            text.replace(_FILE_ID, "files/questions").replace(_BATCH_ID, "batches/4m855v7q30kc7gtz2w9xhd1b")
        )

    return replace(example, body=renamed(example.body), answer=renamed(example.answer))


_ASKED = {"model": "pocket-1", "messages": [{"role": "user", "content": "Say hello."}]}


def _completed(message: Json, *, prompt: int, answer: int, finish: str = "stop") -> Json:
    said = {"role": "assistant", "content": None, "refusal": None, **message}
    return {
        "id": f"chatcmpl-{_ID}",
        "object": "chat.completion",
        "created": 1767225600,
        "model": "pocket-1",
        "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "total_tokens": prompt + answer,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def _chunk(delta: Json, finish: str | None = None) -> Json:
    return {
        "id": f"chatcmpl-{_ID}",
        "object": "chat.completion.chunk",
        "created": 1767225600,
        "model": "pocket-1",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }


_CHUNKS = [
    _chunk({"role": "assistant", "content": "", "refusal": None}),
    _chunk({"content": "Hello!"}),
    _chunk({}, "stop"),
]

CHAT = (
    Example("text", body=_ASKED, answer=_completed({"content": "Hello!"}, prompt=12, answer=2)),
    Example(
        "everything",
        body={
            "model": "pocket-1",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "My name is Ann."},
                {"role": "assistant", "content": "Hello, Ann."},
                {"role": "user", "content": [{"type": "text", "text": "What is my name?"}]},
            ],
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 7,
            "max_completion_tokens": 64,
            "stop": ["END"],
            "presence_penalty": 0.1,
            "frequency_penalty": 0.1,
        },
        answer=_completed({"content": "Ann."}, prompt=40, answer=2),
    ),
    Example(
        "schema",
        body={
            "model": "pocket-1",
            "messages": [{"role": "user", "content": "Name a cheese."}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "cheese",
                    "schema": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "soft": {"type": "boolean"}},
                        "required": ["name", "soft"],
                    },
                },
            },
        },
        answer=_completed({"content": '{"name": "Brie", "soft": true}'}, prompt=14, answer=11),
    ),
    Example(
        "events",
        body={**_ASKED, "stream": True},
        answer="".join(f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in _CHUNKS) + "data: [DONE]\r\n\r\n",
    ),
)

OPENAI_EMBED = (
    Example(
        "texts",
        body={"model": "gemini-embedding-001", "input": ["Say hello.", "Say no."]},
        answer={
            "object": "list",
            "data": [
                {"object": "embedding", "index": 0, "embedding": [0.6, -0.8]},
                {"object": "embedding", "index": 1, "embedding": [0.8, 0.6]},
            ],
            "model": "embeds",
            "usage": {"prompt_tokens": 9, "total_tokens": 9},
        },
    ),
)

OPENAI_UPLOAD = (
    Example(
        "lines",
        body={
            "purpose": "batch",
            "file": json.dumps(
                {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": _ASKED}
            ),
        },
        answer={
            "id": _FILE_ID,
            "object": "file",
            "bytes": 154,
            "created_at": 1767225600,
            "expires_at": 1767398400,
            "filename": "questions.jsonl",
            "purpose": "batch",
            "status": "processed",
            "status_details": None,
        },
    ),
)

OPENAI_CREATE_BATCH = (
    Example(
        "file",
        body={
            "input_file_id": _FILE_ID,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {"night": "monday"},
        },
        answer={
            "id": _BATCH_ID,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "model": "pocket-1",
            "errors": None,
            "input_file_id": _FILE_ID,
            "completion_window": "24h",
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": 1767225600,
            "in_progress_at": None,
            "expires_at": 1767312000,
            "finalizing_at": None,
            "completed_at": None,
            "failed_at": None,
            "expired_at": None,
            "cancelling_at": None,
            "cancelled_at": None,
            "request_counts": {"total": 2, "completed": 0, "failed": 0},
            "usage": {
                "input_tokens": 0,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 0,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 0,
            },
            "metadata": {"night": "monday"},
        },
    ),
)
