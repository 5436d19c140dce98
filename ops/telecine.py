"""``python -m telecine``: the command line. The wheel installs this file as the module ``telecine``."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the working directory: its folders may be named like Telecine's packages
    from ops.cli.main import main

    main()
