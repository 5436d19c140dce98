"""The nearest known name to one that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

#: The least likeness of a name that is suggested: more than difflib's own, which finds "resolution" for "motion".
_LIKENESS = 0.7
#: No known name is nearly as long, and a comparison takes time.
_MOST_CHARACTERS = 128


def did_you_mean(name: str, known: Iterable[str] | Mapping[str, str], *, prefix: str = "") -> str:
    """Return the known name that is nearest to ``name`` as the end of a message, or an empty string.

    Args:
        name: the unknown name.
        known: the names that exist, or a mapping of each to how the message shows it.
        prefix: is ignored at the beginning of names, in upper case. The case of letters is always ignored.
    """
    shown = known if isinstance(known, Mapping) else {other: other for other in sorted(known)}
    plain = {other.upper().removeprefix(prefix): text for other, text in shown.items()}
    wanted = name[:_MOST_CHARACTERS].upper().removeprefix(prefix)
    nearest = difflib.get_close_matches(wanted, plain, n=1, cutoff=_LIKENESS)
    return f" (did you mean {plain[nearest[0]]}?)" if nearest else ""
