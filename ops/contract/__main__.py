"""``python -m ops.contract [--check] FOLDER``: writes the published forms, or checks that they are current."""

from __future__ import annotations

import sys
from pathlib import Path

from ops.contract.files import stale, write


def main(arguments: list[str]) -> int:
    """Ends with 1 where ``--check`` finds a file that is not current."""
    folder = Path(arguments[-1])
    if "--check" not in arguments:
        write(folder)
        return 0
    if old := stale(folder):
        print(f"{folder}: not current: {', '.join(old)}; run `python -m ops.contract {folder}`", file=sys.stderr)
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
