"""Dead letters: the list, and one of them."""

from __future__ import annotations

from starlette.responses import Response

from consumer.ledger import dead_letters
from consumer.ledger.browsing import list_dead_letters
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
        before=int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None,
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
    view.require_operator()
    letter = dead_letters.find(view.database, int(view.parameters["number"]))
    if letter is None:
        raise Refusal(404, "dead_letter_not_found", "There is no such dead letter; it may have been dismissed.")
    return view.render(
        "dead_letter.html",
        letter=letter,
        facts=dead_letter_view(letter),
        body=letter.body[:_SHOWN_BYTES].decode(errors="replace"),
        cut=len(letter.body) > _SHOWN_BYTES,
        now=view.database.now(),
    )
