"""Encode the chunks of a video in parallel and read them back in order."""

from __future__ import annotations

import os
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from pipelines.media.encode.chunk_encoder import AccessUnit
from pipelines.media.encode.frame_runs import FrameRun

#: Before each access unit in a temporary file: its length in bytes, and whether it is a key frame.
_HEADER = struct.Struct(">I?")


class ParallelEncoder:
    """Encodes ``chunks`` in threads, each into an unnamed temporary file in ``folder``.

    Memory use does not depend on the length of the video. The threads start immediately: at most ``threads``, and one
    more than there are cores, because one often waits for the interpreter. If a chunk fails, the others stop and
    ``units`` raises its error.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[FrameRun]], Iterator[AccessUnit]],
        chunks: Sequence[Sequence[FrameRun]],
        folder: Path,
        threads: int,
    ) -> None:
        self._encode_runs, self._chunks, self._folder = encode, chunks, folder
        self._files: list[IO[bytes] | None] = [None] * len(chunks)
        self._changed = threading.Condition()
        self._next = 0
        self._error: BaseException | None = None
        self._stopped = False
        #: Number of frames encoded so far, in all chunks.
        self.encoded = 0
        count = min(threads, len(os.sched_getaffinity(0)) + 1, len(chunks))
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def units(self) -> Iterator[AccessUnit]:
        """Yield the access units of all chunks in order, as soon as they are available."""
        for index in range(len(self._chunks)):
            with self._changed:
                while self._files[index] is None and self._error is None:
                    self._changed.wait()
                file, self._files[index] = self._files[index], None
            if file is None:
                assert self._error is not None
                raise self._error
            with file:
                file.seek(0)
                while header := file.read(_HEADER.size):
                    length, key = _HEADER.unpack(header)
                    yield file.read(length), key

    def close(self) -> None:
        """Stop the threads and wait for them."""
        self._stopped = True
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while not self._stopped and self._error is None:
            with self._changed:
                index = self._next
                self._next += 1
            if index >= len(self._chunks):
                return
            try:
                file = self._encode(self._chunks[index])
                with self._changed:
                    self._files[index] = file
                    self._changed.notify_all()
            except BaseException as error:
                with self._changed:
                    self._error = error
                    self._changed.notify_all()

    def _encode(self, chunk: Sequence[FrameRun]) -> IO[bytes]:
        file: IO[bytes] = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - units() closes it
        for data, key in self._encode_runs(chunk):
            if self._stopped:
                break
            file.write(_HEADER.pack(len(data), key))
            file.write(data)
            self.encoded += 1
        return file
