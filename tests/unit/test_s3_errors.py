"""Errors of S3 as errors of Telecine: temporary ones are retried, others fail at once."""

from __future__ import annotations

import pytest
import structlog
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    FlexibleChecksumError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from consumer.storage import s3_client, s3_credentials, s3_errors
from consumer.storage.s3_errors import reading, writing
from schemas.errors import (
    ChecksumMismatch,
    ConfigurationError,
    InputForbidden,
    InputNotFound,
    InputUnavailable,
    OutputForbidden,
    StorageError,
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


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("SignatureDoesNotMatch", 403),
        ("InvalidAccessKeyId", 403),
        ("InvalidToken", 400),
        ("ExpiredToken", 400),
        ("AuthFailure", 401),
        ("AccountProblem", 403),
        ("RequestTimeTooSkewed", 403),
        ("NotSignedUp", 403),
        ("InvalidClientTokenId", 403),
        ("UnrecognizedClientException", 400),
        ("AuthorizationHeaderMalformed", 400),
        ("MissingSecurityHeader", 400),
        ("com.amazon.coral.service#UnrecognizedClientException", 400),
        ("AnyOtherCode", 401),
    ],
)
def test_rejected_credentials_are_an_outage_of_this_side_friction_H3(code: str, status: int) -> None:
    for place, kind in ((reading, InputUnavailable), (writing, StorageUnavailable)):
        with pytest.raises(kind, match="credentials") as caught, place(URI):
            raise _refusal(code, status)
        assert caught.value.outage
        assert caught.value.retryable
        assert code in str(caught.value)
        assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        NoCredentialsError(),
        PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
        ProfileNotFound(profile=CANARY),
        SSOTokenLoadError(error_msg=CANARY),
        TokenRetrievalError(provider="sso", error_msg=CANARY),
        UnauthorizedSSOTokenError(),
        ClientError({"Error": {"Code": "AccessDenied", "Message": CANARY}}, "AssumeRoleWithWebIdentity"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_credentials_that_cannot_be_had_are_an_outage_of_this_side_friction_H3(fault: Exception) -> None:
    for place, kind in ((reading, InputUnavailable), (writing, StorageUnavailable)):
        with pytest.raises(kind, match="credentials") as caught, place(URI):
            raise fault
        assert caught.value.outage
        assert CANARY not in str(caught.value)


def test_a_denied_object_is_the_fault_of_its_request_friction_H3_control() -> None:
    with pytest.raises(InputForbidden) as caught, reading(URI):
        raise _refusal("AccessDenied", 403)
    assert not caught.value.outage


def test_rejected_credentials_are_logged_once_and_read_again_friction_H3(monkeypatch: pytest.MonkeyPatch) -> None:
    rejections = s3_credentials._Rejections()
    # A new logger, because one that was used before may keep its configuration.
    monkeypatch.setattr(s3_credentials, "log", structlog.get_logger())
    monkeypatch.setattr(s3_errors, "rejections", rejections)
    monkeypatch.setattr(s3_client, "rejections", rejections)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "old")
    connection = s3_client.S3Connection(s3_client.S3Options(region="eu-west-1"))
    assert connection.client() is connection.client()
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(InputUnavailable), reading(URI):
                raise _refusal("InvalidAccessKeyId", 403)
    assert [(line["event"], line["log_level"], line["reason"]) for line in lines] == [
        ("credentials_rejected", "error", "InvalidAccessKeyId")
    ]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "new")
    assert "Credential=new" in connection.client().generate_presigned_url("list_buckets").replace("%2F", "/")


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


@pytest.mark.parametrize(
    ("code", "status", "waits"),
    [("AccessDenied", 403, True), ("403", 403, True), ("NoSuchBucket", 404, True), ("KeyTooLongError", 400, False)],
)
def test_a_refusal_to_write_where_results_go_by_default_is_an_outage(code: str, status: int, waits: bool) -> None:
    with pytest.raises(StorageError) as caught, writing(URI, by_default=True):
        raise _refusal(code, status)
    assert (type(caught.value) is StorageUnavailable, caught.value.outage) == (waits, waits)
    assert (code in str(caught.value), CANARY in str(caught.value)) == (True, False)


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
