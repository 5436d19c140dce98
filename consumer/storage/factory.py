"""Open the storage that the settings name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from consumer.storage.base import Storage
from consumer.storage.folder import FolderStorage
from consumer.storage.memory import MemoryStorage
from schemas.errors import ConfigurationError
from schemas.settings import Settings


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


def storage_of(settings: Settings) -> Storage:
    """Open the object store that the settings name."""
    return open_storage(
        settings.storage_kind,
        folder=settings.storage_folder,
        endpoint_url=settings.s3_endpoint_url,
        region=settings.s3_region,
        path_style=settings.s3_path_style and settings.s3_endpoint_url is not None,
        bucket_owners=settings.s3_bucket_owners,
        outputs=default_outputs(settings),
    )


def default_outputs(settings: Settings) -> list[str]:
    """Return the folders that results go to if a request names none."""
    return [settings.output, *(tenant.output for tenant in settings.tenants.values() if tenant.output is not None)]
