"""The parameters of the five source systems, as each system documents them.

Limits that a source does not document are Telecine's, as are the defaults of Cococlip's and Imagine.art's models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

IMAGE, AUDIO = "s3://inbox/c.jpg", "s3://inbox/s.mp3"
LYRICS = "First line\nSecond line"
_LONG = "a" * 1000


@dataclass(frozen=True)
class Parameter:
    """A parameter with its default, accepted values and refused values."""

    name: str
    default: Any
    good: tuple[Any, ...]
    #: Refused values, each with a part of its error message.
    bad: tuple[tuple[Any, str], ...] = ()
    #: Values that mean the default, such as null or an empty form field.
    empty: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Call:
    """A call of a source system and its job type in Telecine."""

    name: str
    type: str
    #: The fields that the call requires.
    required: dict[str, Any]
    parameters: tuple[Parameter, ...]
    #: Fields that the source does not have: the model that its call implies.
    model: dict[str, Any] = field(default_factory=dict)
    #: Other fields to send with each tested value.
    also_sent: dict[str, Any] = field(default_factory=dict)
    #: Whether the source takes a form, so that numbers and flags arrive as text.
    form: bool = False

    def __str__(self) -> str:
        return self.name


def whole(name: str, default: int | None, low: int, high: int, *more: int, step: int | None = None) -> Parameter:
    """Return an integer parameter with limits."""
    bad: list[tuple[Any, str]] = [
        (low - (step or 1), f"must be at least {low}"),
        (high + (step or 1), f"must be at most {high}"),
    ]
    if step is not None:
        bad.append((low + 1, f"multiple of {step}"))
    return Parameter(name, default, (low, *more, high), tuple(bad))


def choice(name: str, default: Any, *choices: Any, bad: Any) -> Parameter:
    """Return a parameter with several choices, which its error message lists."""
    return Parameter(name, default, choices, ((bad, f"must be one of {', '.join(map(str, choices))} for "),))


def flag(name: str, default: bool | None = False) -> Parameter:
    """Return a boolean parameter."""
    return Parameter(name, default, (True, False), (("perhaps", "true or false"),))


_REEL = Call(
    "Reel Creator: create-video",
    "reel",
    {"image": IMAGE, "audio": AUDIO},
    (
        Parameter("lyrics", "", (LYRICS, "Hello world\nThis is a test"), empty=(None,)),
        Parameter("language", None, ("en", "hi", "es"), (("english", "a language tag such as en"),)),
        whole("font_size", 45, 8, 400, 50),
        Parameter("font_color", "yellow", ("white", "#FFFF00"), (("nocolour", "use a CSS colour name"),)),
        whole("words_per_group", 3, 1, 50),
        Parameter("timing_offset", 0.0, (-0.5, 0.5), ((3601, "must be at most 3600"),)),
        Parameter("min_duration", 1.0, (0.0, 2.5), ((-1, "must be at least 0"),)),
        Parameter(
            "alignment_mode", "auto", ("auto", "elevenlabs", "even"), (("best", "'auto', 'elevenlabs', 'even'"),)
        ),
        flag("debug_mode"),
    ),
    also_sent={"lyrics": LYRICS},
    form=True,
)

_STEPS = whole("num_inference_steps", 25, 10, 50, 30)
_PICTURE = Call(
    "Image and Video API: generate", "text-to-image", {"prompt": "A cute robot"}, (_STEPS, flag("return_base64"))
)
_STORY = Call(
    "Image and Video API: generate-video",
    "story-to-video",
    {"scenes": ["at sunrise", "at noon"]},
    (
        Parameter("scenes", None, (["a", "b"], ["a", "b", "c"]), ((["a"], "at least 2 items"),)),
        Parameter("hero_description", "", ("a knight in silver armor",), ((7, "must be a string"),), empty=(None,)),
        _STEPS,
        Parameter("duration_per_scene", 3.0, (0.5, 4.0, 60.0), ((0, "greater than 0"), (61, "at most 60"))),
        whole("fps", 24, 1, 60, 30),
        whole("width", 512, 32, 2048, 768, 1024, step=8),
        whole("height", 512, 32, 2048, 768, 1024, step=8),
        whole("transition_frames", 12, 0, 240, 15),
    ),
)

_I2V = Call(
    "I2V: i2v",
    "image-to-video",
    {"image": "https://cdn.example/image.jpg"},
    (Parameter("model", "pika", ("pika",), (("sora", "does not exist"),)), Parameter("prompt", None, ("it turns",))),
)

_PROMPT = "A cat playing piano in a jazz club"
_HAILUO_02 = Call(
    "Cococlip: hailuo02standard",
    "text-to-video",
    {"model": "hailuo02standard", "prompt": _PROMPT},
    (choice("duration", 6, 6, bad=5),),
)
_SEEDANCE = Call(
    "Cococlip: seedancev1lite",
    "text-to-video",
    {"model": "seedancev1lite", "prompt": _PROMPT},
    (
        choice("duration", 5, 5, 10, bad=6),
        choice("resolution", "720p", "720p", "1080p", bad="768p"),
        choice("aspect_ratio", "16:9", "9:16", "16:9", "1:1", bad="4:3"),
    ),
)
_HAILUO_23 = Call(
    "Cococlip: hailuo23fast",
    "image-to-video",
    {"image": IMAGE, "prompt": "The character smiles"},
    (choice("resolution", "768p", "768p", bad="720p"), choice("duration", 6, 6, 10, bad=5)),
    model={"model": "hailuo23fast"},
    form=True,
)
_WAN_25 = Call(
    "Cococlip: wan25fast",
    "image-to-video",
    {"image": IMAGE, "prompt": "The character smiles"},
    (choice("resolution", "720p", "720p", "1080p", bad="768p"), choice("duration", 5, 5, 10, bad=6)),
    model={"model": "wan25fast"},
    form=True,
)
_TALK = Call(
    "Cococlip: Infinitetalk",
    "audio-to-video",
    {"image": IMAGE, "audio": AUDIO},
    (
        Parameter("model", "Infinitetalk", ("Infinitetalk",), (("pika", "is not for audio-to-video"),)),
        Parameter("prompt", "", ("make video in motion", ""), empty=(None,)),
        choice("resolution", "1080p", "720p", "1080p", bad="480p"),
        Parameter("audio_duration", None, (5.06, 30.0), ((0, "greater than 0"),), empty=("", None)),
    ),
    form=True,
)
_IMAGINE = Call(
    "Imagine.art: imagine-text-to-video",
    "text-to-video",
    {"prompt": "A cat eating hotdogs in a park"},
    (
        choice("aspect_ratio", "16:9", "16:9", "9:16", "4:3", "1:1", bad="5:4"),
        choice("duration", 5, 5, 6, 12, bad=10),
        choice("resolution", "720p", "720p", "1080p", bad="768p"),
        Parameter("style_id", None, (60503,), ((-1, "must be at least 0"),)),
        flag("is_enhance"),
    ),
    model={"model": "imagine-text-to-video"},
)

_FILM = (
    Parameter("prompt", None, ("a l", _LONG), (("ab", "at least 3 characters"), (_LONG + "a", "at most 1,000 char"))),
    whole("fps", 24, 1, 60),
    whole("num_frames", 64, 8, 240),
    whole("width", 720, 256, 1920, step=8),
    whole("height", 720, 256, 1080, step=8),
    Parameter(
        "seed",
        None,
        (0, 2**32 - 1),
        ((-1, "must be at least 0"), (2**32, "must be from 0 to 4,294,967,295 for auto")),
        empty=(None,),
    ),
    Parameter(
        "prefer_backend",
        "",
        ("opensora", "mochi", ""),
        (("sora", "must be one of empty, auto, mochi, opensora"),),
        empty=(None,),
    ),
    flag("low_vram"),
)
_CONSENT = {"lawful_use_consent": True}
_LOCAL = Call(
    "Local Video Service: generate",
    "text-to-video",
    {"prompt": "A serene lake at sunset", **_CONSENT},
    _FILM,
    model={"model": "auto"},
    form=True,
)
_LOCAL_IMAGE = Call(
    "Local Video Service: generate with an image",
    "image-to-video",
    {"image": IMAGE, **_CONSENT},
    _FILM,
    model={"model": "auto"},
    also_sent={"prompt": "Zoom into this scene"},
    form=True,
)

CALLS = (
    _REEL,
    _PICTURE,
    _STORY,
    _I2V,
    _HAILUO_02,
    _SEEDANCE,
    _HAILUO_23,
    _WAN_25,
    _TALK,
    _IMAGINE,
    _LOCAL,
    _LOCAL_IMAGE,
)
