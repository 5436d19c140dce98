"""What the edge's calls would be without Telecine: a FastAPI application that writes what it receives into files."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import IO, Annotated, Any

from fastapi import Body, FastAPI, UploadFile

app = FastAPI()
SYNCED = "TELECINE_BENCH_SYNCED" in os.environ
FOLDER = Path(os.environ.get("TELECINE_BENCH_FOLDER", "."))


@app.post("/v1/jobs", status_code=202)
def receive(request: Annotated[dict[str, Any], Body()]) -> dict[str, str]:
    """Write the request."""
    with (FOLDER / uuid.uuid4().hex).open("w") as sink:
        sink.write(str(request))
        _sync(sink)
    return {"id": str(request["id"])}


@app.post("/jobs/create-video")
def receive_files(image: UploadFile, audio: UploadFile) -> dict[str, str]:
    """Write both files."""
    name = uuid.uuid4().hex
    for part in (image, audio):
        with (FOLDER / f"{name}-{part.filename}").open("wb") as sink:
            shutil.copyfileobj(part.file, sink)
            _sync(sink)
    return {"job_id": name}


def _sync(sink: IO[Any]) -> None:
    if SYNCED:
        sink.flush()
        os.fsync(sink.fileno())
