"""pgbouncer in transaction mode, in front of the PostgreSQL server of the tests."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from tests.servers.ports import answers, free_port
from tests.servers.process import end, program, spawn, wait_until


class PgBouncer:
    """A pooler that gives each transaction any one of ``connections`` server connections."""

    def __init__(self, url: str, *, connections: int) -> None:
        target = make_url(url)
        self._folder = Path(tempfile.mkdtemp(prefix="telecine-pgbouncer-"))
        port = free_port()
        self.url: URL = target.set(port=port)
        self._log = self._folder / "log"
        configuration = self._folder / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\n{target.database} = "
            f"host={target.host} port={target.port} user={target.username}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\nauth_file =\n"
            f"pool_mode = transaction\ndefault_pool_size = {connections}\n"
            # All of the pool is used, in turn.
            "server_round_robin = 1\n"
        )
        # pgbouncer refuses to run as root.
        user = "postgres" if os.geteuid() == 0 else None
        if user is not None:
            shutil.chown(self._folder, user, user)
        self._process = spawn([program("pgbouncer"), str(configuration)], self._log, user=user, folder=self._folder)
        wait_until(lambda: answers(port), "pgbouncer", self._log)

    def close(self) -> None:
        """Stop the pooler."""
        end(self._process, signal.SIGKILL)
        shutil.rmtree(self._folder, ignore_errors=True)
