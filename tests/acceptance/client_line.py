"""A producer and receiver with telecine-client alone. Runs in an environment that has nothing of Telecine.

It prints one JSON object: how the jobs ended, which errors there were, and which callbacks it verified.
"""

from __future__ import annotations

import importlib.util
import json
import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import telecine_client as client

SECRET = os.environ["SECRET"]
BROKER = os.environ["AMQP_URL"]
verified: list[client.Callback] = []
arrived = threading.Condition()


class Hooks(BaseHTTPRequestHandler):
    """Stores verified callbacks, and answers 401 to all others."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = client.verify(dict(self.headers), body, [f"whsec_{'A' * 32}", SECRET])
        except client.CallbackError:
            self.send_response(401)
        else:
            with arrived:
                verified.append(event)
                arrived.notify_all()
            self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log nothing: the output is for the test."""


def reel(job_id: str, url: str, **more: Any) -> client.ReelRequest:
    data: client.Reel = {
        "image": "s3://inbox/cover.jpg",
        "audio": "s3://inbox/song.mp3",
        "lyrics": "One two",
        "alignment_mode": "even",
    }
    request: client.ReelRequest = {"id": job_id, "type": "reel", "data": data, "callback": {"url": url}}
    request.update(more)  # type: ignore[typeddict-item]
    return request


def error_of(call: Callable[[], object]) -> dict[str, Any]:
    try:
        call()
    except client.TelecineError as error:
        return {"kind": type(error).__name__, "code": error.code, "message": error.message, **vars(error)}
    return {}


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hooks)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/hooks"
    edge = client.Edge(os.environ["EDGE_URL"], retries=0)
    doors: dict[str, client.Door] = {
        "amqp": client.RabbitMQ(BROKER),
        "sqs": client.SQS(),
        "s3": client.S3("s3://inbox/requests/"),
        "edge": edge,
    }
    for name, door in doors.items():
        door.submit(reel(f"client-{name}", url, plan_only=name != "amqp"))
    broken = reel("client-broken", url)
    broken["data"]["image"] = "s3://inbox/absent.jpg"
    with client.RabbitMQ(BROKER) as door:
        door.submit(broken)
        door.submit(reel("client-later", url, not_before=3600))
        edge.wait("client-amqp", timeout=90)
        door.cancel("client-later")
    jobs = {name: edge.wait(f"client-{name}", timeout=90) for name in doors}
    failures = {
        "broken": error_of(lambda: edge.wait("client-broken", timeout=90)),
        "later": error_of(lambda: edge.wait("client-later", timeout=90)),
    }
    with arrived:
        arrived.wait_for(lambda: len(verified) >= 6, 60)
    refused = {
        "no control messages": error_of(lambda: doors["s3"].cancel("client-s3")),
        "conflict": error_of(lambda: edge.submit(reel("client-edge", url, priority="low"))),
        "unknown id": error_of(lambda: edge.wait("client-none", timeout=0.3)),
        "no broker": error_of(lambda: client.RabbitMQ("amqp://guest:s3cret@127.0.0.1:1/%2F").submit(reel("x", url))),
        "no edge": error_of(lambda: client.Edge("http://127.0.0.1:1", retries=0).submit(reel("x", url))),
        "no bucket": error_of(lambda: client.S3("s3://no-such-bucket/").submit(reel("x", url))),
        "no queue": error_of(lambda: client.SQS("no-such-queue").submit(reel("x", url))),
        "no manifest": error_of(lambda: client.Results("s3://results/").wait("client-broken", timeout=0.1)),
    }
    manifest = client.Results("s3://results/").wait("client-amqp", timeout=1)
    uploaded = edge.upload("client-upload", "image", __file__)
    server.shutdown()
    print(
        json.dumps(
            {
                "absent": [
                    name for name in ("celery", "numpy", "consumer", "ops") if not importlib.util.find_spec(name)
                ],
                "jobs": jobs,
                "failures": failures,
                "refused": refused,
                "callbacks": {event["data"].get("id") or "": event for event in verified},
                "manifest": manifest,
                "uploaded": uploaded,
            }
        )
    )


if __name__ == "__main__":
    main()
