"""Dead letters: the list, and one of them."""

from __future__ import annotations

from starlette.responses import Response

from consumer.ledger import dead_letters
from consumer.ledger.browsing import list_dead_letters
from consumer.ledger.records import DeadLetter
from ops.dashboard.view import View
from ops.edge.refusal import Refusal
from ops.views import dead_letter_view

_ROWS = 50
_SHOWN_BYTES = 20_000


def page(view: View) -> Response:
    """Return the newest dead letters: those that wait for a person, or all."""
    view.require_operator()
    code, every = view.query.get("code") or None, view.query.get("all") == "1"
    before = view.query.get("before", "")
    found = list_dead_letters(
        view.database,
        code=code,
        pending_only=not every,
        before=_number(before),
        limit=_ROWS + 1,
    )
    return view.render(
        "dead_letters.html",
        rows=found[:_ROWS],
        code=code,
        every=every,
        counts=view.dashboard.overview.get().dead_letters,
        older=found[_ROWS - 1].seq if len(found) > _ROWS else None,
        now=view.database.now(),
    )


def one(view: View) -> Response:
    """Return one dead letter with its message."""
    letter = named_letter(view)
    return view.render(
        "dead_letter.html",
        letter=letter,
        facts=dead_letter_view(letter),
        body=letter.body[:_SHOWN_BYTES].decode(errors="replace"),
        cut=len(letter.body) > _SHOWN_BYTES,
        now=view.database.now(),
    )


def named_letter(view: View) -> DeadLetter:
    """Return the dead letter that the address names.

    Raises:
        Refusal: There is none, or the visitor may not see it.
    """
    view.require_operator()
    number = _number(view.parameters["number"])
    letter = None if number is None else dead_letters.find(view.database, number)
    if letter is None:
        raise Refusal(404, "dead_letter_not_found", "There is no such dead letter; it may have been dismissed.")
    return letter


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
