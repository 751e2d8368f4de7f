import pytest
from hypothesis import given

from halfrate.domain.errors import CorruptData
from halfrate.domain.outcome import Answered, Cause, Failed, Finish
from halfrate.domain.result import Asker, Result
from halfrate.domain.usage import Usage
from halfrate.results.records import (
    decode_ordinal,
    decode_result,
    encode_result,
)
from tests.unit.results.strategies import RESULTS


@given(RESULTS)
def test_a_result_comes_back_equal(result):
    payload = encode_result(result)
    assert decode_result(payload) == result
    assert decode_ordinal(payload) == result.asker.ordinal


def test_records_are_compact():
    answer = Answered.of("x" * 100, Finish.STOP, Usage(100, 50))
    assert len(encode_result(Result(Asker(7, "key-7"), answer))) < 140


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x01\x93", b"\x01\xc0"])
def test_bytes_that_are_no_record_raise(payload):
    for decode in (decode_result, decode_ordinal):
        with pytest.raises(CorruptData, match=r"Run the Job again|another version"):
            decode(payload)


def test_a_record_of_another_version_says_so():
    payload = b"\x02" + encode_result(Result(Asker(0), Failed(Cause.INVALID, "no")))[1:]
    with pytest.raises(CorruptData, match="another version wrote it"):
        decode_result(payload)


def test_a_record_from_before_results_said_their_engine_is_read():
    result = Result(Asker(3, "k"), Failed(Cause.INVALID, "no"))
    payload = encode_result(result)
    three, two, nothing = b"\x93", b"\x92", b"\xc0"
    assert payload[1:2] + payload[-1:] == three + nothing
    assert decode_result(payload[:1] + two + payload[2:-1]) == result
