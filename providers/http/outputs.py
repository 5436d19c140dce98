"""Find the files in a provider's output, however it is nested.

Only whole strings count: ``https://…`` inside a sentence is text. A string that is a JSON document is searched like the
output itself, and base64 of a known kind of file counts as a ``data:`` URI. Which of the files is the result is decided
by its content, so the order here is only that in which they are tried.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from providers.http.response import first_value
from schemas.errors import ProviderResultInvalid

_URL = re.compile(r"(?i)https?://\S+\Z")
_DATA = re.compile(r"(?i)data:\s*([\w.+-]+/[\w.+-]+)?(\s*;\s*[\w.=\"-]+)*\s*,")
#: Base64 of PNG, JPEG, WebP, MP4 or QuickTime, and WebM or Matroska, by their first bytes.
_BASE64 = re.compile(r"(iVBORw0KGg|/9j/|UklGR|AAAA[\w+/]{2}Z0eX|GkXfo)[\w+/\s-]{64,}={0,2}\Z")
_BASE64_PICTURES = ("iVBORw0KGg", "/9j/", "UklGR")
#: Keys, without case and punctuation, whose files are tried first.
_RESULTS = ("video", "film", "movie", "image", "picture", "audio", "result", "output", "generation", "file", "url")
#: Parts of keys whose files are tried last: they accompany the result.
_BYPRODUCTS = ("thumb", "poster", "preview", "cover", "shar", "hook", "callback", "input", "frame", "log", "cancel")
#: A name that is a picture's or a text's; films are tried before.
_PICTURE_NAME = re.compile(
    r"(?i)^(https?://[^?#]*\.(jpe?g|png|webp|gif|avif|json|txt|srt|vtt)([?#]|$)|data:(image|text)/)"
)
_PICTURE = 3
#: Limits of a search: levels, values, and files that are tried.
_DEPTH, _VALUES, _FILES = 64, 10_000, 16


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The files in an output, in the order in which they are tried."""

    urls: tuple[str, ...] = ()
    #: Whether one of them may be a film: not all are pictures, thumbnails and the like.
    has_film: bool = False

    def __bool__(self) -> bool:
        return bool(self.urls)


@dataclass(slots=True)
class _Search:
    values: int = 0
    found: dict[str, int] = field(default_factory=dict)

    def add(self, url: str, rank: int) -> None:
        self.found[url] = min(rank, self.found.get(url, rank))


def find_files(output: Any, first: Iterable[str] = (), inputs: Iterable[str] = ()) -> FoundFiles:
    """Return the URLs in ``output``, ``http(s)://`` and ``data:``, at any depth and each once.

    Args:
        first: paths where the provider documents the result, such as ``videos.0.resultUrl``. The text there is the
            first to be tried, even if it does not look like a URL, unless it is a JSON document.
        inputs: URLs of the call's inputs, which are no results; their queries may differ.
    """
    search = _Search()
    documented = first_value(output, first)
    if isinstance(documented, str) and documented.strip() and _document(documented) is None:
        search.add(_uri(documented) or documented.strip(), 0)
    sent = {url.partition("?")[0] for url in inputs}
    for url, keys in _walk(output, (), search):
        if url.partition("?")[0] not in sent:
            search.add(url, _rank(url, keys))
    ordered = sorted(search.found, key=lambda url: search.found[url])
    return FoundFiles(tuple(ordered[:_FILES]), has_film=any(rank < _PICTURE for rank in search.found.values()))


def is_file(value: Any) -> bool:
    """Return whether the value is a URL of a file, or a file in base64, as a whole."""
    return _uri(value) is not None


def is_data(value: Any) -> bool:
    """Return whether the value is a ``data:`` URI."""
    return isinstance(value, str) and _DATA.match(value.strip()) is not None


def without_files(value: Any, *, only_data: bool = False, depth: int = 0) -> Any:
    """Return ``value`` with ``None`` in place of the files in it; with ``only_data``, in place of those in base64."""
    if depth >= _DEPTH or (is_data(_uri(value)) if only_data else is_file(value)):
        return None
    if (document := _document(value)) is not None:
        return value if without_files(document, only_data=only_data, depth=depth + 1) == document else None
    if isinstance(value, Mapping):
        return {key: without_files(item, only_data=only_data, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [without_files(item, only_data=only_data, depth=depth + 1) for item in value]
    return value


def data_bytes(uri: str) -> bytes:
    """Return the content of a ``data:`` URI.

    Raises:
        ProviderResultInvalid: it cannot be decoded.
    """
    head, _, body = uri.strip().partition(",")
    content = unquote_to_bytes(body)
    if not re.search(r"(?i);\s*base64\s*\Z", head):
        return content
    try:
        return base64.b64decode(content.translate(bytes.maketrans(b"-_", b"+/")) + b"==")
    except binascii.Error:
        raise ProviderResultInvalid("the result is a data: URI that cannot be decoded") from None


def _uri(value: Any) -> str | None:
    """Return the URL or ``data:`` URI that the value is as a whole."""
    if not isinstance(value, str):
        return None
    text = value.strip()
    if found := _BASE64.match(text):
        kind = "image/png" if found[1] in _BASE64_PICTURES else "video/mp4"
        return f"data:{kind};base64,{text}"  # the content decides what it really is
    return text if _URL.match(text) or is_data(text) else None


def _document(value: Any) -> Any:
    """Return the object or list that a string contains as JSON; ``None`` if it contains none."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _walk(value: Any, keys: tuple[str, ...], search: _Search) -> Iterator[tuple[str, tuple[str, ...]]]:
    search.values += 1
    if search.values > _VALUES or len(keys) > _DEPTH:
        return
    if (uri := _uri(value)) is not None:
        yield uri, keys
    elif (document := _document(value)) is not None:
        yield from _walk(document, (*keys, ""), search)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, (*keys, str(key)), search)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item, (*keys, ""), search)


def _rank(url: str, keys: tuple[str, ...]) -> int:
    """Return 1 for a file under the key of a result, 2 for another, 3 for a picture by its name, 4 for a by-product."""
    plain = ["".join(filter(str.isalnum, key)).lower() for key in keys]
    if any(part in key for key in plain for part in _BYPRODUCTS):
        return 4
    if _PICTURE_NAME.search(url[:2048]):
        return _PICTURE
    return 1 if any(part in key for key in plain for part in _RESULTS) else 2
