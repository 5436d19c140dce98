"""Open the storage that the settings name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from consumer.storage.base import Storage
from consumer.storage.folder import FolderStorage
from consumer.storage.memory import MemoryStorage
from schemas.errors import ConfigurationError


def open_storage(
    kind: Literal["folder", "s3", "memory"],
    *,
    folder: Path | None = None,
    endpoint_url: str | None = None,
    region: str | None = None,
    path_style: bool = False,
    checksums: bool = True,
    tags: bool = True,
    bucket_owners: Mapping[str, str] | None = None,
    outputs: Sequence[str] = (),
    connect_timeout_seconds: float = 5.0,
    read_timeout_seconds: float = 60.0,
    attempts: int = 3,
) -> Storage:
    """Return the storage. ``folder`` is for kind ``folder``, all later arguments for kind ``s3``.

    Does not connect yet. boto3 is imported only for S3, because it takes half a second.
    """
    if kind == "memory":
        return MemoryStorage()
    if kind == "folder":
        if folder is None:
            raise ConfigurationError("Storage of the kind `folder` needs a folder.")
        return FolderStorage(folder)
    from consumer.storage.s3 import S3Storage
    from consumer.storage.s3_client import S3Options

    return S3Storage(
        S3Options(
            endpoint_url=endpoint_url,
            region=region,
            path_style=path_style,
            checksums=checksums,
            tags=tags,
            bucket_owners=bucket_owners or {},
            outputs=outputs,
            connect_timeout_seconds=connect_timeout_seconds,
            read_timeout_seconds=read_timeout_seconds,
            attempts=attempts,
        )
    )
