"""Requests that are often alike, to exercise what depends on likeness."""

from hypothesis import strategies as st

from halfrate.domain.embedding import Embedding, Purpose
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import (
    Attachment,
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

TEXTS = st.text("aé𝄞\x00\x01\x02", max_size=3)
NAMES = st.sampled_from(["f", "g"])
SAMPLINGS = st.builds(
    Sampling,
    max_output_tokens=st.sampled_from([None, 5]),
    temperature=st.sampled_from([None, 0.0, 1.0]),
    seed=st.sampled_from([None, 7]),
    choices=st.sampled_from([(), ("a", "b")]),
)
ATTACHMENTS = st.builds(
    Attachment, st.integers(0, 1), st.just("image/png"), st.sampled_from([b"", b"x"]), st.none() | NAMES
)


def few(values):
    return st.just(()) | st.lists(values, max_size=1).map(tuple)


MESSAGES = st.builds(
    Message,
    st.sampled_from(Role),
    TEXTS,
    few(st.builds(FunctionCall, NAMES, st.just("{}"))),
    few(st.builds(FunctionReturn, NAMES, st.just("{}"))),
    few(ATTACHMENTS),
)
FUNCTIONS = st.builds(Functions, few(st.builds(FunctionDeclaration, NAMES, TEXTS)), st.sampled_from(Choice))
REQUESTS = st.builds(
    Request,
    st.lists(MESSAGES, min_size=1, max_size=3).map(tuple),
    SAMPLINGS,
    st.none() | FUNCTIONS,
    st.none() | NAMES,
)
FAILURES = st.builds(Failed, st.sampled_from(Cause), TEXTS)
EMBEDDINGS = st.builds(
    Embedding,
    TEXTS,
    st.none() | st.sampled_from([Purpose.CLUSTERING, Purpose.RETRIEVAL_DOCUMENT]),
    st.none() | NAMES,
    st.none() | st.just(3),
)
REQUESTS_OR_FAILURES = REQUESTS | EMBEDDINGS | FAILURES
