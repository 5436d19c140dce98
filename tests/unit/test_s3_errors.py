"""What S3 says, in Telecine's words: what passes is tried again, what does not fails at once."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    FlexibleChecksumError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)

from consumer.storage.s3_errors import reading, writing
from schemas.errors import (
    ChecksumMismatch,
    ConfigurationError,
    InputForbidden,
    InputNotFound,
    InputUnavailable,
    OutputForbidden,
    StorageUnavailable,
    TelecineError,
)

URI = "s3://inbox/song.mp3"
CANARY = "canary-secret"


def _refusal(code: str, status: int) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": f"https://x/?X-Amz-Signature={CANARY}"},
            "ResponseMetadata": {
                "HTTPStatusCode": status,
                "RequestId": "R-1",
                "HostId": "",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        },
        "GetObject",
    )


@pytest.mark.parametrize(
    ("code", "status", "read", "write"),
    [
        ("NoSuchKey", 404, InputNotFound, OutputForbidden),
        ("404", 404, InputNotFound, OutputForbidden),
        ("NoSuchBucket", 404, InputNotFound, OutputForbidden),
        ("AccessDenied", 403, InputForbidden, OutputForbidden),
        ("403", 403, InputForbidden, OutputForbidden),
        ("InvalidAccessKeyId", 403, InputForbidden, OutputForbidden),
        ("InvalidObjectState", 403, InputForbidden, OutputForbidden),
        ("KeyTooLongError", 400, InputForbidden, OutputForbidden),
        ("SlowDown", 503, InputUnavailable, StorageUnavailable),
        ("InternalError", 500, InputUnavailable, StorageUnavailable),
        ("TooManyRequests", 429, InputUnavailable, StorageUnavailable),
        ("RequestTimeout", 400, InputUnavailable, StorageUnavailable),
        ("RequestTimeTooSkewed", 403, InputUnavailable, StorageUnavailable),
        ("ExpiredToken", 400, InputUnavailable, StorageUnavailable),
        ("OperationAborted", 409, InputUnavailable, StorageUnavailable),
        ("BadDigest", 400, InputForbidden, ChecksumMismatch),
        ("NotImplemented", 501, InputUnavailable, ConfigurationError),
    ],
)
def test_every_refusal_has_its_error(
    code: str, status: int, read: type[TelecineError], write: type[TelecineError]
) -> None:
    for place, kind in ((reading, read), (writing, write)):
        with pytest.raises(kind) as told, place(URI):
            raise _refusal(code, status)
        assert type(told.value) is kind
        assert code in str(told.value)
        assert "R-1" in str(told.value)
        assert CANARY not in str(told.value)


def test_an_answer_without_a_body_has_its_status_named_once() -> None:
    with pytest.raises(InputNotFound) as told, reading(URI):
        raise _refusal("404", 404)
    assert "(HTTP 404, request R-1)" in str(told.value)
    with pytest.raises(InputNotFound) as told, reading(URI):
        raise _refusal("NoSuchKey", 404)
    assert "(NoSuchKey, HTTP 404, request R-1)" in str(told.value)


def test_a_missing_bucket_and_a_missing_key_are_told_apart() -> None:
    with pytest.raises(InputNotFound, match="bucket inbox"), reading(URI):
        raise _refusal("NoSuchBucket", 404)
    with pytest.raises(InputNotFound, match=r"object s3://inbox/song\.mp3"), reading(URI):
        raise _refusal("NoSuchKey", 404)


@pytest.mark.parametrize(
    "fault",
    [
        EndpointConnectionError(endpoint_url=f"https://{CANARY}"),
        ReadTimeoutError(endpoint_url=f"https://{CANARY}"),
        IncompleteReadError(actual_bytes=1, expected_bytes=2),
        NoCredentialsError(),
        ConnectionResetError(CANARY),
        TimeoutError(CANARY),
    ],
)
def test_faults_of_the_network_are_tried_again_later(fault: Exception) -> None:
    with pytest.raises(InputUnavailable) as read, reading(URI):
        raise fault
    with pytest.raises(StorageUnavailable) as write, writing(URI):
        raise fault
    assert CANARY not in str(read.value) + str(write.value)


def test_a_wrong_checksum_and_an_impossible_name_have_their_own_errors() -> None:
    with pytest.raises(ChecksumMismatch), reading(URI):
        raise FlexibleChecksumError(error_msg="x")
    for place, kind in ((reading, InputForbidden), (writing, OutputForbidden)):
        with pytest.raises(kind), place(URI):
            raise ParamValidationError(report="Invalid bucket name")


def test_errors_of_this_machine_and_of_telecine_pass_as_they_are() -> None:
    for error in (OSError(28, "No space left on device"), InputForbidden("x")):
        with pytest.raises(type(error)) as told, reading(URI):
            raise error
        assert told.value is error
