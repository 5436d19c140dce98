"""The response of a result's URL, by its name in ``Plan.result``."""

from __future__ import annotations

import base64
import functools
import io
import json
from typing import Any, cast

from PIL import Image

from tests.doubles.films import small_film
from tests.doubles.server import Reply


def result_reply(result: str, name: str = "") -> Reply:
    """Return a film or the broken response that the plan asks for; a picture for a name that begins with picture."""
    if name.startswith("picture"):
        into = io.BytesIO()
        Image.new("RGB", (96, 64), "teal").save(into, "PNG")
        return Reply(200, into.getvalue(), {"content-type": "video/mp4"})
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


def shaped(shape: str, film: str, picture: str) -> Any:
    """Return an output that names the film and a picture of it, in one of the shapes that models use."""
    data = "data:video/mp4;base64," + base64.b64encode(small_film()).decode()
    shapes: dict[str, Any] = {
        "object": {"video": film, "seed": 7},
        "object-of-object": {"result": {"video": {"url": film, "content_type": "video/mp4"}}},
        "list-of-objects": [{"file": None, "type": "none"}, {"file": film, "type": "video"}],
        "nested-lists": [[None, []], [[film]]],
        "nulls": [None, film, None],
        "picture-first": [picture, film],
        "picture-without-extension-first": [picture.replace(".png", ""), film],
        "picture-named-before": {"thumbnail": picture, "video": film},
        "deep": functools.reduce(lambda inner, _: {"output": inner}, range(20), cast(Any, film)),
        "text-beside": {
            "log": "see https://a.example/no.mp4 for more",
            "note": "https://a.example/no.png was made",
            "clip": film,
        },
        "upper-case": {"video": f" {film.replace('http', 'HTTP', 1)} "},
        "data-uri": {"video": data},
        "data-uri-in-a-list": [None, data.replace("data:", "DATA:").replace(";base64", ";codecs=avc1;base64")],
        "data-uri-with-spaces": data.replace(";base64,", "; base64, "),
        "base64": {"video": data.partition(",")[2]},
        "base64-in-lines": [None, base64.encodebytes(small_film()).decode()],
        "json-in-a-string": json.dumps({"video": film, "thumbnail": picture}),
        "json-in-json": {"result": json.dumps([{"file": None}, json.dumps({"file": film})])},
        "data-uri-picture-first": ["data:image/png;base64,iVBORw0KGgo=", {"file": data}],
    }
    return shapes[shape]


#: The names of all shapes.
SHAPES = (
    "object",
    "object-of-object",
    "list-of-objects",
    "nested-lists",
    "nulls",
    "picture-first",
    "picture-without-extension-first",
    "picture-named-before",
    "deep",
    "text-beside",
    "upper-case",
    "data-uri",
    "data-uri-in-a-list",
    "data-uri-with-spaces",
    "base64",
    "base64-in-lines",
    "json-in-a-string",
    "json-in-json",
    "data-uri-picture-first",
)
