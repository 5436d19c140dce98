"""A Ceph cluster with its S3 gateway for the tests: an object store with real locks, signatures and checks."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path

from tests.servers.ports import answers, free_port
from tests.servers.process import ServerFailed, end, program, spawn, wait_until

#: One monitor, one in-memory store, no replicas, no authentication inside the cluster. Without `ms_mon_client_mode`
#: the gateway would ask for encryption and hang.
_CONFIGURATION = """
[global]
fsid={fsid}
mon_host=127.0.0.1:{mon_port}
public_addr=127.0.0.1
auth_cluster_required=none
auth_service_required=none
auth_client_required=none
ms_mon_client_mode=crc
ms_bind_ipv6=false
osd_pool_default_size=1
osd_pool_default_min_size=1
mon_allow_pool_size_one=true
osd_crush_chooseleaf_type=0
osd_pool_default_pg_num=1
osd_pool_default_pgp_num=1
osd_pool_default_pg_autoscale_mode=off
mon_max_pg_per_osd=500
mon_cluster_log_to_file=false
log_file={folder}/$name.log
run_dir={folder}/run
admin_socket={folder}/run/$name.$pid.asok
rgw_frontends=beast endpoint=127.0.0.1:{port}
rgw_thread_pool_size=32
rgw_enable_apis=s3,admin,pubsub
[mon.a]
mon_data={folder}/mon
[osd.0]
osd_data={folder}/osd
osd_objectstore=memstore
memstore_device_bytes=2147483648
[client.admin]
rgw_data={folder}/rgw
"""


class Radosgw:
    """A store that loses its data when it stops."""

    access_key = "TELECINETESTACCESS00"
    secret_key = "telecine-test-secret-that-is-no-secret-0"
    region = "us-east-1"

    def __init__(self) -> None:
        names = ("monmaptool", "ceph-mon", "ceph-osd", "ceph", "radosgw", "radosgw-admin")
        self._programs = {name: program(name) for name in names}
        self._folder = Path(tempfile.mkdtemp(prefix="telecine-ceph-"))
        self.port = free_port()
        self._mon_port = free_port()
        self._fsid = str(uuid.uuid4())
        self._log = self._folder / "out"
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        """The S3 endpoint, for path-style URLs."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the store and its gateway and create an S3 user."""
        for name in ("mon", "osd", "rgw", "run"):
            (self._folder / name).mkdir()
        filled = _CONFIGURATION.format(fsid=self._fsid, mon_port=self._mon_port, port=self.port, folder=self._folder)
        (self._folder / "ceph.conf").write_text(filled)
        self._start_monitor()
        self._start_store()
        self._run("radosgw-admin", "user", "create", "--uid=telecine", "--display-name=Telecine", *self._keys())
        self._spawn("radosgw", "-n", "client.admin")
        wait_until(lambda: answers(self.port), "radosgw", self._log)

    def close(self) -> None:
        """Stop all processes and delete the data."""
        for process in reversed(self._processes):
            end(process, signal.SIGKILL)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start_monitor(self) -> None:
        monmap = str(self._folder / "monmap")
        address = f"127.0.0.1:{self._mon_port}"
        self._run("monmaptool", "--create", "--fsid", self._fsid, "--add", "a", address, monmap, configured=False)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self._spawn("ceph-mon", "-i", "a")

    def _start_store(self) -> None:
        number = str(uuid.uuid4())
        self._run("ceph", "osd", "new", number, "0")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", number)
        self._spawn("ceph-osd", "-i", "0")
        wait_until(self._store_is_up, "the Ceph store", self._log)

    def _store_is_up(self) -> bool:
        status = json.loads(self._run("ceph", "osd", "stat", "--format=json"))
        return int(status["num_up_osds"]) == 1

    def _keys(self) -> tuple[str, str]:
        return f"--access-key={self.access_key}", f"--secret-key={self.secret_key}"

    def _spawn(self, name: str, *arguments: str) -> None:
        command = [self._programs[name], "-c", str(self._folder / "ceph.conf"), "-f", *arguments]
        self._processes.append(spawn(command, self._log, folder=self._folder))

    def _run(self, name: str, *arguments: str, configured: bool = True) -> str:
        configuration = ["-c", str(self._folder / "ceph.conf")] if configured else []
        command = [self._programs[name], *configuration, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, cwd=self._folder)
        if done.returncode:
            raise ServerFailed(f"{name} failed:\n{done.stderr[-2_000:]}")
        return done.stdout
