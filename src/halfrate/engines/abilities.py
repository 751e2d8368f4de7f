"""What a Request asks that its Engine cannot do."""

from __future__ import annotations

from halfrate.domain.embedding import Embedding
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import AnyRequest, Request
from halfrate.engines.api import Ability, EngineFacts

_SENTENCES = {
    Ability.CANDIDATES: "makes one answer to each request. Ask for one candidate, or send the request again",
    Ability.CHOICES: "cannot be held to a choice of answers. Leave the mime type text/x.enum out",
    Ability.FUNCTIONS: "does not know how to call functions. Leave them out, or use a model that does",
    Ability.IMAGES: "cannot see images. Leave them out, or use a model that can",
    Ability.LOGPROBS: "does not tell log probabilities. Leave them out",
}


def inability(request: AnyRequest, facts: EngineFacts) -> Failed | None:
    """Return why an Engine of these facts cannot answer, None if it can."""
    if isinstance(request, Embedding):
        return _inability_to_embed(request, facts)
    if facts.dimensions:
        return _unable(facts, "makes embeddings and writes no text. Ask a model that generates")
    for ability in _asked_for(request):
        if ability not in facts.abilities:
            return _unable(facts, _SENTENCES[ability])
    most = facts.logprobs_max
    if (request.sampling.logprobs or 0) > most:
        if not most:
            return _unable(facts, "tells only how likely the token was that it chose. Leave the number out")
        return _unable(facts, f"tells how likely {most} tokens were at each step. Ask for at most {most}")
    return None


def _inability_to_embed(embedding: Embedding, facts: EngineFacts) -> Failed | None:
    if not facts.dimensions:
        return _unable(facts, "writes text and makes no embeddings. Ask an embedding model")
    if (embedding.dimensions or 0) > facts.dimensions:
        return Failed(
            Cause.INVALID,
            f"output_dimensionality is {embedding.dimensions}, and the vectors of {facts.model_version} have "
            f"{facts.dimensions} dimensions. Ask for 1 to {facts.dimensions}.",
        )
    return None


def _asked_for(request: Request) -> list[Ability]:
    sampling = request.sampling
    asked = {
        Ability.CANDIDATES: sampling.candidates > 1,
        Ability.CHOICES: bool(sampling.choices),
        Ability.LOGPROBS: sampling.logprobs is not None,
        Ability.FUNCTIONS: request.functions is not None
        or any(message.calls or message.returns for message in request.messages),
        Ability.IMAGES: any(message.attachments for message in request.messages),
    }
    return [ability for ability, is_asked in asked.items() if is_asked]


def _unable(facts: EngineFacts, what: str) -> Failed:
    return Failed(Cause.UNSUPPORTED, f"The model {facts.model_version} {what}.")
