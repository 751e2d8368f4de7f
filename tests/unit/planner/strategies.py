"""Requests that are often alike, to exercise what depends on likeness."""

from hypothesis import strategies as st

from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import Message, Request, Role, Sampling

TEXTS = st.text("aé𝄞\x00\x01\x02", max_size=3)
SAMPLINGS = st.builds(
    Sampling,
    max_output_tokens=st.sampled_from([None, 5]),
    temperature=st.sampled_from([None, 0.0, 1.0]),
    seed=st.sampled_from([None, 7]),
)
MESSAGES = st.builds(Message, st.sampled_from(Role), TEXTS)
REQUESTS = st.builds(Request, st.lists(MESSAGES, min_size=1, max_size=3).map(tuple), SAMPLINGS)
FAILURES = st.builds(Failed, st.sampled_from(Cause), TEXTS)
REQUESTS_OR_FAILURES = REQUESTS | FAILURES
