"""Models as resources."""

from __future__ import annotations

from typing import Any


def model_resource(name: str, *, created: float) -> dict[str, Any]:
    """Return a model as clients see it."""
    return {"id": name, "object": "model", "created": int(created), "owned_by": "halfrate"}
