"""Any value that can be stored."""

from hypothesis import strategies as st

from halfrate.domain.outcome import Answered, Cause, Failed, Finish
from halfrate.domain.result import Asker, Result
from halfrate.domain.usage import Usage

COUNTS = st.integers(0, 1 << 40)
TEXTS = st.text(max_size=20)
FAILURES = st.builds(Failed, st.sampled_from(Cause), TEXTS)
ANSWERS = st.builds(Answered, TEXTS, st.sampled_from(Finish), st.builds(Usage, COUNTS, COUNTS, COUNTS))
ASKERS = st.builds(Asker, COUNTS, st.none() | TEXTS, st.none() | st.binary(max_size=20))
RESULTS = st.builds(Result, ASKERS, ANSWERS | FAILURES)
