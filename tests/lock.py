"""Write the lock: ``python tests/lock.py constraints.txt``, from what is installed in this environment.

Every package that Telecine and its extras need, directly or not, with the version that the tests ran with. ``make``
installs with it; so can anyone: ``pip install --constraint constraints.txt .``.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEADER = """\
# The versions that the tests ran with, for every package that Telecine needs. `make lock` writes this file.
# torch: this version's CPU build is small; a newer one may bring CUDA with it.
"""


def locked(name: str, extras: set[str]) -> dict[str, str]:
    """Return name and version of everything that ``name`` with its ``extras`` needs."""
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    queue = [(name, frozenset(extras))]
    while queue:
        key = queue.pop()
        if key in seen:
            continue
        seen.add(key)
        try:
            package = distribution(key[0])
        except PackageNotFoundError:
            continue  # for another platform, or an extra that is not installed here
        found[canonicalize_name(key[0])] = package.version
        for text in package.requires or ():
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in key[1] or {""}):
                queue.append((need.name, frozenset(need.extras)))
    return found


def main() -> None:
    """Write the lock to the file that is named."""
    extras = {"align", "dashboard", "edge", "lint", "local", "postgres", "sqs", "test"}
    packages = locked("telecine", extras)
    for name in ("telecine", "pip"):
        del packages[name]
    packages["torch"] = packages["torch"].partition("+")[0]
    lines = [f"{name}=={version}" for name, version in sorted(packages.items()) if not name.startswith("nvidia")]
    Path(sys.argv[1]).write_text(HEADER + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
