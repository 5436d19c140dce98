"""What the edge's calls would be without Telecine: a FastAPI application that writes what it receives into files."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, FastAPI, UploadFile

app = FastAPI()
FOLDER = Path(os.environ.get("TELECINE_BENCH_FOLDER", "."))


@app.post("/v1/jobs", status_code=202)
def receive(request: Annotated[dict[str, Any], Body()]) -> dict[str, str]:
    """Write the request."""
    (FOLDER / uuid.uuid4().hex).write_text(str(request))
    return {"id": str(request["id"])}


@app.post("/jobs/create-video")
def receive_files(image: UploadFile, audio: UploadFile) -> dict[str, str]:
    """Write both files."""
    name = uuid.uuid4().hex
    for part in (image, audio):
        with (FOLDER / f"{name}-{part.filename}").open("wb") as sink:
            shutil.copyfileobj(part.file, sink)
    return {"job_id": name}
