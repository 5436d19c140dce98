"""S3 events in the forms that servers send."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, quote_plus


def notified(
    key: str,
    *,
    bucket: str = "inbox",
    source: str = "aws:s3",
    etag: str | None = None,
    version: str | None = None,
    event: str = "ObjectCreated:Put",
) -> dict[str, Any]:
    """Return a notification of S3, MinIO or Ceph, by ``source``. Each encodes the key differently."""
    written = key if source.startswith("ceph") else quote_plus(key, safe="" if source.startswith("minio") else "/")
    thing: dict[str, Any] = {"key": written, "size": 1}
    if etag is not None:
        thing["eTag"] = etag
    if version is not None:
        thing["versionId"] = version
    name = f"s3:{event}" if source.startswith("minio") else event
    record = {
        "eventVersion": "2.1",
        "eventSource": source,
        "eventName": name,
        "s3": {"bucket": {"name": bucket}, "object": thing},
    }
    if source.startswith("minio"):
        return {"EventName": name, "Key": f"{bucket}/{key}", "Records": [record]}
    return {"Records": [record]}


def bridged(key: str, *, bucket: str = "inbox", etag: str | None = None, version: str | None = None) -> dict[str, Any]:
    """Return an event of EventBridge."""
    thing: dict[str, Any] = {"key": key, "size": 1, "sequencer": "617f08299329d189"} if etag else {"key": key}
    if etag is not None:
        thing["etag"] = etag
    if version is not None:
        thing["version-id"] = version
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "resources": [f"arn:aws:s3:::{quote(bucket)}"],
        "detail": {"version": "0", "bucket": {"name": bucket}, "object": thing, "reason": "PutObject"},
    }


def wrapped(message: dict[str, Any]) -> dict[str, Any]:
    """Return the message as SNS forwards it."""
    return {"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:::t", "Message": json.dumps(message)}
