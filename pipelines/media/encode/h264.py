"""What repeating a picture needs of H.264: parameter sets, slice headers, skip slices.

The encoder encodes each distinct picture once. Every further frame that shows the same picture is written here, as a P
slice that skips every macroblock: decoders then repeat the previous picture bit for bit. The inserted frames shift
``frame_num``, so ``frame_num`` in the encoder's own slices is overwritten.

Clause numbers are those of ITU-T H.264 (08/2021). If the parameter sets do not prove that skip slices are exact and
legal, ``UnexpectedStream`` is raised, and the caller encodes every frame instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.media.encode.bits import BitReader, BitWriter, escape, unescape
from pipelines.media.encode.cabac import skipped_macroblocks

SLICE, IDR_SLICE, SPS, PPS = 1, 5, 7, 8
_HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128)


class UnexpectedStream(Exception):
    """Skip slices cannot be inserted into the encoder's stream."""


@dataclass(frozen=True, slots=True)
class StreamShape:
    """The values of the parameter sets that determine the form of slice headers."""

    #: Number of macroblocks in a picture.
    macroblocks: int
    #: Length of ``frame_num`` in bits; ``frame_num`` counts modulo ``2 ** frame_num_bits``.
    frame_num_bits: int
    pps_id: int
    cabac: bool
    #: SliceQPY when ``slice_qp_delta`` is 0.
    quantiser: int
    deblocking_control: bool


def read_shape(sps: bytes, pps: bytes) -> StreamShape:
    """Return the shape of a stream from its parameter sets (NAL units, clauses 7.3.2.1 and 7.3.2.2).

    Raises:
        UnexpectedStream: The stream is interlaced, reorders pictures, or has several slice groups, several reference
            pictures or weighted prediction: skip slices would not be exact or not be legal.
    """
    try:
        frame_num_bits, macroblocks = _read_sps(BitReader(unescape(sps[1:])))
        return _read_pps(BitReader(unescape(pps[1:])), frame_num_bits, macroblocks)
    except EOFError as error:
        raise UnexpectedStream(str(error)) from None


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise UnexpectedStream(problem)


def _read_sps(bits: BitReader) -> tuple[int, int]:
    profile = bits.u(8)
    bits.u(16)  # constraint flags and level
    _require(bits.ue() == 0, "several sequence parameter sets")
    if profile in _HIGH_PROFILES:
        _require(bits.ue() == 1, "not 4:2:0")
        _require(bits.ue() == 0 and bits.ue() == 0, "more than 8 bits")
        _require(bits.u(1) == 0, "transform bypass")
        _require(bits.u(1) == 0, "scaling matrices")
    frame_num_bits = bits.ue() + 4
    # Type 2: output order is decoding order and slice headers carry no order count (clause 8.2.1.3).
    _require(bits.ue() == 2, "pictures may be reordered")
    _require(bits.ue() == 1, "more than one reference picture")
    _require(bits.u(1) == 0, "gaps in frame_num")
    macroblocks = (bits.ue() + 1) * (bits.ue() + 1)
    _require(bits.u(1) == 1, "interlaced")
    return frame_num_bits, macroblocks


def _read_pps(bits: BitReader, frame_num_bits: int, macroblocks: int) -> StreamShape:
    pps_id = bits.ue()
    _require(bits.ue() == 0, "another sequence parameter set")
    cabac = bool(bits.u(1))
    _require(bits.u(1) == 0, "bottom field order")
    _require(bits.ue() == 0, "slice groups")
    _require(bits.ue() == 0, "more than one reference index")
    bits.ue()
    _require(bits.u(1) == 0, "weighted prediction")
    bits.u(2)
    quantiser = 26 + bits.se()
    bits.se()
    bits.se()
    deblocking_control = bool(bits.u(1))
    bits.u(1)  # constrained intra prediction: skip slices have no intra macroblocks
    _require(bits.u(1) == 0, "redundant pictures")
    return StreamShape(macroblocks, frame_num_bits, pps_id, cabac, quantiser, deblocking_control)


def skip_slice(shape: StreamShape, frame_num: int) -> bytes:
    """Return the NAL unit of a frame that repeats the one before it (clauses 7.3.3 and 7.3.4).

    It is a reference picture (``nal_ref_idc`` 2), because picture order count type 2 forbids two consecutive
    non-reference pictures (clause 8.2.1.3).
    """
    bits = BitWriter()
    bits.ue(0)  # first_mb_in_slice
    bits.ue(5)  # slice_type: P, as all slices of the picture
    bits.ue(shape.pps_id)
    bits.u(frame_num % (1 << shape.frame_num_bits), shape.frame_num_bits)
    bits.u(0, 1)  # num_ref_idx_active_override_flag
    bits.u(0, 1)  # ref_pic_list_modification_flag_l0
    bits.u(0, 1)  # adaptive_ref_pic_marking_mode_flag: sliding window
    if shape.cabac:
        bits.ue(0)  # cabac_init_idc
    bits.se(0)  # slice_qp_delta
    if shape.deblocking_control:
        bits.ue(1)  # disable_deblocking_filter_idc: skipped macroblocks have nothing to filter
    if shape.cabac:
        while bits.length % 8:
            bits.u(1, 1)  # cabac_alignment_one_bit
        bits.u(*skipped_macroblocks(shape.macroblocks, shape.quantiser))
    else:
        bits.ue(shape.macroblocks)  # mb_skip_run
        bits.u(1, 1)  # rbsp_stop_one_bit
    return bytes([2 << 5 | SLICE]) + escape(bits.getvalue())


def with_frame_num(unit: bytes, shape: StreamShape, frame_num: int) -> bytes:
    """Return the slice ``unit`` with another ``frame_num``. The field has a fixed length, so no other bit moves."""
    payload = unescape(unit[1:])
    # Only the slice header is parsed, as one integer of 16 bytes; a whole slice as one integer would be slow.
    size = min(len(payload), 16)
    bits = BitReader(payload[:size])
    bits.ue()
    bits.ue()
    bits.ue()
    shift = size * 8 - bits.position - shape.frame_num_bits
    mask = (1 << shape.frame_num_bits) - 1
    head = int.from_bytes(payload[:size], "big") & ~(mask << shift) | (frame_num & mask) << shift
    return unit[:1] + escape(head.to_bytes(size, "big") + payload[size:])
