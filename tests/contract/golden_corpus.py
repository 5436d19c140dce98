"""The golden corpus: messages that must stay accepted, with the digest and fingerprint recorded for each.

``python -m tests.contract.golden_corpus`` records new files. It does not change existing records.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumer.ledger.admission import build_submission
from schemas.envelope import Request
from schemas.parse import parse_request

GOLDEN = Path(__file__).parent / "golden"
RECORDED = GOLDEN / "recorded.txt"
KINDS = ("requests", "binary", "controls", "callbacks", "manifests")
_NONE = "-" * 64


@dataclass(frozen=True, slots=True)
class Golden:
    """A file of the corpus."""

    #: The path in the corpus, such as ``requests/reel/minimal.json``.
    name: str
    raw: bytes

    @property
    def kind(self) -> str:
        """The top folder."""
        return self.name.partition("/")[0]

    @property
    def type(self) -> str:
        """The job type of a request: the second folder."""
        return self.name.split("/")[1]

    @property
    def body(self) -> bytes:
        """The message's body: the file itself, or the ``data`` of a binary event."""
        return json.dumps(self.value["data"]).encode() if self.kind == "binary" else self.raw

    @property
    def headers(self) -> Mapping[str, Any]:
        """The message's headers."""
        return dict(self.value["headers"]) if self.kind == "binary" else {}

    @property
    def value(self) -> dict[str, Any]:
        """The file, parsed."""
        return dict(json.loads(self.raw))

    @property
    def sha256(self) -> str:
        """The digest of the file's bytes."""
        return hashlib.sha256(self.raw).hexdigest()

    def __str__(self) -> str:
        return self.name


def corpus(*kinds: str) -> list[Golden]:
    """Return the files of these kinds, or all files without arguments."""
    chosen = kinds or KINDS
    paths = sorted(path for kind in chosen for path in (GOLDEN / kind).rglob("*.json"))
    return [Golden(path.relative_to(GOLDEN).as_posix(), path.read_bytes()) for path in paths]


def identity(golden: Golden) -> str:
    """Return the fingerprint of the request in the file.

    Raises:
        RequestError: the request is not accepted.
    """
    request = parse_request(golden.body, golden.headers)
    assert isinstance(request, Request), golden.name
    return build_submission(request, role="render", door="golden").fingerprint


def recorded() -> dict[str, tuple[str, str]]:
    """Return the digest of each file and the fingerprint of its request, dashes if it has none, by name."""
    lines = RECORDED.read_text(encoding="utf-8").splitlines() if RECORDED.exists() else []
    return {name: (sha256, known) for sha256, known, name in (line.split(maxsplit=2) for line in lines)}


def main() -> int:
    """Record new files; return 1 if a recorded file has changed."""
    known = recorded()
    fresh = [golden for golden in corpus() if golden.name not in known]
    changed = [golden.name for golden in corpus() if known.get(golden.name, (golden.sha256,))[0] != golden.sha256]
    if changed:
        print(f"files are only ever added; these were changed: {', '.join(changed)}", file=sys.stderr)
        return 1
    for golden in fresh:
        known[golden.name] = (golden.sha256, identity(golden) if golden.kind in ("requests", "binary") else _NONE)
    RECORDED.write_text("".join(f"{a} {b} {name}\n" for name, (a, b) in sorted(known.items())), encoding="utf-8")
    print(f"{len(fresh)} recorded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
