"""The programs with which the source systems' documents call: curl, Python with requests, JavaScript in Node."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from requests_toolbelt import MultipartEncoder

_NODE = Path(__file__).parent / "node" / "call.mjs"
_KINDS = {".jpg": "image/jpeg", ".png": "image/png", ".mp3": "audio/mpeg"}
#: What the document's Node client waits for a reel.
_NODE_SECONDS = 120
_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Example:
    """One call of a document. ``form`` names files as curl does: ``@image.jpg``; ``answer``: see ``matches``."""

    name: str
    client: str
    method: str
    path: str
    json: Mapping[str, Any] | None = None
    form: tuple[tuple[str, Any], ...] = ()
    headers: Mapping[str, str] | None = None
    #: The JSON that the document shows, or the content type of a file.
    answer: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)


def run(example: Example, base: str, folder: Path, **names: str) -> Answer:
    """Make the call with the document's own client, and compare the answer with the document's.

    ``folder`` has the files; ``names`` are for the path.
    """
    answer = _CLIENTS[example.client](example, base + example.path.format(**names), folder)
    assert answer.status == 200, (example.name, answer.status, answer.body[:2000])
    if isinstance(example.answer, str):
        assert answer.headers["content-type"] == example.answer, example.name
    else:
        assert matches(example.answer, answer.json()), (example.name, example.answer, answer.json())
    return answer


def matches(expected: Any, found: Any) -> bool:
    """Return whether an answer is as a document shows it: the same keys; for a type, any value of it."""
    if isinstance(expected, type | tuple):
        return isinstance(found, expected) and not (isinstance(found, bool) and expected is not bool)
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and set(expected) == set(found)
            and all(matches(value, found[name]) for name, value in expected.items())
        )
    return bool(expected == found) and type(expected) is type(found)


def _curl(example: Example, url: str, folder: Path) -> Answer:
    command = ["curl", "-sS", "-D", "headers.txt", "-o", "body", "-X", example.method, url]
    for name, value in (example.headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    if example.json is not None:
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(example.json)]
    for name, value in example.form:
        command += ["-F", f"{name}={value}"]
    subprocess.run(command, cwd=folder, check=True, timeout=_SECONDS)
    *_, head = (folder / "headers.txt").read_text().strip().replace("\r", "").split("\n\n")  # after "100 Continue"
    first, *lines = head.splitlines()
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, (folder / "body").read_bytes())


def _requests(example: Example, url: str, folder: Path) -> Answer:
    with ExitStack() as opened:
        files = {name: _file(folder, value, opened) for name, value in example.form if _is_file(value)}
        data = {name: value for name, value in example.form if not _is_file(value)}
        return _sent(example, url, json=example.json, data=data or None, files=files)


def _all_as_files(example: Example, url: str, folder: Path) -> Answer:
    """Send texts as files too, as the reel document's webhook does: a part with a file name and no content type."""
    with ExitStack() as opened:
        files = {
            name: _file(folder, value, opened) if _is_file(value) else (name, value) for name, value in example.form
        }
        return _sent(example, url, files=files)


def _toolbelt(example: Example, url: str, folder: Path) -> Answer:
    with ExitStack() as opened:
        fields = {name: _file(folder, value, opened) if _is_file(value) else value for name, value in example.form}
        encoder = MultipartEncoder(fields=fields)
        return _sent(example, url, data=encoder, headers={"Content-Type": encoder.content_type})


def _sent(example: Example, url: str, **options: Any) -> Answer:
    headers = {**(example.headers or {}), **options.pop("headers", {})}
    got = requests.request(example.method, url, headers=headers, timeout=_SECONDS, **options)
    return Answer(got.status_code, {name.lower(): value for name, value in got.headers.items()}, got.content)


def _node(example: Example, url: str, folder: Path) -> Answer:
    asked = {
        "client": example.client,
        "method": example.method,
        "url": url,
        "headers": dict(example.headers or {}),
        "json": example.json,
        "form": example.form,
        "kinds": _KINDS,
        "milliseconds": _NODE_SECONDS * 1000,
    }
    done = subprocess.run(
        ["node", str(_NODE)], cwd=folder, input=json.dumps(asked).encode(), capture_output=True, timeout=_SECONDS
    )
    assert done.returncode == 0, done.stderr.decode()
    answer = json.loads(done.stdout)
    return Answer(answer["status"], answer["headers"], (folder / "body").read_bytes())


def _is_file(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("@")


def _file(folder: Path, value: str, opened: ExitStack) -> tuple[str, Any, str]:
    path = folder / value.removeprefix("@")
    return path.name, opened.enter_context(path.open("rb")), _KINDS[path.suffix]


_CLIENTS = {
    "curl": _curl,
    "requests": _requests,
    "requests, all as files": _all_as_files,
    "requests_toolbelt": _toolbelt,
    "fetch": _node,
    "axios": _node,
}
