"""Tables without borders that fit the terminal: columns are left out before words are broken."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table

_GAP = 2
#: The first column, which names the row, keeps this width: that of a UUID.
_NAME_WIDTH = 36
#: Other columns that may be wrapped keep this width.
_WRAPPED_WIDTH = 16


class FittingTable(Table):
    """A table that leaves out columns when it does not fit."""

    def __init__(self, *, drop: Sequence[str] = ()) -> None:
        """Make an empty table. ``drop`` names the columns that may be left out, the first one first."""
        super().__init__(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold dim")
        self._drop = drop

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from Table.__rich_console__(self._fitted(console, options), console, options)

    def _fitted(self, console: Console, options: ConsoleOptions) -> Table:
        natural = {id(column): self._natural_width(console, options, column) for column in self.columns}
        if _total(list(natural.values())) <= options.max_width:
            return self
        kept = list(self.columns)
        least = {id(column): self._least_width(column, natural[id(column)]) for column in kept}
        for name in self._drop:
            if _total([least[id(column)] for column in kept]) <= options.max_width:
                break
            kept = [column for column in kept if column.header != name]
        spare = options.max_width - _total([least[id(column)] for column in kept])
        fitted = copy.copy(self)
        fitted.columns = []
        for column in kept:
            more = max(0, min(spare, natural[id(column)] - least[id(column)]))
            spare -= more
            # The index is the position, by which Rich leaves out the padding of the last column.
            fitted.columns.append(dataclasses.replace(column, _index=len(fitted.columns)))
            if spare >= 0:
                fitted.columns[-1].width = least[id(column)] + more
        return fitted

    def _natural_width(self, console: Console, options: ConsoleOptions, column: Column) -> int:
        cells = (column.header, *column.cells)
        unlimited = options.update(max_width=10_000)
        return max(Measurement.get(console, unlimited, cell).maximum for cell in cells)

    def _least_width(self, column: Column, natural: int) -> int:
        if column.no_wrap and column.overflow != "ellipsis":
            return natural
        return min(natural, _NAME_WIDTH if column is self.columns[0] else _WRAPPED_WIDTH)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * len(widths)  # Rich counts the padding after the last column too
