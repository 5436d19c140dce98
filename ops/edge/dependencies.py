"""What FastAPI passes to the handlers."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request as HttpRequest

from ops.edge.access import Caller
from ops.edge.core import Edge


def edge_of(request: HttpRequest) -> Edge:
    """Return the edge of this process."""
    edge: Edge = request.app.state.edge
    return edge


def caller_of(request: HttpRequest) -> Caller:
    """Return who calls.

    Raises:
        Refusal: A token is missing or invalid.
    """
    return edge_of(request).access.caller(request.headers)


TheEdge = Annotated[Edge, Depends(edge_of)]
TheCaller = Annotated[Caller, Depends(caller_of)]
