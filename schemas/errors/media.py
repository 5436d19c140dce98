"""Errors of inputs, results and the renderer. The tree is drawn in `schemas.errors`."""

from __future__ import annotations

from schemas.errors.base import TelecineError, Verdict


class InputError(TelecineError):
    """A media input cannot be used. Replace it and send a new request."""


class InputNotFound(InputError):
    """The input does not exist. Upload it before sending the request."""

    code = "input_not_found"


class InputReplaced(InputError):
    """The object was replaced before it was read. A newer upload has its own event; otherwise send a new request."""

    code = "input_replaced"


class InputForbidden(InputError):
    """Telecine may not read the input. Grant the worker read access or use another location."""

    code = "input_forbidden"


class InputTooLarge(InputError):
    """The input is larger than its limit."""

    code = "file_too_large"
    default_message = "File too large"


class InvalidImage(InputError):
    """The input is not an image of a supported kind."""

    code = "invalid_image"
    default_message = "Image must be JPG or PNG"


class InvalidAudio(InputError):
    """The input is not audio of a supported kind."""

    code = "invalid_audio"
    default_message = "Audio must be MP3, WAV, or FLAC"


class InvalidTiming(InputError):
    """The file of `timing` cannot be used. The message says which line is wrong; correct the file."""

    code = "invalid_timing"


class InputUnavailable(InputError):
    """The input could not be fetched. Will retry."""

    code = "input_unavailable"
    verdict = Verdict.LATER


class StorageError(TelecineError):
    """The results could not be written."""


class OutputExists(StorageError):
    """Another file already exists at the result's location. Choose another `output` or delete the file."""

    code = "output_exists"


class OutputForbidden(StorageError):
    """Telecine may not write to the output location. Grant write access or change `output`."""

    code = "output_forbidden"


class StorageUnavailable(StorageError):
    """Object storage did not respond. Will retry.

    The disk of the worker is storage too: full, read-only or broken.
    """

    code = "storage_unavailable"
    verdict = Verdict.LATER


class ChecksumMismatch(StorageError):
    """Object storage holds different bytes than were sent. Will retry."""

    code = "checksum_mismatch"
    verdict = Verdict.LATER


class RenderError(TelecineError):
    """The renderer could not finish."""


class RenderFailed(RenderError):
    """The renderer failed on this input. Check the media in another player and send a new request."""

    code = "render_failed"


class RenderTimeout(RenderError):
    """The render exceeded its time limit. Shorten the media or raise TELECINE_RENDER_TIMEOUT_SECONDS."""

    code = "render_timeout"


class RenderInterrupted(RenderError):
    """The renderer was ended from outside before it finished. Will retry."""

    code = "render_interrupted"
    verdict = Verdict.LATER


class OutOfMemory(RenderError):
    """The render exceeded its memory limit. Raise TELECINE_RENDER_MEMORY_BYTES."""

    code = "out_of_memory"
    verdict = Verdict.ELSEWHERE


class RenderKilled(OutOfMemory):
    """The render was killed, as the kernel does when the machine has no memory left. Will retry."""


class ModelOutOfMemory(OutOfMemory):
    """The model ran out of memory, even in its low-memory mode. Choose a smaller size or a smaller model."""

    verdict = Verdict.NEVER


class DeviceFailed(RenderError):
    """The device that runs the models stopped responding. Its worker restarts and retries the job."""

    code = "device_failed"
    verdict = Verdict.ELSEWHERE


class InsufficientVram(RenderError):
    """The model does not fit into this worker's memory, not even in its low-memory mode. Choose a smaller one."""

    code = "insufficient_vram"


class ModelNotInstalled(RenderError):
    """The model cannot run on this worker. The message says which command installs what is missing."""

    code = "model_not_installed"


class InvalidWeights(RenderError):
    """The model's files cannot be loaded: damaged, or not safetensors. Install them again."""

    code = "invalid_weights"
