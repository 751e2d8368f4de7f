"""Every refusal has an HTTP answer, every failed Request a gRPC code."""

from __future__ import annotations

import json

import pytest

from halfrate.domain import errors as domain
from halfrate.domain.outcome import Cause, Failed
from halfrate.wire.gemini import errors


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (domain.InvalidArgument("m"), 400, "INVALID_ARGUMENT"),
        (domain.FailedPrecondition("m"), 400, "FAILED_PRECONDITION"),
        (domain.Forbidden("m"), 403, "PERMISSION_DENIED"),
        (domain.NotFound("m"), 404, "NOT_FOUND"),
        (domain.AlreadyExists("m"), 409, "ALREADY_EXISTS"),
        (domain.ResourceExhausted("m"), 429, "RESOURCE_EXHAUSTED"),
        (domain.Unimplemented("m"), 501, "UNIMPLEMENTED"),
        (domain.Unavailable("m"), 503, "UNAVAILABLE"),
    ],
)
def test_every_refusal_has_its_status(error, code, status):
    http, body = errors.refusal(error)
    assert http == code
    assert json.loads(body) == {"error": {"code": code, "message": "m", "status": status}}


def test_no_refusal_is_forgotten():
    assert set(domain.Refusal.__subclasses__()) == set(errors._STATUS_OF_REFUSAL)


def test_violations_are_told_in_a_detail():
    error = domain.InvalidArgument("m", (("batch", "d"), ("", "root")))
    assert json.loads(errors.refusal(error)[1])["error"]["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": "batch", "description": "d"}, {"description": "root"}],
        }
    ]


@pytest.mark.parametrize("cause", Cause)
def test_every_failure_has_both_codes(cause):
    http, body = errors.failure(Failed(cause, "why"))
    assert 400 <= http <= 599
    assert json.loads(body)["error"] == {
        "code": http,
        "message": "why",
        "status": json.loads(body)["error"]["status"],
    }
    assert 1 <= errors.status_of(Failed(cause, "why")).code <= 16
