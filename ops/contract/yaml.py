"""YAML of plain data, the part of the language that every parser reads alike: block style, quoted where in doubt."""

from __future__ import annotations

import json
import re
from typing import Any

#: Reads as text to every parser, whatever its version of YAML.
_BARE = re.compile(r"[A-Za-z/_$](?:[A-Za-z0-9 ./_{}()'+;-]*[A-Za-z0-9./_})'+;-])?", re.ASCII)
#: Several lines of text, none with a space at its beginning or end: a literal block keeps them as they are.
_LINE = r"[!-~\u00a1-\ud7ff](?:[ -~\u00a1-\ud7ff]*[!-~\u00a1-\ud7ff])?"
_LINES = re.compile(rf"(?:{_LINE}\n+)+{_LINE}\n?")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def as_yaml(value: Any) -> str:
    """The data as one YAML document. Names keep their order."""
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        return [line for name, item in value.items() for line in _entry(f"{_scalar(str(name))}:", item)]
    if isinstance(value, list) and value:
        return [line for item in value for line in _item(item)]
    return [_scalar(value)]


def _entry(head: str, value: Any) -> list[str]:
    if isinstance(value, str) and _LINES.fullmatch(value):
        mark = "|" if value.endswith("\n") else "|-"
        return [f"{head} {mark}", *_indented(value.rstrip("\n").split("\n"))]
    if isinstance(value, dict | list) and value:
        return [head, *_indented(_lines(value))]
    return [f"{head} {_scalar(value)}"]


def _item(value: Any) -> list[str]:
    first, *rest = _lines(value)
    return [f"- {first}", *_indented(rest)]


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" if line else "" for line in lines]


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _BARE.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
