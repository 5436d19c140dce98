"""What FastAPI passes to the handlers. They are coroutines because FastAPI calls functions in a thread."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request as HttpRequest

from ops.edge.access import Caller
from ops.edge.core import Edge

_COUNTED = frozenset({"POST", "PUT", "DELETE"})


async def edge_of(request: HttpRequest) -> Edge:
    """Return the edge of this process."""
    edge: Edge = request.app.state.edge
    return edge


async def caller_of(request: HttpRequest) -> Caller:
    """Return who calls, and count the call if it changes something.

    Raises:
        Refusal: A token is missing or invalid, or the tenant makes too many calls.
    """
    edge = await edge_of(request)
    caller = edge.access.caller(request.headers)
    if request.method in _COUNTED:
        edge.rate.count(caller.tenant)
    return caller


TheEdge = Annotated[Edge, Depends(edge_of)]
TheCaller = Annotated[Caller, Depends(caller_of)]
