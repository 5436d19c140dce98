"""The images as a cluster runs them: their user, a read-only root, no capabilities. `make images` runs this."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consumer.failpoints import FAILPOINTS
from consumer.ledger.database import Database
from consumer.ledger.queries import find_job
from consumer.ledger.records import Job
from consumer.ledger.states import State
from schemas.settings import Settings
from tests.deploy.images import CELERY, ROOT, RUNPOD, UID, VERSION, WORKER, Container, podman
from tests.deploy.manifests import check_command, check_settings
from tests.receiver import Receiver
from tests.servers.ports import free_port
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

HOME = "/var/lib/telecine"
PAGE = (ROOT / "docs" / "deploying-images.md").read_text()
SECRETS = '{"default": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}'


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A volume that belongs to the image's user."""
    folder = tmp_path / "data"
    (folder / "storage/inbox").mkdir(parents=True)
    (folder / "inbox").mkdir()
    for name in ("cover.jpg", "song.mp3"):
        (folder / "storage/inbox" / name).write_bytes((ROOT / "ops/demo" / name).read_bytes())
    for path in (folder, *folder.rglob("*")):
        os.chown(path, UID, UID)
    return folder


def volume(path: Path, place: str = HOME, mode: str = "rw") -> str:
    return f"--volume={path}:{place}:{mode}"


def embedded(data: Path, *more: str, port: int = 0, **settings: object) -> Container:
    env = {"TELECINE_HEALTH_PORT": str(port or free_port()), "TELECINE_SWEEP_SECONDS": "0.3"}
    env |= {f"TELECINE_{name.upper()}": str(value) for name, value in settings.items()}
    return Container("up", options=[volume(data), *more], env=env)


def reel(job_id: str, **more: Any) -> bytes:
    media = {"image": "s3://inbox/cover.jpg", "audio": "s3://inbox/song.mp3"}
    data = {**media, "lyrics": "First line\nSecond line", "alignment_mode": "even"}
    return json.dumps({"id": job_id, "type": "reel", "data": data, **more}).encode()


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def submit(data: Path, request: bytes) -> None:
    """Put a request into the inbox, as `telecine submit` does, but without a process of its own."""
    inbox = data / "inbox"
    (inbox / ".new").write_bytes(request)
    os.chown(inbox / ".new", UID, UID)
    (inbox / ".new").rename(inbox / f"{json.loads(request)['id']}.json")


def ended(data: Path, job_id: str, container: Container) -> Job:
    """Wait until the job has ended and return it, read from the volume."""
    database = Database(f"sqlite:///{data / 'ledger.sqlite3'}")
    with contextlib.closing(database):
        found: Job = wait_until(
            lambda: job if (job := find_job(database, job_id)) is not None and job.terminal else None,
            timeout=180,
            what=lambda: f"{find_job(database, job_id)}\n{container.log()[-3000:]}",
        )
    return found


@pytest.mark.parametrize("image", [WORKER, RUNPOD])
def test_an_image_says_what_it_is_and_what_is_in_it(image: str) -> None:
    found = json.loads(podman("inspect", "--type=image", image))[0]
    labels = found["Labels"]
    assert labels["org.opencontainers.image.version"] == VERSION
    assert len(labels["org.opencontainers.image.revision"]) == 40
    assert found["User"] == f"{UID}:{UID}"
    assert [item["created_by"] for item in found["History"] if "/bin/pip" in str(item)] == []
    with Container("/opt/telecine/share/packages.cdx.json", image=image, options=["--entrypoint=cat"]) as container:
        status, text = container.run()
    assert status == 0
    packages = {item["name"].lower(): item["version"] for item in json.loads(text)["components"]}
    locked = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert {"celery", "av", "pillow"} <= packages.keys()
    assert {name: version for name, version in packages.items() if locked.get(name, version) != version} == {}
    assert not packages.keys() & {"pip", "pytest", "hatchling", "cyclonedx-bom"}


