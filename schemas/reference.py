"""References to files in a request: ``s3://bucket/key``, ``https://…`` or ``file:///…``."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field
from pydantic.fields import FieldInfo

from schemas.input_model import NOT_TEXT

_SCHEMES = ("s3", "https", "http", "file")
#: Suffixes of S3 access point aliases, which lead to a bucket with another name.
_ALIASES = ("-s3alias", "--ol-s3", ".mrap")
#: The same rules, as far as JSON Schema can express them.
PUBLISHED_BUCKET = r"s3://(?![^/]*(-s3alias|--ol-s3|\.mrap)(/|$))[A-Za-z0-9._-]{3,63}"
_PUBLISHED = (
    rf"^({PUBLISHED_BUCKET}/[\s\S]+|[Hh][Tt][Tt][Pp][Ss]?://(?![^/?#]*@)[^/?#:\s][\s\S]*"
    r"|[Ff][Ii][Ll][Ee]://(localhost)?/[^?#][\s\S]*)$"
)


def scheme_of(uri: str) -> str:
    """Return the scheme of a reference in lower case; empty if it has none."""
    scheme, separator, _ = uri.partition(":")
    return scheme.lower() if separator else ""


def has_url(uri: str) -> bool:
    """Return whether others than this installation can open ``uri``: it is an ``http(s)://`` URL."""
    return scheme_of(uri) in ("https", "http")


def check_bucket(bucket: str) -> None:
    """Check that ``bucket`` is a valid bucket name.

    Raises:
        ValueError: it is an ARN, an access point alias, or a name that S3 does not allow.
    """
    if not 3 <= len(bucket) <= 63 or not all(c.isascii() and (c.isalnum() or c in ".-_") for c in bucket):
        raise ValueError("the bucket's name must be 3-63 letters, digits, dots or hyphens (no ARN, no access point)")
    if bucket.endswith(_ALIASES):
        raise ValueError("is an access point alias; use the name of its bucket")


def split_s3(uri: str) -> tuple[str, str]:
    """Return bucket and key of ``s3://bucket/key``. The key is literal: it is not decoded.

    Raises:
        ValueError: bucket or key is missing or invalid.
    """
    scheme, separator, rest = uri.partition("://")
    bucket, slash, key = rest.partition("/")
    if scheme != "s3" or not separator or not bucket or not slash or not key:
        raise ValueError("must be s3://bucket/key")
    check_bucket(bucket)
    if len(key.encode()) > 1024:
        raise ValueError("the key is longer than 1,024 bytes")
    return bucket, key


def _check(value: str) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError("is not a valid URI; use s3://bucket/key or https://…") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError("must start with s3://, https:// or, in embedded mode, file:///")
    if parts.scheme == "s3":
        split_s3(value)
    elif parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or len(parts.path) < 2:
            raise ValueError("a file URI has three slashes: file:///absolute/path")
    elif not parts.hostname or parts.username is not None:
        raise ValueError("must have a host, and no user name or password")
    return value


@dataclass(frozen=True, slots=True)
class _Mark:
    """Marks the annotation of a field that refers to a file."""


_MARK = _Mark()
MediaReference = Annotated[
    str,
    Field(min_length=1, max_length=2048, json_schema_extra={"pattern": _PUBLISHED}),
    AfterValidator(_check),
    _MARK,
    NOT_TEXT,
]


@dataclass(frozen=True, slots=True)
class Pin:
    """The content of an object at one time: its version, or its ETag in a bucket without versions."""

    version: str | None = None
    etag: str | None = None

    @property
    def label(self) -> str:
        """Text for messages: ``version …`` or ``ETag …``."""
        return f"version {self.version}" if self.version is not None else f"ETag {self.etag}"

    def as_record(self) -> dict[str, Any]:
        """Return the pin as JSON. ``Pin(**record)`` is the inverse."""
        return asdict(self)


def references(model: BaseModel) -> list[tuple[str, str]]:
    """Return every file reference in ``model`` with its path: ``[("image", "s3://…"), ("scenes.0.image", "…")]``.

    A reference is a value of a field whose annotation contains ``MediaReference``. Lists, dictionaries and nested
    models are searched, too.
    """
    return list(_in_model(model, ""))


def is_reference(field: FieldInfo) -> bool:
    """Return whether the field's annotation contains ``MediaReference`` at any depth."""
    return _MARK in field.metadata or _marked(field.annotation)


def _in_model(model: BaseModel, prefix: str) -> Iterator[tuple[str, str]]:
    for name, marked in _fields(type(model)):
        yield from _in_value(getattr(model, name), prefix + name, marked=marked)


@functools.cache
def _fields(model: type[BaseModel]) -> list[tuple[str, bool]]:
    """Return the fields, each with whether it can hold a reference. Cached, because every request is searched."""
    return [(name, is_reference(field)) for name, field in model.model_fields.items()]


def _in_value(value: Any, path: str, *, marked: bool) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if marked:
            yield path, value
    elif value is None or isinstance(value, int | float):
        pass  # most values; to ask whether they are models or mappings takes longer
    elif isinstance(value, BaseModel):
        yield from _in_model(value, path + ".")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _in_value(item, f"{path}.{key}", marked=marked)
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            yield from _in_value(item, f"{path}.{index}", marked=marked)


def _marked(annotation: Any) -> bool:
    return _MARK in getattr(annotation, "__metadata__", ()) or any(map(_marked, get_args(annotation)))
