"""Any value that can be stored."""

from hypothesis import strategies as st

from halfrate.domain.outcome import Answered, Cause, Failed, Finish
from halfrate.domain.request import Message, Request, Role, Sampling
from halfrate.domain.result import Asker, Assignment, Result
from halfrate.domain.usage import Usage

COUNTS = st.integers(0, 1 << 40)
FLOATS = st.none() | st.floats(0, 2)
INTEGERS = st.none() | st.integers(-(1 << 63), (1 << 63) - 1)
TEXTS = st.text(max_size=20)

SAMPLINGS = st.builds(
    Sampling,
    INTEGERS, FLOATS, FLOATS, INTEGERS, INTEGERS, FLOATS, FLOATS,
    st.lists(TEXTS, max_size=5).map(tuple), st.none() | TEXTS,
)  # fmt: skip
MESSAGES = st.builds(Message, st.sampled_from(Role), TEXTS)
REQUESTS = st.builds(Request, st.lists(MESSAGES, min_size=1, max_size=3).map(tuple), SAMPLINGS)
FAILURES = st.builds(Failed, st.sampled_from(Cause), TEXTS)
ANSWERS = st.builds(Answered, TEXTS, st.sampled_from(Finish), st.builds(Usage, COUNTS, COUNTS, COUNTS))
ASKERS = st.builds(Asker, COUNTS, st.none() | TEXTS, st.none() | st.binary(max_size=20))
ASSIGNMENTS = st.builds(Assignment, REQUESTS | FAILURES, st.lists(ASKERS, min_size=1, max_size=4).map(tuple))
RESULTS = st.builds(Result, ASKERS, ANSWERS | FAILURES)