def test_the_demo_runs_in_the_image(data: Path) -> None:
    options = [volume(data), f"--workdir={HOME}", "--entrypoint=python"]
    with Container("-m", "ops.demo", options=options) as container:
        status, text = container.run()
    assert status == 0, text
    assert "delivered, signature verified" in text
    (video,) = (data / "telecine-demo/storage/results").glob("demo-*/video.mp4")
    assert video.stat().st_uid == UID


def test_it_runs_as_its_user_and_its_health_check_tells_the_truth(data: Path) -> None:
    port = free_port()
    with embedded(data, port=port).start() as container:
        wait_until(lambda: ready(port), what=container.log)
        assert container.healthy()
        assert container.run_inside("cat", "/proc/1/comm") == "tini"
        state = container.run_inside("cat", "/proc/1/status")
        assert f"Uid:\t{UID}\t{UID}\t{UID}" in state
        assert "CapEff:\t0000000000000000" in state
        assert "NoNewPrivs:\t1" in state
        assert "Read-only" in container.run_inside("sh", "-c", "touch /etc/x /opt/telecine/x 2>&1 || true")
        signal = "kill -{} $(cat /proc/1/task/1/children)"  # tini's child
        container.run_inside("sh", "-c", signal.format("STOP"))
        assert not container.healthy()
        container.run_inside("sh", "-c", signal.format("CONT"))
        assert container.stop() == 0
    assert not ready(port)


BAD_STARTS: dict[str, tuple[list[str], dict[str, str], str]] = {
    "a missing secret": (
        ["--tmpfs=/run/secrets"],
        {"TELECINE_LEDGER_URL_FILE": "/run/secrets/ledger"},
        "TELECINE_LEDGER_URL_FILE names /run/secrets/ledger, which cannot be read: No such file or directory",
    ),
    "a secret of another user": (
        ["--volume={root_only}:/run/secrets/ledger:ro"],
        {"TELECINE_LEDGER_URL_FILE": "/run/secrets/ledger"},
        "TELECINE_LEDGER_URL_FILE names /run/secrets/ledger, which cannot be read: Permission denied",
    ),
    "a volume of another user": (
        ["--volume={folder}:/var/lib/telecine"],
        {},
        "/var/lib/telecine/up.lock cannot be written: Permission denied; make its folder writable",
    ),
    "no volume": ([], {}, "/var/lib/telecine/up.lock cannot be written: Read-only file system"),
    "a full volume": (["--volume={full}:/var/lib/telecine"], {}, "No space left on device"),
    "a scratch folder that cannot be written": (
        ["--volume={data}:/var/lib/telecine"],
        {"TELECINE_SCRATCH": "/srv/scratch"},
        "the scratch folder /srv/scratch cannot be written: Read-only file system",
    ),
    "PostgreSQL that is stopped": (
        [],
        {
            "TELECINE_LEDGER_URL": "postgresql://telecine:hush@127.0.0.1:1/x",
            "TELECINE_BROKER_URL": "amqp://127.0.0.1:1",
        },
        "the ledger does not answer: connection failed",
    ),
}


@pytest.mark.parametrize("case", BAD_STARTS)
def test_a_bad_start_is_one_line_with_a_code_and_status_1(case: str, data: Path, tmp_path: Path) -> None:
    options, env, message = BAD_STARTS[case]
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret").write_text("sqlite:///x")
    (tmp_path / "secret").chmod(0o600)
    with small_disk(tmp_path / "full", "64k") as full:
        (full / "rest").write_bytes(bytes(60_000))
        places = {"root_only": tmp_path / "secret", "folder": tmp_path / "folder", "full": full, "data": data}
        with Container("up", options=[option.format(**places) for option in options], env=env) as container:
            status, text = container.run()
    assert status == 1
    (line,) = map(json.loads, text.splitlines())
    assert (line["event"], line["code"]) == ("not_started", "configuration")
    assert message in line["reason"]
    assert "hush" not in text


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},uid={UID},gid={UID}", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_delays_jobs_and_loses_none(data: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "20m") as disk:
        subprocess.run(["cp", "--archive", f"{data}/storage/.", disk], check=True)
        with embedded(data, volume(disk, f"{HOME}/storage"), retry_seconds=0.5).start() as container:
            container.wait_until_logged('"started"')
            subprocess.run(["dd", "if=/dev/zero", f"of={disk}/filler", "bs=4k"], capture_output=True)
            submit(data, reel("full-1"))
            container.wait_until_logged("storage_unavailable", timeout=120)
            assert container.running
            (disk / "filler").unlink()
            assert ended(data, "full-1", container).state is State.COMPLETED
            assert container.stop() == 0


