"""Join two AAC streams that were encoded separately from parts of one sound, which overlap."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO

#: Frames that both streams contain, and the first of them at which they may be joined: until then, the second encoder
#: gets used to the sound.
OVERLAP, _WARM_UP = 16, 8
#: Length of an ADTS header without checksum, ISO/IEC 13818-7 clause 6.2.
HEADER_BYTES = 7
#: What begins a frame of two channels with a common window, ISO/IEC 14496-3 table 4.4: ID_CPE.
_PAIR = 1


def frame_bytes(header: bytes) -> int:
    """Return the length of an ADTS frame with its header (ISO/IEC 13818-7 clause 6.2, ``aac_frame_length``)."""
    return (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5


def join(first: Path, second: Path, begin: int) -> None:
    """Append ``second``, whose sound begins ``begin`` frames after that of ``first``, to ``first``; delete ``second``.

    They are joined where both encoders chose the same long window, so that the overlapping windows of two frames add up
    to the sound. Is the sound so short that ``first`` contains it all, nothing is appended.
    """
    with first.open("r+b") as target, second.open("rb") as source:
        following = list(islice(_frames(source), OVERLAP + 2))
        if len(following) == OVERLAP + 2:
            before = list(islice(_frames(target), begin, begin + OVERLAP))
            seams = [
                index
                for index in range(_WARM_UP, OVERLAP)
                if _has_long_window(before[index - 1 : index + 1] + following[index - 1 : index + 1])
            ]
            seam = seams[0] if seams else _WARM_UP
            target.truncate(before[seam][0])
            target.seek(0, 2)
            source.seek(following[seam][0])
            shutil.copyfileobj(source, target)
    second.unlink()


def _frames(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield position and bytes of each ADTS frame."""
    stream.seek(0)
    position = 0
    while len(header := stream.read(HEADER_BYTES)) == HEADER_BYTES:
        frame = header + stream.read(frame_bytes(header) - HEADER_BYTES)
        yield position, frame
        position += len(frame)


def _has_long_window(frames: list[tuple[int, bytes]]) -> bool:
    """Return whether all ``frames`` have one long window of the same shape, common to both channels."""
    windows = set()
    for _, frame in frames:
        bits = int.from_bytes(frame[HEADER_BYTES : HEADER_BYTES + 2], "big")
        # id_syn_ele (3 bits), element_instance_tag (4), common_window (1); ics_reserved_bit (1), window_sequence (2),
        # window_shape (1)
        is_pair, is_common, sequence = bits >> 13 == _PAIR, bits >> 8 & 1, bits >> 5 & 3
        windows.add((is_pair and is_common and sequence == 0, bits >> 4 & 1))
    return len(windows) == 1 and all(is_long for is_long, _ in windows)
