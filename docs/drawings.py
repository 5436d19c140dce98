"""The drawings of the documentation as SVG: generated from the code, readable without scripts, in light and dark.

``generate.py`` writes them to docs/images and compares them. In the site ``assets/site.css`` gives them the colours of
the page; anywhere else they follow the system's setting.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from consumer.ledger.states import OPEN, RETRYABLE, TRANSITIONS, State

WIDTH, HEIGHT = 112, 42

_STYLE = """
.drawing { --ink: #24292f; --line: #6e7781; --paper: #ffffff; --tint: #f3f4f8; --accent: #3d52a0; --good: #1a7f37; }
@media (prefers-color-scheme: dark) {
  .drawing { --ink: #e6edf3; --line: #9198a1; --paper: #161b22; --tint: #1f2430; --accent: #8ea2ff; --good: #4ac26b; }
}
.drawing text { fill: var(--ink); font: 14px system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
.drawing .small { fill: var(--line); font-size: 12px; }
.drawing .box { fill: var(--paper); stroke: var(--accent); stroke-width: 1.5; }
.drawing .good { stroke: var(--good); }
.drawing .outside { stroke: var(--line); stroke-dasharray: 3 3; }
.drawing .frame { fill: var(--tint); stroke: none; }
.drawing .way { fill: none; stroke: var(--line); stroke-width: 1.5; }
.drawing .hint { stroke-dasharray: 5 4; }
.drawing .head, .drawing .dot { fill: var(--line); }
"""


class Drawing:
    """Boxes and arrows with names, placed by hand."""

    def __init__(self, name: str, width: int, height: int, title: str) -> None:
        self._name = name
        self._size = (width, height)
        self._title = title
        self._parts: list[str] = []
        self._places: dict[str, tuple[float, float, float]] = {}

    def frame(self, left: float, top: float, right: float, bottom: float, text: str) -> None:
        """Draw a tinted area with a small caption in its upper left corner."""
        self._parts.append(
            f'<rect class="frame" x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" rx="12"/>'
        )
        self.note(left + 14, top + 20, text, anchor="start")

    def box(self, name: str, x: float, y: float, *, kind: str = "", note: str = "", width: float = WIDTH) -> None:
        """Draw a box around its name, with its centre at this place."""
        self._places[name] = (x, y, width)
        self._parts.append(
            f'<rect class="{f"box {kind}".strip()}" x="{x - width / 2:g}" y="{y - HEIGHT / 2:g}"'
            f' width="{width:g}" height="{HEIGHT}" rx="9"/>'
            f'<text x="{x:g}" y="{y + (5 if not note else -1):g}" text-anchor="middle">{escape(name)}</text>'
        )
        if note:
            self.note(x, y + 14, note)

    def note(self, x: float, y: float, text: str, *, anchor: str = "middle") -> None:
        """Write a small text."""
        self._parts.append(f'<text class="small" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>')

    def dot(self, x: float, y: float) -> None:
        """Draw the point at which everything begins."""
        self._parts.append(f'<circle class="dot" cx="{x:g}" cy="{y:g}" r="6"/>')

    def path(self, way: str, *, hint: bool = False) -> None:
        """Draw an arrow along a way in SVG's own notation."""
        kind = "way hint" if hint else "way"
        self._parts.append(f'<path class="{kind}" d="{way}" marker-end="url(#{self._name}-head)"/>')

    def across(self, start: str, end: str, text: str = "", *, shift: float = 0, hint: bool = False) -> None:
        """Draw an arrow to a box in the same row."""
        (x1, y, w1), (x2, _, w2) = self._places[start], self._places[end]
        side = 1 if x2 > x1 else -1
        left, right = x1 + side * w1 / 2, x2 - side * (w2 / 2 + 4)
        self.path(f"M{left:g},{y + shift:g} H{right:g}", hint=hint)
        if text:
            self.note((left + right) / 2, y + shift - 7, text)

    def down(
        self, start: str, end: str, text: str = "", *, x: float = 0, side: str = "start", hint: bool = False
    ) -> None:
        """Draw an upright arrow between the rows of two boxes, ``x`` to the right of the first one's centre."""
        (x1, y1, _), (_, y2, _) = self._places[start], self._places[end]
        way = 1 if y2 > y1 else -1
        top, bottom = y1 + way * HEIGHT / 2, y2 - way * (HEIGHT / 2 + 4)
        self.path(f"M{x1 + x:g},{top:g} V{bottom:g}", hint=hint)
        if text:
            self.note(x1 + x + (7 if side == "start" else -7), (top + bottom) / 2 + 4, text, anchor=side)

    def svg(self) -> str:
        """Return the whole drawing."""
        width, height = self._size
        marker = (
            f'<marker id="{self._name}-head" viewBox="0 0 8 8" refX="5" refY="4" markerWidth="7" markerHeight="7"'
            ' orient="auto-start-reverse"><path class="head" d="M0,0 L8,4 L0,8 z"/></marker>'
        )
        head = (
            f'<svg class="drawing" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
            f' aria-labelledby="{self._name}-title">'
        )
        lines = [
            head,
            f'<title id="{self._name}-title">{escape(self._title)}</title>',
            f"<style>{_STYLE}</style>",
            f"<defs>{marker}</defs>",
            *self._parts,
            "</svg>",
        ]
        return "\n".join(lines) + "\n"


#: The centres of the states. A state that is new in the code has to be given one.
_STATES = {
    State.RECEIVED: (130, 90),
    State.RUNNING: (340, 90),
    State.STORING: (550, 90),
    State.WAITING: (340, 190),
    State.COMPLETED: (765, 90),
    State.FAILED: (210, 330),
    State.CANCELLED: (340, 330),
    State.EXPIRED: (470, 330),
}


def states() -> str:
    """Return the drawing of all states of a job and the ways between them, from ``TRANSITIONS``."""
    drawing = Drawing("states", 840, 380, _states_title())
    drawing.frame(54, 28, 625, 232, "open")
    drawing.frame(134, 282, 546, 366, "ended without a result")
    drawing.dot(20, 90)
    drawing.path("M26,90 H70")
    for state, (x, y) in _STATES.items():
        drawing.box(state, x, y, kind="good" if state is State.COMPLETED else "")
    for source, target in _between_open_states():
        _arrow(drawing, source, target)
    assert all(TRANSITIONS[state] >= RETRYABLE for state in OPEN), "draw which open states can end in which way"
    drawing.path("M340,232 V278")
    drawing.note(350, 261, "an error, a cancellation or the deadline", anchor="start")
    drawing.path("M134,330 H100 V115")
    drawing.note(92, 261, "retry", anchor="end")
    return drawing.svg()


def _states_title() -> str:
    ways = (f"{source} to {target}" for source, target in _between_open_states())
    return (
        f"States of a job: {', '.join(ways)}; every open state to {', '.join(sorted(RETRYABLE))};"
        " and by a retry from these back to received."
    )


def _between_open_states() -> Iterable[tuple[State, State]]:
    return ((source, target) for source in State for target in State if target in TRANSITIONS[source] - RETRYABLE)


def _arrow(drawing: Drawing, source: State, target: State) -> None:
    (x1, y1), (x2, y2) = _STATES[source], _STATES[target]
    both = source in TRANSITIONS[target]
    if source is target:
        top = y1 - HEIGHT / 2
        drawing.path(f"M{x1 - 20},{top} C{x1 - 20},{top - 32} {x1 + 20},{top - 32} {x1 + 20},{top - 4}")
        drawing.note(x1 + 32, top - 14, "another attempt", anchor="start")
    elif y1 == y2:
        drawing.across(source, target, shift=(-9 if x2 > x1 else 9) * both)
    elif x1 == x2:
        drawing.down(source, target, x=(-14 if y2 > y1 else 14) * both)
    else:
        drawing.path(f"M{x1},{y1 + HEIGHT / 2} Q{x1},{y2} {x2 + WIDTH / 2 + 4},{y2}")


def flow() -> str:
    """Return the drawing of how a job moves: its parts, and what goes from one to the next."""
    drawing = Drawing("flow", 960, 380, "How a job moves: from the producer through door, ledger, worker and outbox.")
    drawing.frame(164, 20, 806, 364, "Telecine")
    drawing.box("producer", 66, 80, kind="outside")
    drawing.box("door", 250, 80, note="admits")
    drawing.box("ledger", 475, 80, note="SQLite or PostgreSQL", width=250)
    drawing.box("outbox", 724, 80, note="sends")
    drawing.box("receiver", 894, 80, kind="outside")
    drawing.box("sweep", 250, 205, note="wakes again")
    drawing.box("worker", 425, 205, note="runs the pipeline")
    drawing.box("calls", 575, 205, note="the engine")
    drawing.box("provider", 894, 205, kind="outside")
    drawing.box("storage", 500, 325, note="S3 or a folder", width=262)
    drawing.across("producer", "door", "request")
    drawing.across("door", "ledger", "job")
    drawing.across("ledger", "outbox", "callback")
    drawing.across("outbox", "receiver", "signed")
    drawing.across("sweep", "worker", hint=True)
    drawing.path("M288,101 L366,181", hint=True)
    drawing.note(300, 146, "wake-up", anchor="end")
    drawing.down("ledger", "worker", x=-62)
    drawing.down("worker", "ledger", "job, outcome", x=12)
    drawing.down("ledger", "calls", x=88)
    drawing.down("calls", "ledger", "call, result", x=12)
    drawing.across("calls", "provider", "submit, poll, fetch", shift=-8)
    drawing.across("provider", "calls", shift=8)
    drawing.down("worker", "storage", "files")
    drawing.down("calls", "storage", "files")
    return drawing.svg()


DRAWINGS = {"states.svg": states, "flow.svg": flow}