def test_sigterm_in_every_phase_of_a_job_loses_and_doubles_nothing(data: Path) -> None:
    """The container is stopped in each phase, and started again with its data: by the next phase's job."""
    armed = data / "failpoint"
    with Receiver() as receiver:
        port, host = free_port(), f"127.0.0.1:{receiver.port}"
        jobs = {f"sigterm-{name.replace('.', '-')}": name for name in FAILPOINTS}
        with embedded(data, port=port, failpoint_file=f"{HOME}/failpoint", allowed_private_hosts=host) as container:
            for number, (job_id, name) in enumerate(jobs.items()):
                container.start() if number == 0 else container.restart()
                # One phase outlasts the time that a stopping process gives its jobs: that job is released.
                seconds = 600 if name == "advance.rendered" else 2
                armed.write_text(f"{name}:sleep={seconds}\n{HOME}/reached-{job_id}")
                submit(data, reel(job_id, callback={"url": receiver.url}))
                wait_until((data / f"reached-{job_id}").exists, timeout=120, what=container.log)
                assert container.stop() == 0, name
            container.restart()
            wait_until(lambda: ready(port), what=container.log)
            for job_id in jobs:
                job = ended(data, job_id, container)
                assert (job.state, job.crashes) == (State.COMPLETED, 0), job_id
                assert len(list((data / "storage/results" / job_id).glob("video*.mp4"))) == 1
            wait_until(lambda: len({sent.headers["webhook-id"] for sent in receiver.attempts}) == len(jobs))
            assert container.stop() == 0
            assert "Traceback" not in container.log()


def test_servers_that_come_up_later(data: Path) -> None:
    """Telecine waits for RabbitMQ, and is started again until PostgreSQL answers."""
    postgres, rabbitmq, port = Postgres(), RabbitMQ(), free_port()
    try:
        postgres.start()
        url = postgres.create_database()
        postgres.stop()
        env = {
            "TELECINE_LEDGER_URL": url,
            "TELECINE_BROKER_URL": rabbitmq.url,
            "TELECINE_STORAGE": "folder",
            "TELECINE_HEALTH_PORT": str(port),
            "TELECINE_CALLBACK_SECRETS": SECRETS,
        }
        with Container("up", options=[volume(data), "--restart=always"], env=env).start() as container:
            container.wait_until_logged("the ledger does not answer", timeout=120)
            postgres.start()
            container.wait_until_logged('"started"', timeout=120)
            wait_until(container.healthy, timeout=60, what=container.log)
            assert not ready(port)
            rabbitmq.start()
            wait_until(lambda: ready(port), timeout=120, what=container.log)
            container.run_inside("telecine", "submit", "-", stdin=reel("later-1"))
            job = json.loads(container.run_inside("telecine", "status", "later-1", "--json", "--watch"))
            assert job["status"] == "completed"
            assert container.stop() == 0
    finally:
        rabbitmq.close()
        postgres.close()


