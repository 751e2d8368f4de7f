"""Files and uploads, as clients write and see them."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from halfrate.domain.errors import InvalidArgument, Unimplemented
from halfrate.domain.file import File, FileSource
from halfrate.wire.gemini.files import (
    NewFile,
    UploadCommand,
    file_resource,
    parse_commands,
    parse_digests,
    parse_file_name,
    parse_new_file,
    parse_offset,
    raw_file,
)


def test_an_empty_start_takes_everything_from_the_headers():
    headers = {"x-goog-upload-header-content-type": "jsonl", "x-goog-upload-header-content-length": "12"}
    for body in (b"", b"{}", b'{"file": {}}', b'{"file": null}'):
        assert parse_new_file(body, headers) == NewFile(None, "", "jsonl", 12)
    assert parse_new_file(b"", {}) == NewFile(None, "", "application/octet-stream", None)


def test_a_start_in_either_spelling():
    expected = NewFile("my-name", "d", "text/plain", 9)
    for body in (
        b'{"file": {"name": "files/my-name", "display_name": "d", "mime_type": "text/plain", "size_bytes": 9}}',  # noqa: E501
        b'{"file": {"name": "my-name", "displayName": "d", "mimeType": "text/plain", "sizeBytes": "9"}}',
        b"{'file': {'name': 'my-name', 'display_name': 'd', 'mimeType': 'text/plain', 'sizeBytes': '9'}}",
    ):
        assert parse_new_file(body, {}) == expected


def test_a_raw_upload_has_its_type_in_the_headers():
    assert raw_file({"content-type": "application/jsonl"}).mime_type == "application/jsonl"
    assert (
        raw_file({"content-type": "x/y", "x-goog-upload-header-content-type": "jsonl"}).mime_type == "jsonl"
    )


@pytest.mark.parametrize(
    "mime_type",
    ["jsonl", "application/jsonl", "application/json", "text/plain", "application/x-ndjson",
     "application/jsonlines", "application/json-lines", "text/plain; charset=utf-8", "image/png"],
)  # fmt: skip
def test_types_seen_in_the_wild_are_kept_as_sent(mime_type):
    assert raw_file({"content-type": mime_type}).mime_type == mime_type


@pytest.mark.parametrize("mime_type", ["bad/mime_type", "jsonll", "text", "text/", "a b/c"])
def test_other_types_are_refused(mime_type):
    with pytest.raises(InvalidArgument, match="Unsupported MIME"):
        raw_file({"content-type": mime_type})


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"file": {"name": "files/' + b"a" * 41 + b'"}}', "cannot be more than 40 characters"),
        (b'{"file": {"name": "files/-a"}}', "no dash at either end"),
        (b'{"file": {"name": "files/A"}}', "lowercase"),
        (b'{"file": {"displayName": "' + b"a" * 513 + b'"}}', "longer than 512"),
        (b'{"file": {"sizeBytes": -1}}', "must not be negative"),
        (b'{"file": {"size": 1}}', "Unknown name \"size\" at 'file'"),
    ],
)
def test_a_bad_start_is_refused(body, says):
    with pytest.raises(InvalidArgument) as caught:
        parse_new_file(body, {})
    assert says in str(caught.value)


def test_commands():
    assert parse_commands(None) == set()
    assert parse_commands("start") == {UploadCommand.START}
    assert parse_commands("Upload,  finalize") == {UploadCommand.UPLOAD, UploadCommand.FINALIZE}
    with pytest.raises(InvalidArgument, match="Upload-Command"):
        parse_commands("upload, explode")


def test_offsets():
    assert parse_offset("8388608") == 8388608
    for bad in (None, "", "-1", "x", "1.5"):
        with pytest.raises(InvalidArgument, match="Upload-Offset"):
            parse_offset(bad)


def test_names_of_files():
    assert parse_file_name("files/abc-1") == "abc-1"
    assert parse_file_name("http://h:1/v1beta/files/abc") == "abc"
    for bad in ("", "abc", "files/", "files/a/b", "files/../a", "files/a%2Fb", "files/" + "A"):
        with pytest.raises(InvalidArgument):
            parse_file_name(bad)


def test_a_file_is_shown_as_the_api_does():
    digest = hashlib.sha256(b"x").hexdigest()
    file = File(
        "abc", "d", "jsonl", 154, digest, "blob", FileSource.UPLOADED, 1_767_225_600.5, 1_767_398_400.5
    )
    assert file_resource(file, base_url="http://h/v1") == {
        "name": "files/abc",
        "displayName": "d",
        "mimeType": "jsonl",
        "sizeBytes": "154",
        "createTime": "2026-01-01T00:00:00.500000Z",
        "updateTime": "2026-01-01T00:00:00.500000Z",
        "expirationTime": "2026-01-03T00:00:00.500000Z",
        "sha256Hash": base64.b64encode(digest.encode()).decode(),
        "uri": "http://h/v1/files/abc",
        "state": "ACTIVE",
        "source": "UPLOADED",
    }


def test_a_generated_file_says_where_to_download_it():
    file = File("batch-j", "", "jsonl", 0, "", "blob", FileSource.GENERATED, 0.0, 1.0)
    shown = file_resource(file, base_url="http://h/p/v1")
    assert shown["downloadUri"] == "http://h/p/v1/files/batch-j:download?alt=media"
    assert "displayName" not in shown
    assert "sizeBytes" not in shown


# What a client says its bytes hash to ------------------------------------------------------------------

SHA256 = hashlib.sha256(b"bytes").digest()
MD5 = hashlib.md5(b"bytes").digest()


@pytest.mark.parametrize(
    "sent",
    [
        SHA256.hex(),
        SHA256.hex().upper(),
        base64.b64encode(SHA256).decode(),
        base64.b64encode(SHA256).decode().rstrip("="),
        base64.urlsafe_b64encode(SHA256).decode(),
        base64.b64encode(SHA256.hex().encode()).decode(),
    ],
)
def test_a_digest_is_read_in_every_form_that_is_about(sent):
    body = json.dumps({"file": {"sha256Hash": sent}}).encode()
    assert parse_new_file(body, {}).sha256 == SHA256.hex()
    assert parse_digests({"x-goog-hash": f"crc32c=AAAAAA==, sha256={sent}"}) == {"sha256": SHA256.hex()}


def test_a_hash_header_is_read_on_every_kind_of_upload():
    headers = {"x-goog-hash": f"crc32c=AAAAAA==,md5={base64.b64encode(MD5).decode()}"}
    assert parse_new_file(b"", headers).md5 == MD5.hex()
    assert raw_file(headers).md5 == MD5.hex()
    assert parse_digests({}) == {}


@pytest.mark.parametrize(
    "sent", ["", "zz", "%", "AAAA", SHA256.hex()[:-1], "é", base64.b64encode(MD5).decode()]
)
def test_a_digest_that_is_none_is_refused(sent):
    with pytest.raises(InvalidArgument, match="sha256"):
        parse_new_file(json.dumps({"file": {"sha256Hash": sent}}).encode(), {})


def test_a_hash_that_cannot_be_checked_is_not_passed_over():
    with pytest.raises(Unimplemented, match="only sha256 and md5 are checked"):
        parse_digests({"x-goog-hash": "crc32c=AAAAAA=="})


@pytest.mark.parametrize("sent", ["", "-1", "1.5", "1e3", "0x1", "\u0661", "9" * 5_000, "1 2", "+1"])
def test_a_number_of_bytes_is_digits_and_not_too_many(sent):
    with pytest.raises(InvalidArgument, match="X-Goog-Upload-Offset is"):
        parse_offset(sent)
    if sent:
        with pytest.raises(InvalidArgument, match="X-Goog-Upload-Header-Content-Length is"):
            parse_new_file(b"", {"x-goog-upload-header-content-length": sent})
