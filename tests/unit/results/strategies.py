"""Any value that can be stored."""

from hypothesis import strategies as st

from halfrate.domain.embedding import Embedded
from halfrate.domain.outcome import Answered, Candidate, Cause, Failed, Finish, TokenLogprob
from halfrate.domain.request import FunctionCall
from halfrate.domain.result import Asker, Result
from halfrate.domain.usage import Usage

COUNTS = st.integers(0, 1 << 40)
TEXTS = st.text(max_size=20)
FAILURES = st.builds(Failed, st.sampled_from(Cause), TEXTS)
CALLS = st.lists(st.builds(FunctionCall, TEXTS, TEXTS, st.none() | TEXTS), max_size=2).map(tuple)
LOGPROBS = st.floats(max_value=0, allow_nan=False)
LIKELY = st.lists(st.builds(TokenLogprob, TEXTS, COUNTS, LOGPROBS), max_size=2).map(tuple)
STEPS = st.lists(st.builds(TokenLogprob, TEXTS, COUNTS, LOGPROBS, LIKELY), max_size=2).map(tuple)
CANDIDATES = st.builds(Candidate, TEXTS, st.sampled_from(Finish), TEXTS, COUNTS, CALLS, STEPS)
PLAIN = st.builds(Candidate, TEXTS, st.sampled_from(Finish))
ANSWERS = st.builds(
    Answered,
    st.lists(PLAIN | CANDIDATES, min_size=1, max_size=3).map(tuple),
    st.builds(Usage, COUNTS, COUNTS, COUNTS),
)
ASKERS = st.builds(Asker, COUNTS, st.none() | TEXTS, st.none() | st.binary(max_size=20))
VECTORS = st.lists(st.floats(width=32, allow_nan=False), max_size=4)
EMBEDDED = st.builds(Embedded.of, VECTORS, st.builds(Usage, COUNTS))
RESULTS = st.builds(Result, ASKERS, ANSWERS | EMBEDDED | FAILURES, st.none() | TEXTS)
