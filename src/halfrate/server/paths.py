"""The pieces that the addresses of calls are made of."""

from __future__ import annotations

import re

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request as Call

VERSIONS = ("v1", "v1beta", "v1alpha")


class _Piece(Convertor[str]):
    def convert(self, value: str) -> str:
        """Return the piece as it is."""
        return value

    def to_string(self, value: str) -> str:
        """Return the piece as it is."""
        return value


class _Version(_Piece):
    regex = "|".join(sorted(VERSIONS, reverse=True))


class _Id(_Piece):
    regex = "[^/:]+"


class _Model(_Piece):
    regex = "[^:]+"  # a slash makes it an unknown model, not another route


class _Any(_Piece):
    regex = r"[\s\S]*"  # a slash, or what ends a line, makes it an unknown thing, not another route


class _Result(_Piece):
    regex = "batch-(?:output|errors)-[^/:]+"  # a Job's output in OpenAI's lines


register_url_convertor("version", _Version())
register_url_convertor("id", _Id())
register_url_convertor("model", _Model())
register_url_convertor("any", _Any())
register_url_convertor("result", _Result())

V = "/{version:version}"


def parameter(call: Call, name: str) -> str | None:
    """Return a query parameter, which may also be spelled in snake_case; None if it is not there."""
    in_snake_case = re.sub("([A-Z])", r"_\1", name).lower()
    return call.query_params.get(name, call.query_params.get(in_snake_case))
