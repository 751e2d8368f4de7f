"""Which Requests are twins: asked once, answered to all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from halfrate.domain.embedding import Embedding
from halfrate.domain.outcome import Failed
from halfrate.domain.request import AnyRequest
from halfrate.domain.result import Asker, Assignment

ASKERS_MAX = 1_000
"""Askers of one Assignment: it is answered, settled and stored as a whole."""

ECHO_BYTES_MAX = 1 << 20
"""Bytes of the keys and metadata that one Assignment's Askers want echoed, beyond the first Asker's."""


def coalesce(
    assignments: Iterable[Assignment], *, default_temperature: float, askers_max: int = ASKERS_MAX
) -> Iterator[Assignment]:
    """Merge neighbouring twins: equal Requests that must get equal answers. Askers stay in order.

    ``default_temperature`` is what the model decodes with when a Request does not say. More than
    ``askers_max`` twins become several Assignments. A Failed is never merged.
    """
    request: AnyRequest | Failed | None = None
    askers: list[Asker] = []
    echo_bytes = 0
    for assignment in assignments:
        more_bytes = sum(map(_echo_bytes, assignment.askers))
        if (
            len(askers) + len(assignment.askers) <= askers_max
            and echo_bytes + more_bytes <= ECHO_BYTES_MAX
            and request is not None
            and not isinstance(request, Failed)
            and assignment.request == request
            and _fixed(request, default_temperature)
        ):
            askers += assignment.askers
            echo_bytes += more_bytes
            continue
        if request is not None:
            yield Assignment(request, tuple(askers))
        request, askers, echo_bytes = assignment.request, list(assignment.askers), more_bytes
    if request is not None:
        yield Assignment(request, tuple(askers))


def _fixed(request: AnyRequest, default_temperature: float) -> bool:
    """Whether whoever asks the same must be told the same. A text has one vector."""
    return isinstance(request, Embedding) or request.sampling.fixed(default_temperature=default_temperature)


def _echo_bytes(asker: Asker) -> int:
    return len(asker.key or "") + len(asker.metadata or b"")
