"""Pika's reseller, as documented: /generate, /jobs/{id}, required options, videos that appear late."""

from __future__ import annotations

from typing import Any

from tests.doubles.double import Double, Task, serve
from tests.doubles.misbehaviour import Verb
from tests.doubles.server import Reply, Seen

_RATIOS = ("16:9", "9:16", "1:1", "5:2", "4:5", "4:3")
_MODELS = ("1.0", "1.5", "2.0", "2.1", "Turbo")


class Pika(Double):
    """Pika's reseller. A job starts without videos; they are then queued, pending and finished."""

    def classify(self, seen: Seen) -> tuple[Verb, str]:
        if (seen.method, seen.path) == ("POST", "/generate"):
            return "submit", ""
        if seen.method == "GET" and seen.path.startswith("/jobs/"):
            return "poll", seen.path.removeprefix("/jobs/")
        return "any", ""

    def refusal(self, seen: Seen) -> Reply | None:
        if seen.headers.get("authorization") == f"Bearer {self.key}":
            return None
        return Reply.of({"error": {"message": "Invalid token"}}, 401)

    def reference(self, seen: Seen) -> str:
        return str(seen.json().get("ref", ""))

    def submit(self, seen: Seen) -> Reply:
        body = seen.json()
        if (problem := _problem(body)) is not None:
            return Reply.of({"error": {"message": problem}}, 400)
        task = self.accept(str(body.get("ref", "")), body)
        return Reply.of(
            {
                "job": {"id": task.id, "pikaJobId": task.id, "status": "queued", "requestType": "generate"},
                "video": {"id": task.id, "jobId": task.id, "status": "queued", "progress": 0},
            }
        )

    def poll(self, task: Task, seen: Seen) -> Reply:
        stage = self.stage(task)
        job = {"id": task.id, "ref": task.ref}
        if stage == "running":
            if task.polls == 1:
                return Reply.of({"job": job | {"status": "queued"}, "videos": []})
            video = {"id": task.id, "jobId": task.id, "status": "pending", "progress": min(task.polls * 10, 90)}
            return Reply.of({"job": job, "videos": [video]})
        if stage != "success":
            video = {"id": task.id, "jobId": task.id, "status": "error", "error": task.plan.message}
            return Reply.of({"job": job | {"status": "error"}, "videos": [video]})
        return Reply.of({"job": job | {"status": "finished"}, "videos": [self._finished(task)]})

    def _finished(self, task: Task) -> dict[str, Any]:
        name = f"{'_'.join(task.asked.get('promptText', 'video').split()[:8])}_seed42.mp4"
        url = self.result_url(task, name.replace("/", "-").replace("?", "").replace("#", ""))
        video = {"id": task.id, "jobId": task.id, "status": "finished", "progress": 100, "duration": 3, "seed": 42}
        if task.plan.shape:
            return video | {"resultUrl": None, "assets": self.shaped(task), "videoPoster": f"{url}.jpg"}
        return video | {"error": ""} | ({"resultUrl": url, "sharingUrl": f"{url}&share"} if url else {})


def _problem(body: dict[str, Any]) -> str | None:
    options = body.get("options")
    if not isinstance(options, dict):
        return "options is required"
    parameters = options.get("parameters")
    if not isinstance(parameters, dict):
        return "options.parameters is required"
    ranges = (
        ("options.frameRate", options.get("frameRate"), 1, 24),
        ("options.parameters.motion", parameters.get("motion"), 1, 4),
        ("options.parameters.guidanceScale", parameters.get("guidanceScale"), 5, 25),
    )
    for name, value, low, high in ranges:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            return f"{name} must be from {low} to {high}"
    if options.get("aspectRatio", "16:9") not in _RATIOS:
        return f"options.aspectRatio must be one of {', '.join(_RATIOS)}"
    if body.get("model", "1.0") not in _MODELS:
        return "model is unknown"
    if not str(body.get("image", "")).startswith("http"):
        return "image must be a URL" if "image" in body or not body.get("promptText") else None
    return None


if __name__ == "__main__":
    serve(Pika)
