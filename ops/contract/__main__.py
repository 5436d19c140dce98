"""``python -m ops.contract [--check] FOLDER``: write the published contract, or check that it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from ops.contract.files import stale, write


def main(arguments: list[str]) -> int:
    """Write the files, or with ``--check`` return 1 if one is out of date."""
    folder = Path(arguments[-1])
    if "--check" not in arguments:
        write(folder)
        return 0
    if old := stale(folder):
        print(f"{folder}: out of date: {', '.join(old)}; run `python -m ops.contract {folder}`", file=sys.stderr)
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
