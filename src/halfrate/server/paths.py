"""The pieces that paths are made of."""

from __future__ import annotations

from starlette.convertors import Convertor, register_url_convertor

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


register_url_convertor("version", _Version())
register_url_convertor("id", _Id())
register_url_convertor("model", _Model())

V = "/{version:version}"
