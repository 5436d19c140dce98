"""The images of ops/deploy, built and run by podman without a registry: the base is a Debian that debootstrap makes.

``python -m tests.deploy.images`` builds them. They stay in ``~/.cache/telecine-images``, which may be deleted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.telecine_process import wait_until

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "telecine-images"
DOCKERFILE = ROOT / "ops/deploy/Dockerfile"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
WORKER, RUNPOD = f"localhost/telecine:{VERSION}", f"localhost/telecine:{VERSION}-runpod"
BASE, CELERY = "localhost/telecine-base:bookworm", "localhost/celery"
#: The user of the images.
UID = 10001

_ENGINE = (
    *("podman", "--root", str(CACHE / "storage"), "--runroot", "/tmp/telecine-images", "--storage-driver=overlay"),
    *("--cgroup-manager=cgroupfs", "--events-backend=none", "--runtime=runc", "--log-level=fatal"),
)
# What this machine needs to reach package indexes, if anything.
_OWN = [Path("/etc/pip.conf"), Path("/etc/ssl/certs/ca-certificates.crt")]
_CELERY_STEPS = f"""\
FROM {BASE}
COPY constraints.txt /
RUN python3 -m venv /opt/celery && /opt/celery/bin/pip install --quiet --constraint /constraints.txt celery
USER {UID}
"""


def podman(*arguments: str | Path, stdin: bytes = b"", check: bool = True) -> str:
    """Run podman and return what it prints.

    Raises:
        AssertionError: It failed; the message has the end of its output.
    """
    done = subprocess.run([*_ENGINE, *arguments], input=stdin, capture_output=True, cwd="/")
    assert not check or done.returncode == 0, f"podman {arguments[0]}: {(done.stdout + done.stderr).decode()[-4000:]}"
    return done.stdout.decode().strip()


def build(image: str, *options: str, steps: str | None = None) -> None:
    """Build an image of the repository: from the Dockerfile, or from ``steps``."""
    own = [f"--volume={path}:{path}:ro" for path in _OWN if path.exists()]
    file = str(DOCKERFILE) if steps is None else "-"
    # --format=docker: an OCI image has no HEALTHCHECK.
    common = ["build", "--isolation=chroot", "--format=docker", "--layers", f"--file={file}", f"--tag={image}"]
    podman(*common, *own, *options, ROOT, stdin=(steps or "").encode())


def make_base() -> None:
    """Make the base, unless it is there: Debian with Python, as python:3.11-slim-bookworm is."""
    if podman("images", "--quiet", BASE):
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        include = "--include=ca-certificates,python3,python3-venv"
        command = ["debootstrap", "--variant=minbase", include, "bookworm", f"{folder}/debian"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        tar = ["tar", "-C", f"{folder}/debian", "--exclude=./var/cache/apt/*", "-cf", f"{folder}/debian.tar", "."]
        subprocess.run(tar, check=True)
        podman("import", f"{folder}/debian.tar", BASE)


def build_all() -> None:
    """Build the images of workers and of RunPod, and a plain Celery image to compare with."""
    make_base()
    build(CELERY, steps=_CELERY_STEPS)
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    labels = {"VERSION": VERSION, "REVISION": revision, "SOURCE": "https://example.com/telecine"}
    options = [f"--build-arg=BASE={BASE}", *(f"--build-arg={name}={value}" for name, value in labels.items())]
    for image, target in ((WORKER, "worker"), (RUNPOD, "runpod")):
        started = time.monotonic()
        build(image, f"--target={target}", *options)
        print(f"built {image} in {time.monotonic() - started:.0f} s")


class Container:
    """A container as a cluster runs it: read-only root, its own user, no capabilities; on this machine's network."""

    def __init__(
        self,
        *command: str,
        image: str = WORKER,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        tmp: str = "size=1g",
    ) -> None:
        self.name = f"telecine-{uuid.uuid4().hex[:8]}"
        variables = [f"--env={name}={value}" for name, value in (env or {}).items()]
        limits = ["--ulimit=nofile=4096:4096", "--ulimit=nproc=8192:8192", "--cap-drop=all", "--pids-limit=0"]
        place = ["--network=host", "--read-only", f"--tmpfs=/tmp:{tmp},mode=1777", "--security-opt=no-new-privileges"]
        self._run = ["--name", self.name, *limits, *place, *variables, *options, image, *command]

    def start(self) -> Self:
        """Start it in the background."""
        podman("run", "--detach", *self._run)
        return self

    def run(self) -> tuple[int, str]:
        """Run it until it ends, and return its exit status and what it logged."""
        self.start()
        return self.wait(), self.log()

    def wait(self) -> int:
        """Wait until it has ended and return its exit status."""
        return int(podman("wait", self.name))

    def restart(self) -> None:
        """Start it again, with its data."""
        podman("start", self.name)

    def stop(self, seconds: int = 60) -> int:
        """Stop it as an engine does, and return its exit status."""
        podman("stop", f"--time={seconds}", self.name)
        return int(podman("inspect", "--format={{.State.ExitCode}}", self.name))

    def run_inside(self, *command: str, stdin: bytes = b"", check: bool = True) -> str:
        """Run a command in it."""
        return podman("exec", "--interactive", self.name, *command, stdin=stdin, check=check)

    def healthy(self) -> bool:
        """Run its HEALTHCHECK."""
        return subprocess.run([*_ENGINE, "healthcheck", "run", self.name], capture_output=True).returncode == 0

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return podman("inspect", "--format={{.State.Running}}", self.name) == "true"

    def log(self) -> str:
        """Return what it has written."""
        return subprocess.run(
            [*_ENGINE, "logs", self.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ).stdout.decode()

    def wait_until_logged(self, text: str, timeout: float = 60) -> None:
        """Wait until its log contains the text."""
        wait_until(lambda: text in self.log(), timeout=timeout, what=self.log)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            print(self.log()[-4000:])
        podman("rm", "--force", "--volumes", "--time=0", self.name, check=False)


def main() -> None:
    """Build the images."""
    if shutil.which("podman") is None:
        sys.exit("podman is not installed; `make images` installs it")
    build_all()


if __name__ == "__main__":
    main()
