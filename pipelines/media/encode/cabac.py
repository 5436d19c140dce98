"""The CABAC code (H.264's arithmetic code) of a slice in which every macroblock is skipped.

A P slice that repeats the previous picture has one ``mb_skip_flag`` of 1 and one ``end_of_slice_flag`` per macroblock.
For a given number of macroblocks and quantiser, the code is a constant of at most about fifty bytes.

Clause and table numbers are those of ITU-T H.264 (08/2021).
"""

from __future__ import annotations

import copy
import functools
import threading

from pipelines.media.encode.bits import BitWriter

# Table 9-44, rangeTabLPS: four values (qCodIRangeIdx 0 to 3) for each pStateIdx from 0 to 63.
_RANGE_LPS_TABLE = """
    128 176 208 240  128 167 197 227  128 158 187 216  123 150 178 205  116 142 169 195  111 135 160 185
    105 128 152 175  100 122 144 166  95 116 137 158  90 110 130 150  85 104 123 142  81 99 117 135
    77 94 111 128  73 89 105 122  69 85 100 116  66 80 95 110  62 76 90 104  59 72 86 99
    56 69 81 94  53 65 77 89  51 62 73 85  48 59 69 80  46 56 66 76  43 53 63 72
    41 50 59 69  39 48 56 65  37 45 54 62  35 43 51 59  33 41 48 56  32 39 46 53
    30 37 43 50  29 35 41 48  27 33 39 45  26 31 37 43  24 30 35 41  23 28 33 39
    22 27 32 37  21 26 30 35  20 24 29 33  19 23 27 31  18 22 26 30  17 21 25 28
    16 20 23 27  15 19 22 25  14 18 21 24  14 17 20 23  13 16 19 22  12 15 18 21
    12 14 17 20  11 14 16 19  11 13 15 18  10 12 15 17  10 12 14 16  9 11 13 15
    9 11 12 14  8 10 12 14  8 9 11 13  7 9 11 12  7 9 10 12  7 8 10 11
    6 8 9 11  6 7 9 10  6 7 8 9  2 2 2 2
"""
_RANGE_LPS = bytes(map(int, _RANGE_LPS_TABLE.split()))

# Table 9-45, transIdxLPS: the next pStateIdx after a least probable symbol, for each pStateIdx from 0 to 63.
_NEXT_AFTER_LPS_TABLE = """
    0 0 1 2 2 4 4 5 6 7 8 9 9 11 11 12
    13 13 15 15 16 16 18 18 19 19 21 21 22 22 23 24
    24 25 26 26 27 27 28 29 29 30 30 30 31 32 32 33
    33 33 34 34 35 35 35 36 36 36 37 37 37 38 38 63
"""
_NEXT_AFTER_LPS = bytes(map(int, _NEXT_AFTER_LPS_TABLE.split()))

# Table 9-13: (m, n) of ctxIdx 11, mb_skip_flag of P slices, cabac_init_idc 0. All neighbours of a macroblock are
# skipped too, so ctxIdxInc is always 0 (clause 9.3.3.1.1.1), and this is the only context used.
_SKIP_M, _SKIP_N = 23, 33
#: Macroblocks between two encoders that are kept, so that slices of many lengths are computed quickly.
_STAGE = 32
_lock = threading.Lock()


class _Encoder:
    """The arithmetic encoder of clause 9.3.4 with a single context variable."""

    def __init__(self, quantiser: int) -> None:
        state = min(max((_SKIP_M * min(max(quantiser, 0), 51) >> 4) + _SKIP_N, 1), 126)
        self._state, self._likely = (63 - state, 0) if state <= 63 else (state - 64, 1)
        self._low, self._range = 0, 510
        self._outstanding, self._first = 0, True
        self.bits = BitWriter()

    def encode(self, bit: int) -> None:
        """Encode one decision bit (clause 9.3.4.2, EncodeDecision)."""
        lps = _RANGE_LPS[self._state * 4 + (self._range >> 6 & 3)]
        self._range -= lps
        if bit != self._likely:
            self._low += self._range
            self._range = lps
            if self._state == 0:
                self._likely = 1 - self._likely
            self._state = _NEXT_AFTER_LPS[self._state]
        elif self._state < 62:
            self._state += 1
        self._renormalise()

    def terminate(self, last: bool) -> None:
        """Encode ``end_of_slice_flag`` (clause 9.3.4.5, EncodeTerminate); if ``last``, flush (EncodeFlush).

        The final bit that is flushed is the ``rbsp_stop_one_bit``.
        """
        self._range -= 2
        if last:
            self._low += self._range
            self._range = 2
        self._renormalise()
        if last:
            self._put(self._low >> 9 & 1)
            self.bits.u(self._low >> 7 & 3 | 1, 2)

    def skip(self, count: int) -> None:
        """Encode ``count`` skipped macroblocks, of which none is the last of its slice."""
        for _ in range(count):
            self.encode(1)
            self.terminate(False)

    def copy(self) -> _Encoder:
        """Return an encoder that continues from here."""
        other = copy.copy(self)
        other.bits = copy.copy(self.bits)
        return other

    def _renormalise(self) -> None:
        while self._range < 256:
            if self._low < 256:
                self._put(0)
            elif self._low >= 512:
                self._low -= 512
                self._put(1)
            else:
                self._low -= 256
                self._outstanding += 1
            self._range <<= 1
            self._low <<= 1

    def _put(self, bit: int) -> None:
        if self._first:
            self._first = False
        else:
            self.bits.u(bit, 1)
        for _ in range(self._outstanding):
            self.bits.u(1 - bit, 1)
        self._outstanding = 0


@functools.lru_cache(maxsize=4)
def _stages(quantiser: int) -> list[_Encoder]:
    """Return the list in which encoders are kept: each has encoded ``_STAGE`` macroblocks more than the one before."""
    return [_Encoder(quantiser)]


@functools.lru_cache(maxsize=1024)
def skipped_macroblocks(count: int, quantiser: int) -> tuple[int, int]:
    """Return the slice data of ``count`` skipped macroblocks at SliceQPY ``quantiser``: ``(bits, number of bits)``."""
    stage, rest = divmod(count - 1, _STAGE)
    with _lock:
        stages = _stages(quantiser)
        while len(stages) <= stage:
            stages.append(stages[-1].copy())
            stages[-1].skip(_STAGE)
        encoder = stages[stage].copy()
    encoder.skip(rest)
    encoder.encode(1)
    encoder.terminate(True)
    return int.from_bytes(encoder.bits.getvalue(), "big") >> (-encoder.bits.length % 8), encoder.bits.length
