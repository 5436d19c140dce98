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
#: More bytes than a slice header has.
_HEADER_BYTES = 24
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


def skip_slice(shape: StreamShape, frame_num: int, first: int = 0, count: int = 0) -> bytes:
    """Return the NAL unit that repeats the frame before (clauses 7.3.3 and 7.3.4): all of it, or some macroblocks.

    It is a reference picture (``nal_ref_idc`` 2), because picture order count type 2 forbids two consecutive
    non-reference pictures (clause 8.2.1.3).
    """
    bits = BitWriter()
    bits.ue(first)  # first_mb_in_slice
    bits.ue(0 if count else 5)  # slice_type: P; 5: as all slices of the picture
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
        bits.u(*skipped_macroblocks(count or shape.macroblocks, shape.quantiser))
    else:
        bits.ue(count or shape.macroblocks)  # mb_skip_run
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


@dataclass(frozen=True, slots=True)
class IntraSlice:
    """An I slice without what depends on its place: it can be used in every picture, and in any of its rows."""

    qp_delta: int
    #: The arithmetic code of the macroblocks, without emulation prevention bytes.
    data: bytes


def read_intra_slice(unit: bytes, shape: StreamShape, first: int = 0) -> IntraSlice:
    """Return the I slice of ``unit``, which begins at macroblock ``first`` of an IDR picture.

    Raises:
        UnexpectedStream: It has another form.
    """
    payload = unescape(unit[1:])
    bits = BitReader(payload[:_HEADER_BYTES])
    _require(unit[0] & 31 == IDR_SLICE and shape.cabac and shape.deblocking_control, "not an IDR picture in CABAC")
    _require(bits.ue() == first and bits.ue() in (2, 7), "a slice begins where none was requested")
    bits.ue()
    bits.u(shape.frame_num_bits)
    bits.ue()  # idr_pic_id
    bits.u(2)  # no_output_of_prior_pics_flag, long_term_reference_flag
    qp_delta = bits.se()
    _require(bits.ue() == 1, "the deblocking filter is on")
    return IntraSlice(qp_delta, payload[-(-bits.position // 8) :])


def intra_slice(shape: StreamShape, part: IntraSlice, first: int, frame_num: int, idr_pic_id: int | None) -> bytes:
    """Return the NAL unit of ``part`` from macroblock ``first`` on, in an IDR picture if ``idr_pic_id`` is given.

    No pixel of another slice changes, because the deblocking filter is off.
    """
    bits = BitWriter()
    bits.ue(first)  # first_mb_in_slice
    bits.ue(2)  # slice_type: I
    bits.ue(shape.pps_id)
    bits.u(frame_num % (1 << shape.frame_num_bits), shape.frame_num_bits)
    if idr_pic_id is not None:
        bits.ue(idr_pic_id)
        bits.u(0, 2)  # no_output_of_prior_pics_flag, long_term_reference_flag
    else:
        bits.u(0, 1)  # adaptive_ref_pic_marking_mode_flag: sliding window
    bits.se(part.qp_delta)
    bits.ue(1)  # disable_deblocking_filter_idc
    while bits.length % 8:
        bits.u(1, 1)  # cabac_alignment_one_bit
    head = 2 << 5 | SLICE if idr_pic_id is None else 3 << 5 | IDR_SLICE
    return bytes([head]) + escape(bits.getvalue() + part.data)
