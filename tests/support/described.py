"""Holds what a server answers against what `/openapi.json` says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import httpx
from jsonschema import Draft202012Validator
from starlette.applications import Starlette

from halfrate.config import Limits
from halfrate.server.app import make_asgi


@dataclass(frozen=True)
class Described:
    """One operation of the document."""

    document: dict[str, Any]
    method: str
    path: str
    operation: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.operation["operationId"])

    def check(self, reply: httpx.Response) -> None:
        """Assert that this is an answer the document knows: status, content type and body."""
        says = self.operation["responses"].get(str(reply.status_code))
        assert says, f"{self.name} answered {reply.status_code}, which its entry does not name: {reply.text}"
        if "$ref" in says:
            says = self.document["components"]["responses"][says["$ref"].rpartition("/")[2]]
        content = says.get("content")
        if not content:
            assert reply.content == b""
            return
        kind = reply.headers["content-type"].partition(";")[0]
        media = content.get(kind) or content.get("*/*")
        assert media, f"{self.name} answered {kind}, which its entry does not name"
        if kind == "application/json" and reply.request.method != "HEAD":
            self.check_json(media["schema"], reply.json())

    def check_json(self, schema: dict[str, Any], value: object) -> None:
        """Assert that a value obeys a schema of the document."""
        whole = {**schema, "components": self.document["components"]}
        problems = [
            f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(value)
        ]
        assert not problems, (
            f"{self.name} differs from its schema. Bring the Struct in halfrate.wire that describes it up to "
            f"date (see halfrate.wire.gemini.shapes): {problems} in {value}"
        )


def operations(document: dict[str, Any]) -> list[Described]:
    """Return every operation of a document."""
    return [
        Described(document, method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def operation_for(document: dict[str, Any], method: str, path: str) -> Described | None:
    """Return the operation that a call is for; the version in its path may be any."""
    path = re.sub(r"(?<=/)v1(alpha)?(?=/)", "v1beta", path, count=1)
    for operation in operations(document):
        pattern = re.sub(r"\\\{\w+\\\}", "[^/:]+", re.escape(operation.path))
        if operation.method == method and re.fullmatch(pattern, path):
            return operation
    return None


def bare_asgi() -> Starlette:
    """The application for whoever only asks what its routes are: there is nothing behind them."""
    names = ("files", "uploads", "jobs", "retries", "models", "monitor", "webhooks", "caches")
    return make_asgi(**dict.fromkeys(names), limits=Limits())  # type: ignore[arg-type]
