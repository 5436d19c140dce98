"""S3's errors as Telecine's.

Only the error's code, the HTTP status and the request id are repeated: the messages of botocore and urllib3 may
contain signed URLs. For the same reason the cause is not chained.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    ParamValidationError,
)
from urllib3.exceptions import HTTPError

from consumer.storage.base import input_replaced
from consumer.storage.s3_credentials import advice, rejection, rejections
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
from schemas.reference import Pin

#: Temporary error codes, besides every 5xx and 429.
_TEMPORARY = frozenset(
    {
        "ConditionalRequestConflict",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestTimeout",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
    }
)
#: About one object, not about the server: another write was in progress.
_CONFLICTS = frozenset({"ConditionalRequestConflict", "OperationAborted"})
_DAMAGED = frozenset({"BadDigest", "IncompleteBody", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"})
_TRANSPORT = (BotoCoreError, HTTPError, ConnectionError, TimeoutError)


def code_of(error: ClientError) -> tuple[str, int]:
    """Return S3's code and the HTTP status. Responses to HEAD have no body, so their code is the status."""
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return str(error.response.get("Error", {}).get("Code", "")), status


@contextlib.contextmanager
def reading(uri: str, owner: str | None = None, pin: Pin | None = None) -> Iterator[None]:
    """Turn S3's errors about reading ``uri`` into InputErrors.

    ``owner`` is the account that the bucket must have, ``pin`` the content that was asked for.
    """
    try:
        with _credentials_explained(InputUnavailable):
            yield
    except ClientError as error:
        raise _read_error(uri, error, owner, pin or Pin()) from None
    except FlexibleChecksumError:
        raise ChecksumMismatch(f"{uri} was received with a different checksum than it was stored with.") from None
    except ParamValidationError:
        raise InputForbidden(f"{uri} is not a name that S3 allows.") from None
    except _TRANSPORT as error:
        reason = f"{uri} could not be fetched ({type(error).__name__}). Will retry."
        raise InputUnavailable(reason, outage=True) from None


@contextlib.contextmanager
def writing(uri: str, owner: str | None = None, *, by_default: bool = False) -> Iterator[None]:
    """Turn S3's errors about writing or deleting ``uri`` into StorageErrors; ``owner`` as in ``reading``.

    ``by_default``: this installation chose the location, so a missing bucket or permission is its own fault.
    """
    try:
        with _credentials_explained(StorageUnavailable):
            yield
    except ClientError as error:
        refused = by_default and code_of(error)[1] in (403, 404)
        raise (_default_output_error(uri, error) if refused else _write_error(uri, error, owner)) from None
    except ParamValidationError:
        raise OutputForbidden(f"{uri} is not a name that S3 allows. Change `output`.", field="output") from None
    except _TRANSPORT as error:
        reason = f"{uri} could not be written ({type(error).__name__}). Will retry."
        raise StorageUnavailable(reason, outage=True) from None


@contextlib.contextmanager
def _credentials_explained(kind: type[TelecineError]) -> Iterator[None]:
    """Raise ``kind`` for an error about this worker's own credentials: the request is not to blame, and waits."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        if (reason := rejection(error)) is None:
            raise
        rejections.add(reason)
        shown = _details(error) if isinstance(error, ClientError) else f"({reason})"
        message = f"The object storage does not accept this worker's credentials {shown}: {advice(reason)}. Will retry."
        raise kind(message, outage=True) from None


def _read_error(uri: str, error: ClientError, owner: str | None, pin: Pin) -> TelecineError:
    code, status = code_of(error)
    details = _details(error)
    bucket = uri.split("/")[2]
    if code == "NoSuchBucket":
        return InputNotFound(f"The bucket {bucket} of {uri} does not exist {details}")
    if status == 404 and pin.version is not None:
        return InputNotFound(f"Version {pin.version} of {uri} no longer exists. Upload it again {details}")
    if status == 412:
        return input_replaced(uri, pin)
    if code == "NoSuchKey" or status == 404:
        return InputNotFound(f"The object {uri} does not exist. Upload it before sending the request {details}")
    if _is_temporary(code, status):
        return InputUnavailable(f"{uri} could not be fetched {details}. Will retry.", outage=_is_outage(code, status))
    if code == "InvalidObjectState":
        return InputForbidden(f"{uri} is archived. Restore it before sending the request {details}")
    action = "s3:GetObject" if pin.version is None else "s3:GetObjectVersion"
    return InputForbidden(
        f"{uri} may not be read. Grant the worker {action}, and s3:ListBucket so that it can"
        f" distinguish a missing object from a forbidden one{_or_other_owner(bucket, owner)} {details}"
    )


def _write_error(uri: str, error: ClientError, owner: str | None) -> TelecineError:
    code, status = code_of(error)
    details = _details(error)
    bucket = uri.split("/")[2]
    if code == "NoSuchBucket" or status == 404:
        return OutputForbidden(
            f"The bucket {bucket} does not exist. Make it or change `output` {details}", field="output"
        )
    if code in _DAMAGED:
        return ChecksumMismatch(f"{uri} did not arrive as it was sent {details}")
    if status == 501:
        return ConfigurationError(f"The S3 endpoint cannot do what Telecine needs; see `telecine doctor` {details}")
    if _is_temporary(code, status):
        return StorageUnavailable(f"{uri} could not be written {details}. Will retry.", outage=_is_outage(code, status))
    return OutputForbidden(
        f"{uri} may not be written. Grant write access or change `output`{_or_other_owner(bucket, owner)} {details}",
        field="output",
    )


def _default_output_error(uri: str, error: ClientError) -> StorageUnavailable:
    return StorageUnavailable(
        f"{uri} may not be written, although results go there by default: the bucket has to exist, and the worker needs"
        f" s3:PutObject and s3:GetObject for it {_details(error)}. Will retry.",
        outage=True,
    )


def _or_other_owner(bucket: str, owner: str | None) -> str:
    """Return a hint: S3 answers only "forbidden" if a bucket has another owner than the expected one."""
    if owner is None:
        return ""
    return f"; or the bucket {bucket} does not belong to account {owner} (TELECINE_S3_BUCKET_OWNERS)"


def _is_temporary(code: str, status: int) -> bool:
    return code in _TEMPORARY or status >= 500 or status in (0, 408, 409, 429)


def _is_outage(code: str, status: int) -> bool:
    return code not in _CONFLICTS and status != 409


def _details(error: ClientError) -> str:
    code, status = code_of(error)
    request = error.response.get("ResponseMetadata", {}).get("RequestId", "")
    named = f"{code}, " if code and not code.isdecimal() else ""  # a response to HEAD has no code but its status
    return f"({named}HTTP {status}{', request ' + request if request else ''})"
