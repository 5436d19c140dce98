"""The Hugging Face hub on 127.0.0.1, for the tests of downloads: repositories made of folders.

It answers as the hub does, so that huggingface_hub itself can use it (``HF_ENDPOINT``):

    GET       /api/models/OWNER/NAME[/revision/REV][?blobs=true]   facts, licence, files with size and digest
    GET       /api/models/OWNER/NAME/tree/REV                      the files, with LFS digests
    GET HEAD  /OWNER/NAME/resolve/REV/PATH                         a file, or a redirect to where a large one is
    GET HEAD  /cdn/DIGEST                                          a large file, with ranges

An error has the ``X-Error-Code`` of the hub. Files of weights count as "large", also small ones.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from tests.doubles.server import Reply, Seen, Server

#: The token of an account that has accepted every licence.
TOKEN = "hf_accepted"
_LARGE = (".safetensors", ".bin", ".msgpack", ".h5", ".onnx")
_API = re.compile(r"/api/models/(?P<name>[^/]+/[^/]+)(?:/(?P<what>revision|tree)/(?P<revision>[^/]+))?")
_FILE = re.compile(r"/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")

#: Changes the reply for one file.
Harm = Callable[[Reply], Reply]


@dataclass
class Repository:
    """A repository with one commit, which is its ``main``."""

    commit: str
    files: dict[str, bytes]
    licence: str = "creativeml-openrail-m"
    gated: bool = False
    #: The commit that the hub claims to have found, if it is another one.
    claimed: str | None = None
    #: How the next replies for a path are harmed, in turn.
    harms: dict[str, list[Harm]] = field(default_factory=dict)


class Hub:
    """The hub. A context manager."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[Seen] = []
        #: Answers everything with this status, if it is not 0.
        self.status = 0
        #: Seconds before any answer.
        self.seconds = 0.0
        self._server = Server(self._answer)

    def add(self, name: str, folder: Path, commit: str, **facts: Any) -> Repository:
        """Publish the files below ``folder``, and what a real repository has beside them."""
        files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        files |= {".gitattributes": b"*.bin filter=lfs\n", "README.md": b"---\nlicense: openrail\n---\n"}
        self.repositories[name] = Repository(commit, files, **facts)
        return self.repositories[name]

    @property
    def url(self) -> str:
        """The value of ``HF_ENDPOINT``."""
        return self._server.url

    @property
    def _cdn(self) -> str:
        """Where large files are: another host, which must not get the token."""
        return f"http://localhost:{self._server.port}/cdn"

    def fetched(self, path: str) -> list[Seen]:
        """Return the requests for the content of a large file."""
        digests = {_sha256(one.files[path]) for one in self.repositories.values() if path in one.files}
        return [seen for seen in self.requests if seen.path.removeprefix("/cdn/") in digests and seen.method == "GET"]

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    async def _answer(self, seen: Seen) -> Reply:
        self.requests.append(seen)
        await asyncio.sleep(self.seconds)
        if self.status:
            return Reply.text("the hub is down", self.status)
        if seen.path.startswith("/cdn/"):
            return self._large_file(seen)
        if match := _API.fullmatch(seen.path):
            return self._facts(seen, match["name"], match["what"], match["revision"])
        if match := _FILE.fullmatch(seen.path):
            return self._file(seen, match["name"], match["revision"], unquote(match["path"]))
        return _error(404, "RepoNotFound", "Repository not found")

    def _facts(self, seen: Seen, name: str, what: str | None, revision: str | None) -> Reply:
        repository = self.repositories.get(name)
        if repository is None:
            return _error(401, "RepoNotFound", "Invalid username or password.")
        if revision not in (None, "main", repository.commit):
            return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if what == "tree":
            return Reply.of([_entry(path, content) for path, content in sorted(repository.files.items())])
        siblings = [
            {"rfilename": path, **(_metadata(path, content) if "blobs" in seen.query else {})}
            for path, content in sorted(repository.files.items())
        ]
        facts = {
            "id": name,
            "modelId": name,
            "sha": repository.claimed or repository.commit,
            "gated": "auto" if repository.gated else False,
            "private": False,
            "cardData": {"license": repository.licence},
            "siblings": siblings,
            "tags": [f"license:{repository.licence}"],
        }
        return Reply.of(facts)

    def _file(self, seen: Seen, name: str, revision: str, path: str) -> Reply:
        repository = self.repositories.get(name)
        if repository is None:
            return _error(401, "RepoNotFound", "Invalid username or password.")
        if repository.gated and seen.headers.get("authorization") != f"Bearer {TOKEN}":
            status = 403 if "authorization" in seen.headers else 401
            return _error(status, "GatedRepo", f"Access to model {name} is restricted.")
        if revision not in ("main", repository.commit):
            return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        content = repository.files.get(path)
        if content is None:
            return _error(404, "EntryNotFound", "Entry not found")
        common = {"x-repo-commit": repository.commit, "accept-ranges": "bytes"}
        if path.endswith(_LARGE):
            linked = {"x-linked-etag": f'"{_sha256(content)}"', "x-linked-size": str(len(content))}
            return Reply(302, b"", {**common, **linked, "location": f"{self._cdn}/{_sha256(content)}"})
        return self._harmed(repository, path, _ranged(seen, content, {**common, "etag": f'"{_git_blob(content)}"'}))

    def _large_file(self, seen: Seen) -> Reply:
        if "authorization" in seen.headers:
            return Reply.text("the token was sent to another host", 400)
        for repository in self.repositories.values():
            for path, content in repository.files.items():
                if _sha256(content) == seen.path.removeprefix("/cdn/"):
                    reply = _ranged(seen, content, {"etag": f'"{_sha256(content)}"', "accept-ranges": "bytes"})
                    return reply if seen.method == "HEAD" else self._harmed(repository, path, reply)
        return Reply.text("AccessDenied", 403)

    def _harmed(self, repository: Repository, path: str, reply: Reply) -> Reply:
        harms = repository.harms.get(path)
        return harms.pop(0)(reply) if harms else reply


def _ranged(seen: Seen, content: bytes, headers: dict[str, str]) -> Reply:
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", seen.headers.get("range", ""))
    if match is None:
        return Reply(200, content, headers)
    start, end = int(match[1]), int(match[2] or len(content) - 1)
    if start >= len(content):
        return Reply(416, b"", {**headers, "content-range": f"bytes */{len(content)}"})
    piece = content[start : end + 1]
    return Reply(206, piece, {**headers, "content-range": f"bytes {start}-{start + len(piece) - 1}/{len(content)}"})


def _metadata(path: str, content: bytes) -> dict[str, Any]:
    known: dict[str, Any] = {"size": len(content), "blobId": _git_blob(content)}
    if path.endswith(_LARGE):
        known["lfs"] = {"size": len(content), "sha256": _sha256(content), "pointerSize": 135}
    return known


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": _git_blob(content)}
    if path.endswith(_LARGE):
        entry["lfs"] = {"size": len(content), "oid": _sha256(content), "pointerSize": 135}
    return entry


def _error(status: int, code: str, message: str) -> Reply:
    return Reply.of({"error": message}, status, X_Error_Code=code, X_Error_Message=message)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
