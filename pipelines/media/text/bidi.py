"""The visual order of one line of text: Unicode Standard Annex #9 (UAX #9) without explicit formatting characters.

``word_groups.clean`` has removed explicit embeddings, overrides and isolates from the lyrics. The shaper handles
mirrored forms. Rule names such as W1 are those of UAX #9.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_BRACKETS = {"(": ")", "[": "]", "{": "}", "「": "」", "『": "』", "（": "）", "【": "】"}
_STRONG = {"L": 0, "R": 1, "AL": 1}


def base_level(text: str) -> int:
    """Return 0 for a left-to-right line and 1 for a right-to-left one, by its first strong character (P2, P3)."""
    for character in text:
        level = _STRONG.get(unicodedata.bidirectional(character))
        if level is not None:
            return level
    return 0


def levels(text: str) -> list[int]:
    """Return the embedding level of each character of ``text``; odd levels run from right to left."""
    base = base_level(text)
    if base == 0 and not any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text):
        return [0] * len(text)
    classes = _weak([unicodedata.bidirectional(character) for character in text], "R" if base else "L")
    classes = _neutral(_brackets(text, classes, "R" if base else "L"), "R" if base else "L")
    # I1 and I2.
    raised = {0: {"L": 0, "R": 1, "AN": 2, "EN": 2}, 1: {"L": 2, "R": 1, "AN": 2, "EN": 2}}[base]
    result = [raised[kind] for kind in classes]
    # L1: spaces at the end of the line have the base level.
    for index in range(len(text) - 1, -1, -1):
        if unicodedata.bidirectional(text[index]) not in ("WS", "BN"):
            break
        result[index] = base
    return result


def _weak(classes: list[str], start: str) -> list[str]:
    """Apply rules W1 to W7."""
    classes = _marks_and_numbers(classes, start)
    classes = ["R" if kind == "AL" else kind for kind in classes]  # W3
    classes = _separators_and_terminators(classes)
    classes = ["ON" if kind in ("ES", "ET", "CS") else kind for kind in classes]  # W6
    strong = start
    for index, kind in enumerate(classes):  # W7
        if kind in ("L", "R"):
            strong = kind
        elif kind == "EN" and strong == "L":
            classes[index] = "L"
    return classes


def _marks_and_numbers(classes: list[str], start: str) -> list[str]:
    """Apply rules W1 and W2."""
    previous, strong = start, start
    for index, kind in enumerate(classes):
        if kind in ("NSM", "BN"):  # W1; joiners too take the class of the character before them
            kind = previous
        if kind in ("L", "R", "AL"):
            strong = kind
        elif kind == "EN" and strong == "AL":  # W2
            kind = "AN"
        previous = classes[index] = kind
    return classes


def _separators_and_terminators(classes: list[str]) -> list[str]:
    """Apply rules W4 and W5."""
    for index in range(1, len(classes) - 1):  # W4
        before, after = classes[index - 1], classes[index + 1]
        if before == after and (
            (classes[index] == "ES" and before == "EN") or (classes[index] == "CS" and before in ("EN", "AN"))
        ):
            classes[index] = before
    for start_index, end_index in _ranges(classes, {"ET"}):  # W5
        if "EN" in (classes[start_index - 1 : start_index] + classes[end_index : end_index + 1]):
            classes[start_index:end_index] = ["EN"] * (end_index - start_index)
    return classes


def _brackets(text: str, classes: list[str], base: str) -> list[str]:
    """Apply rule N0: a pair of brackets gets the direction of the line, or that of its content and context."""
    open_at: list[int] = []
    pairs = []
    for index, character in enumerate(text):
        if classes[index] == "ON" and character in _BRACKETS:
            open_at.append(index)
        elif classes[index] == "ON" and character in _BRACKETS.values():
            for depth in range(len(open_at) - 1, -1, -1):
                if _BRACKETS[text[open_at[depth]]] == character:
                    pairs.append((open_at[depth], index))
                    del open_at[depth:]
                    break
    strong = {"L": "L", "R": "R", "EN": "R", "AN": "R"}
    for start, end in sorted(pairs):
        inside = {strong[kind] for kind in classes[start + 1 : end] if kind in strong}
        if not inside:
            continue
        before = next((strong[kind] for kind in reversed(classes[:start]) if kind in strong), base)
        other = "L" if base == "R" else "R"
        classes[start] = classes[end] = other if base not in inside and before == other else base
    return classes


def _neutral(classes: list[str], base: str) -> list[str]:
    """Apply rules N1 and N2; numbers count as right-to-left."""
    strong = {"L", "R", "EN", "AN"}
    for start, end in _ranges(classes, set(classes) - strong):
        before = classes[start - 1] if start else base
        after = classes[end] if end < len(classes) else base
        before, after = ("L" if kind == "L" else "R" for kind in (before, after))
        classes[start:end] = [before if before == after else base] * (end - start)
    return classes


def _ranges(classes: Sequence[str], wanted: set[str]) -> list[tuple[int, int]]:
    """Return the maximal ranges ``(start, end)`` of ``classes`` whose elements are all in ``wanted``."""
    found = []
    index = 0
    while index < len(classes):
        end = index
        while end < len(classes) and classes[end] in wanted:
            end += 1
        if end > index:
            found.append((index, end))
        index = end + 1
    return found


def visual_order(run_levels: Sequence[int]) -> list[int]:
    """Return the indices of runs with these levels, ordered from left to right (L2)."""
    order = list(range(len(run_levels)))
    if not order:
        return order
    for level in range(max(run_levels), 0, -1):
        for start, end in _ranges(["x" if run_levels[index] >= level else "" for index in order], {"x"}):
            order[start:end] = reversed(order[start:end])
    return order
