"""Plain line plots as SVG, for the documentation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 480, 320, 52, 28, 84, 52
_COLOURS = ("#0f766e", "#c2410c", "#4338ca")
_STYLE = (
    "text{font:13px system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#475569}"
    ".title{font-size:15px;font-weight:600;fill:#0f172a}.value{font-size:12px;font-weight:600;paint-order:stroke;stroke:#fff;stroke-width:3px;text-anchor:middle}"
    "line{stroke:#e2e8f0}polyline{fill:none;stroke-width:2.5;stroke-linejoin:round;stroke-linecap:round}"
)


@dataclass(frozen=True)
class Panel:
    """A plot: lines by name, each with its points, at equal distances along x."""

    title: str
    across: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def draw(panels: Sequence[Panel]) -> str:
    """Return an SVG with the panels side by side, on a white ground that suits light and dark pages."""
    width = _WIDTH * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" role="img">',
        f"<title>{escape('; '.join(panel.title for panel in panels))}</title><style>{_STYLE}</style>",
        f'<rect width="{width}" height="{_HEIGHT}" rx="10" fill="#fff"/>',
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate({number * _WIDTH} 0)">', *_panel(panel), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel) -> list[str]:
    places = [x for x, _ in next(iter(panel.lines.values()))]
    top = _nice(max(y for points in panel.lines.values() for _, y in points))
    parts = [f'<text class="title" x="{_LEFT}" y="28">{escape(panel.title)}</text>']
    for step in range(5):
        value = top * step / 4
        y = _y(value, top)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{value:,g}</text>')
    for index, place in enumerate(places):
        x = _x(index, len(places))
        parts.append(f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 22}" text-anchor="middle">{place:,.0f}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 10}" text-anchor="end">{escape(panel.across)}</text>')
    beginning = _LEFT
    for colour, (name, points) in zip(_COLOURS, panel.lines.items(), strict=False):
        parts += [
            f'<rect x="{beginning}" y="46" width="14" height="4" rx="2" fill="{colour}"/>',
            f'<text x="{beginning + 20}" y="52">{escape(name)}</text>',
            *_line(points, top, colour, lowest=_lowest(panel, points, top)),
        ]
        beginning += 44 + 7 * len(name)
    return parts


def _line(points: Sequence[tuple[float, float]], top: float, colour: str, lowest: Sequence[bool]) -> list[str]:
    spots = [(_x(index, len(points)), _y(value, top)) for index, (_, value) in enumerate(points)]
    shown = [f"{value:,.0f}" if value >= 10 else f"{value:.2g}" for _, value in points]
    return [
        f'<polyline stroke="{colour}" points="{" ".join(f"{x},{y}" for x, y in spots)}"/>',
        *(f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>' for x, y in spots),
        *(
            f'<text class="value" x="{x}" y="{y + (19 if below else -9):.1f}" style="fill:{colour}">{text}</text>'
            for (x, y), text, below in zip(spots, shown, lowest, strict=True)
        ),
    ]


def _lowest(panel: Panel, points: Sequence[tuple[float, float]], top: float) -> list[bool]:
    """Return for each point whether it is just below a point of another line, whose value would cover its own."""
    others = [line for line in panel.lines.values() if line is not points]
    return [
        any(-1 < _y(value, top) - _y(line[index][1], top) < 24 for line in others)
        for index, (_, value) in enumerate(points)
    ]


def _x(index: int, count: int) -> float:
    inset = 24
    room = _WIDTH - _LEFT - _RIGHT - 2 * inset
    return round(_LEFT + inset + room * index / max(count - 1, 1), 1)


def _y(value: float, top: float) -> float:
    return round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / top, 1)


def _nice(value: float) -> float:
    """Return the next round number, of which a quarter is round as well."""
    power = 10 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(power * step for step in (1, 2, 4, 6, 8, 10) if power * step >= value)
