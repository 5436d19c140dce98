"""The response of a result's URL, by its name in ``Plan.result``."""

from __future__ import annotations

from tests.doubles.films import small_film
from tests.doubles.server import Reply


def result_reply(result: str) -> Reply:
    """Return a film or the broken response that the plan asks for."""
    film = {"content-type": "video/mp4"}
    match result:
        case "film":
            return Reply(200, small_film(), film)
        case "cut":
            return Reply(200, small_film(), film, fate="cut")
        case "gone":
            return Reply.text("this result has expired", 410)
        case "html":
            return Reply.text("<!doctype html><title>Sign in</title>", 200, "text/html")
        case "text":
            return Reply(200, b"this is no film" * 20, film)
        case "empty":
            return Reply(200, b"", film)
    return Reply.text("no such result", 404)
