"""What can be told about a JSON Schema before the pipeline sees it. Pure.

The grammar compiler skips keywords it does not know, so an answer could break a schema that asked for one
of them. It also recurses, so a schema nested deeply enough would end the process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

SCHEMA_BYTES_MAX = 128 * 1024
SCHEMA_DEPTH_MAX = 64

# Keywords that assert something the compiler does not enforce.
UNENFORCED = frozenset(
    {
        "contains",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "else",
        "if",
        "maxContains",
        "minContains",
        "multipleOf",
        "not",
        "then",
    }
)

# Places where the keys are names the user chose, not keywords.
_NAME_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
# Places where the value is data, not a schema.
_DATA = frozenset({"const", "enum", "default", "example", "examples"})


class BadSchema(Exception):
    """The text is no JSON Schema that could ever be followed."""


class UnenforcedSchema(Exception):
    """The schema is right, and this engine cannot promise to follow it."""


def check(schema: str) -> None:
    """Return if the compiler may be asked. Raise `BadSchema` or `UnenforcedSchema` with a sentence if not."""
    if len(schema.encode()) > SCHEMA_BYTES_MAX:
        raise BadSchema(f"the JSON Schema is larger than {SCHEMA_BYTES_MAX} bytes")
    try:
        parsed = json.loads(schema)
    except (ValueError, RecursionError) as error:
        raise BadSchema(f"the JSON Schema is not JSON: {error}") from None
    if not isinstance(parsed, dict | bool):
        raise BadSchema("a JSON Schema is an object")
    for keyword in _keywords(parsed, depth=1):
        if keyword in UNENFORCED:
            raise UnenforcedSchema(f"the embedded engine cannot enforce {keyword!r} in a JSON Schema")


def _keywords(node: object, *, depth: int) -> Iterator[str]:
    """Every keyword of the schema and of the schemas in it."""
    if depth > SCHEMA_DEPTH_MAX:
        raise BadSchema(f"the JSON Schema is nested more than {SCHEMA_DEPTH_MAX} deep")
    if isinstance(node, list):
        for member in node:
            yield from _keywords(member, depth=depth + 1)
    elif isinstance(node, dict):
        for keyword, value in node.items():
            if keyword == "uniqueItems" and value is True:
                raise UnenforcedSchema("the embedded engine cannot enforce 'uniqueItems' in a JSON Schema")
            yield keyword
            if keyword in _NAME_MAPS and isinstance(value, dict):
                for member in value.values():
                    yield from _keywords(member, depth=depth + 1)
            elif keyword not in _DATA:
                yield from _keywords(value, depth=depth + 1)
