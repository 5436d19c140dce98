"""Requests uploaded to S3, and results read from it."""

from __future__ import annotations

import json
import time
from typing import Any, cast

from telecine_client.door import Door, extra
from telecine_client.errors import RequestError, SendError, TelecineError, WaitTimeoutError
from telecine_client.results import Manifest

_MISSING = ("NoSuchKey", "404")


class S3(Door):
    """A folder of a bucket in which a trigger rule with ``manifest = true`` takes uploaded files as requests.

    ``client`` is a boto3 client to use instead of a new one.
    """

    def __init__(self, folder: str, *, suffix: str = ".request.json", client: Any = None) -> None:
        self._bucket, self._prefix = _parts(folder)
        self._suffix = suffix
        self._errors = extra("botocore.exceptions", "aws")
        self._client = extra("boto3", "aws").client("s3") if client is None else client

    def cancel(self, job_id: str) -> None:
        """Raise an error: Telecine takes no control messages from a bucket.

        Raises:
            RequestError: Always.
        """
        raise RequestError("invalid_request", f"a bucket takes requests only; cancel {job_id} by another door")

    def _send(self, body: bytes, name: str) -> None:
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=f"{self._prefix}{name}{self._suffix}",
                Body=body,
                ContentType="application/json",
            )
        except (self._errors.BotoCoreError, self._errors.ClientError) as error:
            raise SendError(f"S3 bucket {self._bucket}: {error}") from error


class Results:
    """The results below an ``output``, such as ``s3://results/orders/``.

    ``client`` is a boto3 client to use instead of a new one.
    """

    def __init__(self, output: str, *, client: Any = None) -> None:
        self._bucket, self._prefix = _parts(output)
        self._errors = extra("botocore.exceptions", "aws")
        self._client = extra("boto3", "aws").client("s3") if client is None else client

    def manifest(self, job_id: str) -> Manifest | None:
        """Return the manifest of a completed job; ``None`` as long as there is none.

        Raises:
            TelecineError: The bucket cannot be read.
        """
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=f"{self._prefix}{job_id}/manifest.json")
            return cast("Manifest", json.loads(found["Body"].read()))
        except self._errors.ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return None
            raise TelecineError("storage_unavailable", f"S3 bucket {self._bucket}: {error}") from error
        except self._errors.BotoCoreError as error:
            raise TelecineError("storage_unavailable", f"S3 bucket {self._bucket}: {error}") from error

    def wait(self, job_id: str, *, timeout: float = 600.0, poll_seconds: float = 1.0) -> Manifest:
        """Wait for the manifest of a job and return it. It is written last, so all files are there.

        A job that fails has no manifest: this ends with a timeout. Callbacks and the edge report failures.

        Raises:
            WaitTimeoutError: There is no manifest after ``timeout`` seconds.
            TelecineError: The bucket cannot be read.
        """
        deadline = time.monotonic() + timeout
        while (found := self.manifest(job_id)) is None:
            if time.monotonic() + poll_seconds > deadline:
                raise WaitTimeoutError(
                    f"the job {job_id} has no manifest after {timeout:g} s: it has not completed, or it failed; "
                    "callbacks and the edge report failures"
                )
            time.sleep(poll_seconds)
        return found


def _parts(uri: str) -> tuple[str, str]:
    """Return bucket and prefix of an S3 URI.

    Raises:
        ValueError: It is none.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise ValueError(f"{uri!r} is not s3://bucket/prefix/")
    return bucket, f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
