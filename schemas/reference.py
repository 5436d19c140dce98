"""How a request names a file: ``s3://bucket/key``, ``https://…`` or ``file:///…``."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field
from pydantic.fields import FieldInfo

_SCHEMES = ("s3", "https", "http", "file")
#: How S3 ends the names of access points, which lead to a bucket of another name.
_ALIASES = ("-s3alias", "--ol-s3", ".mrap")
#: The same rules as far as JSON Schema can say them.
PUBLISHED_BUCKET = r"s3://(?![^/]*(-s3alias|--ol-s3|\.mrap)(/|$))[A-Za-z0-9._-]{3,63}"
_PUBLISHED = (
    rf"^({PUBLISHED_BUCKET}/[\s\S]+|[Hh][Tt][Tt][Pp][Ss]?://(?![^/?#]*@)[^/?#:\s][\s\S]*"
    r"|[Ff][Ii][Ll][Ee]://(localhost)?/[^?#][\s\S]*)$"
)


def check_bucket(bucket: str) -> None:
    """Returns if ``bucket`` is the name of a bucket.

    Raises:
        ValueError: it is an ARN, an access point or nothing that S3 allows.
    """
    if not 3 <= len(bucket) <= 63 or not all(c.isascii() and (c.isalnum() or c in ".-_") for c in bucket):
        raise ValueError("the bucket's name must be 3-63 letters, digits, dots or hyphens (no ARN, no access point)")
    if bucket.endswith(_ALIASES):
        raise ValueError("names an access point; name its bucket")


def split_s3(uri: str) -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``. The key is taken literally: nothing in it is decoded.

    Raises:
        ValueError: there is no bucket, no key, or the bucket is not a bucket's name.
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
        raise ValueError("is not a URI; use s3://bucket/key or https://…") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError("must start with s3://, https:// or, in embedded mode, file:///")
    if parts.scheme == "s3":
        split_s3(value)
    elif parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or len(parts.path) < 2:
            raise ValueError("a file URI has three slashes: file:///absolute/path")
    elif not parts.hostname or parts.username is not None:
        raise ValueError("must name a host and carry no user name or password")
    return value


@dataclass(frozen=True, slots=True)
class _Mark:
    """Stands in the annotation of a field that names a file."""


_MARK = _Mark()
MediaReference = Annotated[
    str,
    Field(min_length=1, max_length=2048, json_schema_extra={"pattern": _PUBLISHED}),
    AfterValidator(_check),
    _MARK,
]


def references(model: BaseModel) -> list[tuple[str, str]]:
    """Every file that ``model`` names, with its field: ``[("image", "s3://…"), ("scenes.0.image", "…")]``.

    These are the values of the fields whose annotation holds ``MediaReference``, in lists, dictionaries
    and models of models too.
    """
    return list(_in_model(model, ""))


def is_reference(field: FieldInfo) -> bool:
    """Whether the field's annotation holds ``MediaReference``, however deep."""
    return _MARK in field.metadata or _marked(field.annotation)


def _in_model(model: BaseModel, prefix: str) -> Iterator[tuple[str, str]]:
    for name, marked in _fields(type(model)):
        yield from _in_value(getattr(model, name), prefix + name, marked=marked)


@functools.cache
def _fields(model: type[BaseModel]) -> list[tuple[str, bool]]:
    """The fields, and whether each holds a reference. Worked out once: every request is looked through."""
    return [(name, is_reference(field)) for name, field in model.model_fields.items()]


def _in_value(value: Any, path: str, *, marked: bool) -> Iterator[tuple[str, str]]:
    if isinstance(value, BaseModel):
        yield from _in_model(value, path + ".")
    elif isinstance(value, str):
        if marked:
            yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _in_value(item, f"{path}.{key}", marked=marked)
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            yield from _in_value(item, f"{path}.{index}", marked=marked)


def _marked(annotation: Any) -> bool:
    return _MARK in getattr(annotation, "__metadata__", ()) or any(map(_marked, get_args(annotation)))
