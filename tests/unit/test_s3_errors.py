"""Errors of S3 as errors of Telecine: temporary ones are retried, others fail at once."""

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
        with pytest.raises(kind) as caught, place(URI):
            raise _refusal(code, status)
        assert type(caught.value) is kind
        assert code in str(caught.value)
        assert "R-1" in str(caught.value)
        assert CANARY not in str(caught.value)


def test_the_status_of_an_answer_without_a_body_is_shown_once() -> None:
    with pytest.raises(InputNotFound) as caught, reading(URI):
        raise _refusal("404", 404)
    assert "(HTTP 404, request R-1)" in str(caught.value)
    with pytest.raises(InputNotFound) as caught, reading(URI):
        raise _refusal("NoSuchKey", 404)
    assert "(NoSuchKey, HTTP 404, request R-1)" in str(caught.value)


def test_a_missing_bucket_and_a_missing_key_have_different_messages() -> None:
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
def test_network_errors_are_retried(fault: Exception) -> None:
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


def test_errors_of_this_machine_and_of_telecine_are_not_translated() -> None:
    for error in (OSError(28, "No space left on device"), InputForbidden("x")):
        with pytest.raises(type(error)) as caught, reading(URI):
            raise error
        assert caught.value is error
