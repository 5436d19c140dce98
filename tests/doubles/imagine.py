"""Imagine.art's API: multipart requests, an HTTP status around an inner status, and error codes of its own."""

from __future__ import annotations

from typing import Any

from tests.doubles.double import Double, Task, serve
from tests.doubles.misbehaviour import Verb
from tests.doubles.server import Reply, Seen

_RATIOS = ("16:9", "9:16", "4:3", "1:1")


class Imagine(Double):
    """Imagine.art. Callers cannot send a reference; the prompt serves as one."""

    #: Whether the result's URL is a string or a list; the API sends both.
    url_as_list = False

    def classify(self, seen: Seen) -> tuple[Verb, str]:
        parts = seen.path.strip("/").split("/")
        if (seen.method, seen.path) == ("POST", "/video/text-to-video"):
            return "submit", ""
        if seen.method == "GET" and len(parts) == 3 and parts[0] == "assets" and parts[2] == "status":
            return "poll", parts[1]
        return "any", ""

    def refusal(self, seen: Seen) -> Reply | None:
        if seen.headers.get("authorization") == f"Bearer {self.key}":
            return None
        return _error(401, 1000, "Unauthorized", "the api key is not valid")

    def unknown(self, seen: Seen) -> Reply:
        return _error(404, 1104, "Not found", "no such asset")

    def reference(self, seen: Seen) -> str:
        return seen.parts().get("prompt", b"").decode()

    def submit(self, seen: Seen) -> Reply:
        if not seen.headers.get("content-type", "").startswith("multipart/form-data"):
            return _error(400, 1100, "Validation", "multipart/form-data is required")
        parts = {name: value.decode() for name, value in seen.parts().items()}
        for name in ("prompt", "style"):
            if not parts.get(name):
                return _error(400, 1101, "Validation", f"{name} is required")
        if len(parts["prompt"]) > 2000 or parts.get("aspect_ratio", "16:9") not in _RATIOS:
            return _error(400, 1102, "Validation", "prompt or aspect_ratio is out of range")
        task = self.accept(parts["prompt"], parts)
        return Reply.of({"id": task.id, "status": "processing"}, x_ratelimit_limit="50")

    def poll(self, task: Task, seen: Seen) -> Reply:
        stage, url = self.stage(task), self.result_url(task)
        if stage == "running":
            return Reply.of({"status": "success", "video": {"uuid": task.id, "status": "processing", "url": {}}})
        if stage != "success":
            video = {"uuid": task.id, "status": "failed", "error": task.plan.message}
            return Reply.of({"status": "success", "video": video})
        where: Any = [url] if self.url_as_list and url else url
        if task.plan.shape:
            named = {"generation": None, "assets": self.shaped(task)}
            return Reply.of({"status": "success", "video": {"uuid": task.id, "status": "finished", "url": named}})
        named = {"generation": where, "thumbnail": f"{url}.jpg"} if url else {}
        return Reply.of({"status": "success", "video": {"uuid": task.id, "status": "finished", "url": named}})


def _error(status: int, code: int, error: str, message: str) -> Reply:
    return Reply.of({"status": "error", "code": code, "error": error, "message": message}, status)


if __name__ == "__main__":
    serve(Imagine)
