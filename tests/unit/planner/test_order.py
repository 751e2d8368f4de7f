from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.outcome import Failed
from halfrate.domain.request import Request
from halfrate.domain.result import Asker
from halfrate.ingest.sort import ExternalSort
from halfrate.planner.order import plan
from halfrate.planner.prefix import sort_key
from halfrate.results.records import decode_assignment, encode_assignment
from tests.unit.planner.strategies import REQUESTS_OR_FAILURES


@given(st.lists(REQUESTS_OR_FAILURES), st.integers(1, 2000), st.sampled_from([0.0, 1.0]))
def test_a_plan_loses_and_repeats_nothing_and_is_in_order(
    tmp_path_factory, requests, memory_bytes, default_temperature
):
    lines = [(Asker(n, key=f"key-{n}"), request) for n, request in enumerate(requests)]
    with ExternalSort(tmp_path_factory.getbasetemp() / "spill", memory_bytes=memory_bytes) as sort:
        planned = list(
            plan(
                lines,
                sort,
                encode=encode_assignment,
                decode=decode_assignment,
                default_temperature=default_temperature,
            )
        )
    by_ordinal = sorted(
        ((asker, assignment.request) for assignment in planned for asker in assignment.askers),
        key=lambda line: line[0].ordinal,
    )
    assert by_ordinal == lines
    keys = [sort_key(assignment.request) for assignment in planned]
    assert keys == sorted(keys)
    assert_twins_are_together(planned, default_temperature)


def assert_twins_are_together(planned, default_temperature):
    for request, assignments in groupby(planned, key=lambda assignment: assignment.request):
        if isinstance(request, Request) and request.sampling.fixed(default_temperature=default_temperature):
            assert len(list(assignments)) == 1
        elif isinstance(request, Failed | Request):
            assert all(len(assignment.askers) == 1 for assignment in assignments)