def test_its_size_and_start_beside_a_plain_celery_image(
    rabbitmq: RabbitMQ, postgres_url: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    env = {
        "TELECINE_LEDGER_URL": postgres_url,
        "TELECINE_BROKER_URL": rabbitmq.url,
        "TELECINE_STORAGE": "folder",
        "TELECINE_HEALTH_PORT": str(port),
        "TELECINE_CALLBACK_SECRETS": SECRETS,
    }
    with embedded(data).start() as container:
        container.wait_until_logged('"started"')  # the files are in the page cache now, for both
    celery = Container(
        *("--broker", rabbitmq.url, "worker", "--concurrency=2", "--loglevel=INFO"),
        image=CELERY,
        options=["--entrypoint=/opt/celery/bin/celery", "--workdir=/tmp"],
    )
    plain = seconds_until(celery, lambda: " ready." in celery.log())
    with Container("migrate", env=env) as migration:
        assert migration.run()[0] == 0
    worker = Container("worker", "--concurrency=2", options=[volume(data)], env=env)
    seconds = seconds_until(worker, lambda: ready(port))
    sizes = {image: int(podman("image", "inspect", "--format={{.Size}}", image)) for image in (WORKER, RUNPOD, CELERY)}
    with capsys.disabled():
        for image, size in sizes.items():
            print(f"\n{image}: {size / 1e6:.0f} MB, {size / sizes[CELERY]:.1f} times a plain Celery image", end="")
        print(f"\nstart to ready: {seconds:.1f} s, {seconds / plain:.1f} times a plain Celery worker ({plain:.1f} s)")
    assert sizes[WORKER] < 4 * sizes[CELERY]
    assert seconds < 5 * plain + 5


def seconds_until(container: Container, probe: Callable[[], bool]) -> float:
    began = time.monotonic()
    with container.start():
        wait_until(probe, timeout=120, what=container.log)
        return time.monotonic() - began


def test_runpods_handler_starts_in_its_image() -> None:
    code = "import ops.runpod.handler as handler, runpod; print(runpod.__name__, handler.main.__name__)"
    with Container("-c", code, image=RUNPOD, options=["--entrypoint=python"]) as container:
        assert container.run() == (0, "runpod main\n")


@pytest.mark.parametrize(
    ("template", "instance", "command"),
    [
        ("telecine@.service", "doors,sweep,calls,outbox", "up --only"),
        ("telecine@.service", "doors,sweep,calls,outbox,worker", "up --only"),
        ("telecine-worker@.service", "io,render", "worker --role"),
        ("telecine-worker@.service", "gpu", "worker --role"),
    ],
)
def test_the_systemd_units_are_valid_and_confined(tmp_path: Path, template: str, instance: str, command: str) -> None:
    escape = ["systemd-escape", f"--template={template}", instance]
    unit = tmp_path / subprocess.run(escape, capture_output=True, text=True, check=True).stdout.strip()
    assert f'"$({" ".join(escape)})"' in PAGE or f"enable --now {unit.name}" in PAGE
    text = (ROOT / "ops/deploy/systemd" / template).read_text()
    # %I is the name as it was before systemd-escape.
    (started,) = re.findall(r"^ExecStart=/opt/telecine/bin/telecine (.*)", text, re.MULTILINE)
    assert started == f"{command} %I"
    check_command(started.replace("%I", instance))
    unit.write_text(text.replace("/opt/telecine/bin/telecine", "/bin/true"))  # which exists here
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    security = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", str(unit)]
    done = subprocess.run(security, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_the_environment_file_of_the_page_has_settings_and_no_quotes() -> None:
    (block,) = re.findall(r"^```\n(TELECINE_BROKER_URL_FILE.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert not {"'", '"'} & set(block)  # Docker would pass them on
    check_settings(dict(line.split("=", 1) for line in block.splitlines()))


def test_a_worker_under_systemd_has_the_time_that_its_jobs_take() -> None:
    text = (ROOT / "ops/deploy/systemd/telecine-worker@.service").read_text()
    (given,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    defaults = Settings()
    assert int(given) > 2 * defaults.fetch_timeout_seconds + defaults.render_timeout_seconds
