"""The data of each job type.

Written by ops/clients/generate.py from docs/contract. Change the models, then run it.
"""

from typing import Literal, NotRequired, TypedDict


class AudioToCaptions(TypedDict):
    """``data`` of an ``audio-to-captions`` request. Names and defaults are those of a reel."""

    audio: str
    """MP3, WAV, FLAC, M4A, AAC, OGG, Opus or AIFF, at most 100 MB."""
    lyrics: NotRequired[str | None]
    """The spoken or sung text, one caption line per line. Of LRC and subtitles only the words are used. Optional
    with auto and elevenlabs.
    """
    timing: NotRequired[str | None]
    """A file with words and times: LRC, also with word times, SubRip, WebVTT, ASS, or words.json of an earlier job,
    at most 4 MB. The captions show its words at its times. lyrics and alignment_mode are then not used, and no
    model is called.
    """
    language: NotRequired[str | None]
    """BCP 47 tag such as en, hi, ja. Default: detected."""
    alignment_mode: NotRequired[Literal["auto", "elevenlabs", "even", "local"] | None]
    """How words are timed. auto: ElevenLabs aligns the lyrics with the audio; if that fails, its transcription is
    used; without an ElevenLabs key, as local. elevenlabs: always the transcription, even if there are lyrics.
    local: the worker aligns the lyrics, which needs the extra align; lines that are not sure are spread between
    their neighbours. Lyrics that do not fit the audio are spread over the voice, as in auto without the extra.
    even: every word gets an equal share of the time. Default "auto".
    """
    words_per_group: NotRequired[int | None]
    """Words shown together. 1 to 50; default 3."""
    timing_offset: NotRequired[float | None]
    """Seconds added to every caption. -3600 to 3600; default 0.0."""
    min_duration: NotRequired[float | None]
    """Shortest time in seconds that a caption is shown, unless the next one starts earlier. 0 to 60; default 1.0."""


class CallbackSpec(TypedDict):
    """Where to send callbacks, and for which events."""

    url: NotRequired[str | None]
    """Receiver of the callbacks. Optional in format game, which defaults to the API in the settings."""
    events: NotRequired[list[Literal["started", "progress", "completed", "failed"]] | None]
    """Default ["completed", "failed"]."""
    format: NotRequired[Literal["standard", "game"] | None]
    """standard: signed as in Standard Webhooks. game: the body of the G.A.M.E. API. Default "standard"."""
    secret_name: NotRequired[str | None]
    """One of the configured signing secrets."""


class AudioToVideo(TypedDict):
    """``data`` of an ``audio-to-video`` request. Field names are those of the Cococlip service."""

    image: str
    """The portrait: JPEG, PNG or WebP, at most 50 MB."""
    audio: str
    """The voice: MP3 or WAV, at most 50 MB."""
    prompt: NotRequired[str | None]
    """How the portrait moves; may be empty."""
    model: NotRequired[str | list[str] | None]
    """A model for audio-to-video, or several in order of preference. Default "Infinitetalk"."""
    resolution: NotRequired[str | None]
    """Such as 720p. Default: the model's."""
    audio_duration: NotRequired[float | None]
    """Seconds. Default: measured from the file. More than 0, at most 14400."""
    parameters: NotRequired[dict[str, str | float | bool | None] | None]
    """Further parameters of the model. `telecine models` prints their names."""


class ImageToPrompt(TypedDict):
    """``data`` of an ``image-to-prompt`` request."""

    image: str
    """JPEG, PNG or WebP, at most 50 MB."""
    mode: NotRequired[Literal["best", "fast", "classic", "negative"] | None]
    """How thorough the description is. Default: the model's; for clip-interrogator, best."""
    model: NotRequired[str | list[str] | None]
    """A model for image-to-prompt, or several in order of preference. Default "clip-interrogator"."""
    parameters: NotRequired[dict[str, str | float | bool | None] | None]
    """Further parameters of the model. `telecine models` prints their names."""


class ImageToVideo(TypedDict):
    """``data`` of an ``image-to-video`` request. Field names are those of the I2V and Cococlip services."""

    image: NotRequired[str | None]
    """JPEG, PNG or WebP, at most 50 MB."""
    prompt: NotRequired[str | None]
    """How the image moves. Default: generated from the image, if a model is pika or a local one."""
    model: NotRequired[str | list[str] | None]
    """A model for image-to-video, or several in order of preference. Default "pika"."""
    duration: NotRequired[float | None]
    """Seconds; which values are valid depends on the model. Default: the model's. More than 0, at most 3600."""
    resolution: NotRequired[str | None]
    """Such as 720p. Default: the model's."""
    aspect_ratio: NotRequired[str | None]
    """Such as 16:9. Default: the model's."""
    negative_prompt: NotRequired[str | None]
    """What must not be visible."""
    seed: NotRequired[int | None]
    """For models that support one. 0 to 9007199254740991."""
    fps: NotRequired[int | None]
    """Frames a second, of local models. Default: 24. 1 to 60."""
    num_frames: NotRequired[int | None]
    """Frames, of local models. Default: 64. 8 to 240."""
    width: NotRequired[int | None]
    """Pixels, of local models. Default: 720. 256 to 1920."""
    height: NotRequired[int | None]
    """Pixels, of local models. Default: 720. 256 to 1080."""
    prefer_backend: NotRequired[str | None]
    """The backend that the model auto tries first. Empty: the best."""
    low_vram: NotRequired[bool | None]
    """Keep a local model's weights in main memory: less GPU memory, slower."""
    lawful_use_consent: NotRequired[bool | None]
    """Must be true for local models: you confirm lawful use."""
    parameters: NotRequired[dict[str, str | float | bool | None] | None]
    """Further parameters of the model. `telecine models` prints their names."""
    image_id: NotRequired[str | None]
    """Alias of `image` from the I2V service. HTML entities in it are decoded."""


class TimedImage(TypedDict):
    """A further image of a reel, and when it replaces the one before it."""

    image: str
    """As image."""
    at: float
    """Seconds from the start of the reel at which it appears. More than 0, at most 14400."""


class Reel(TypedDict):
    """``data`` of a ``reel`` request. Names and defaults are those of the Reel Creator."""

    image: str
    """JPEG, PNG, WebP, AVIF or HEIC, at most 100 MB."""
    audio: str
    """MP3, WAV, FLAC, M4A, AAC, OGG, Opus or AIFF, at most 100 MB; its length is the reel's."""
    start: NotRequired[float | None]
    """Where the reel begins in the song, in seconds. Captions before it are left out. 0 to 14400; default 0.0."""
    end: NotRequired[float | None]
    """Where the reel ends in the song, in seconds. Captions after it are left out. Default: its end. More than 0, at
    most 14400.
    """
    fade: NotRequired[float | None]
    """Seconds over which the sound fades out at the end, and fades in if start is more than 0. 0 to 30; default 0.0."""
    loudness: NotRequired[float | None]
    """Integrated loudness in LUFS, such as -14, with peaks of at most -1 dBTP. Default: as in the file. -30 to -12."""
    lyrics: NotRequired[str | None]
    """One caption line per line; a literal backslash-n counts as a line break. Of LRC and subtitles only the words
    are used. Optional with auto and elevenlabs, which then show the transcription.
    """
    timing: NotRequired[str | None]
    """A file with words and times: LRC, also with word times, SubRip, WebVTT, ASS, or words.json of an earlier job,
    at most 4 MB. The captions show its words at its times. lyrics and alignment_mode are then not used, and no
    model is called.
    """
    language: NotRequired[str | None]
    """BCP 47 tag such as en, hi, ja. It selects the font for characters that several scripts share."""
    style: NotRequired[Literal["classic", "bold", "minimal", "box", "karaoke", "pop"] | None]
    """How captions look. classic: yellow letters with an outline. bold: large white capitals. minimal: white letters
    with a soft shadow. box: white letters on a dark plate, the word that is sung on a yellow one. karaoke: the
    word that is sung is yellow, and those to come are grey. pop: bold, and the word that is sung is larger.
    Default "classic".
    """
    font: NotRequired[Literal["sans", "serif", "rounded", "condensed"] | None]
    """sans: Noto Sans. serif: Source Serif. rounded: Fredoka. condensed: Fjalla. Scripts that a font does not have
    are drawn in Noto Sans. Default: as the style, which is sans.
    """
    font_size: NotRequired[int | None]
    """Em size in pixels at a width of 1080 pixels. Other styles: 84 (bold), 60 (minimal), 58 (box), 72 (karaoke), 80
    (pop). 8 to 400; default 45.
    """
    font_color: NotRequired[str | None]
    """CSS name, #RRGGBB, or #RRGGBBAA: the opacity of the captions. Other styles: white (bold), white (minimal),
    white (box), white (karaoke), white (pop). Default "yellow".
    """
    highlight_color: NotRequired[str | None]
    """Colour of the word that is sung. Default: as the style; with classic, bold and minimal all words look alike
    unless it is given.
    """
    upper_case: NotRequired[bool | None]
    """Whether captions are in capital letters. Default: as the style."""
    outline: NotRequired[float | None]
    """Width of the outline around letters, as a share of font_size. Default: as the style. 0 to 0.25."""
    emphasis: NotRequired[list[str] | None]
    """Words and phrases of the captions that have emphasis_color, in capital or small letters."""
    emphasis_color: NotRequired[str | None]
    """Colour of the words in emphasis. Default: #5ce1ff."""
    next_line: NotRequired[bool | None]
    """Whether the next caption is shown below, smaller and dimmed. Default false."""
    countdown: NotRequired[bool | None]
    """Whether three dots count down to a caption after a break of 5 s or more. Default: as the style, which is true
    with karaoke only.
    """
    progress_line: NotRequired[bool | None]
    """Whether a thin line shows how much of the reel is over. Default false."""
    position: NotRequired[Literal["auto", "top", "middle", "bottom"] | None]
    """Where captions are. auto: below a picture that is shown whole, otherwise as bottom. Default "auto"."""
    safe_area: NotRequired[Literal["all", "instagram", "tiktok", "shorts", "none"] | None]
    """The platforms whose buttons and texts do not cover the captions of a portrait video. Default "all"."""
    fit: NotRequired[Literal["auto", "cover", "contain"] | None]
    """cover: the image fills the frame, and is cut. contain: it is shown whole, over a blurred copy. auto: cover if
    at most 20 % of the image is cut off. Default "auto".
    """
    words_per_group: NotRequired[int | None]
    """Words shown together. 1 to 50; default 3."""
    timing_offset: NotRequired[float | None]
    """Seconds added to every caption. -3600 to 3600; default 0.0."""
    min_duration: NotRequired[float | None]
    """Shortest time in seconds that a caption is shown, unless the next one starts earlier. 0 to 60; default 1.0."""
    alignment_mode: NotRequired[Literal["auto", "elevenlabs", "even", "local"] | None]
    """How words are timed. auto: ElevenLabs aligns the lyrics with the audio; if that fails, its transcription is
    used; without an ElevenLabs key, as local. elevenlabs: always the transcription, even if there are lyrics.
    local: the worker aligns the lyrics, which needs the extra align; lines that are not sure are spread between
    their neighbours. Lyrics that do not fit the audio are spread over the voice, as in auto without the extra.
    even: every word gets an equal share of the time. Default "auto".
    """
    debug_mode: NotRequired[bool | None]
    """Prefix each caption with its start time, as in [2.5s]. Default false."""
    renderer: NotRequired[Literal["auto", "local", "runpod"] | None]
    """Where the reel is rendered. auto: on this worker, or on RunPod if memory here is too small. Default "auto"."""
    width: NotRequired[int | None]
    """Pixels, even. 128 to 3840; default 1080."""
    height: NotRequired[int | None]
    """Pixels, even. 128 to 3840; default 1920."""
    cover_at: NotRequired[float | None]
    """Seconds from the start of the reel at which cover.jpg is taken. Default: the first caption. 0 to 14400."""
    images: NotRequired[list[TimedImage] | None]
    """Further images, at most 50, in order: each has image, as above, and at, the second of the reel at which it
    replaces the image before it.
    """
    crossfade: NotRequired[float | None]
    """Seconds that an image takes to replace the one before it. 0: it appears at once. 0 to 10; default 1.0."""
    motion: NotRequired[Literal["none", "kenburns"] | None]
    """kenburns: the image slowly moves and grows. Rendering then takes 30 to 40 times as long. Default "none"."""
    title: NotRequired[str | None]
    """A line at the upper end of the safe area, on the whole reel."""
    artist: NotRequired[str | None]
    """A smaller line below the title."""
    watermark: NotRequired[str | None]
    """An image in a corner of the safe area, such as a logo as PNG with transparency. It is reduced to at most 26 %
    of the frame's shorter side in width and 10 % in height.
    """
    watermark_position: NotRequired[Literal["top-left", "top-right", "bottom-left", "bottom-right"] | None]
    """The corner of the safe area in which the watermark is. Default "bottom-right"."""
    waveform: NotRequired[bool | None]
    """Bars at the lower end of the safe area that move with the sound, low notes in the middle. Rendering then takes
    10 to 20 times as long. Default false.
    """


class StoryToVideo(TypedDict):
    """``data`` of a ``story-to-video`` request. Field names are those of the Image and Video Generation API."""

    scenes: list[str]
    """Descriptions of the scenes, in order; at least 2."""
    hero_description: NotRequired[str | None]
    """The character in every scene; put before each scene, with a comma."""
    num_inference_steps: NotRequired[int | None]
    """Denoising steps for each image, 10 to 50. 10 to 50; default 25."""
    duration_per_scene: NotRequired[float | None]
    """Seconds that each scene is shown. More than 0, at most 60; default 3.0."""
    fps: NotRequired[int | None]
    """Frames per second. 1 to 60; default 24."""
    width: NotRequired[int | None]
    """Pixels, a multiple of 8. 32 to 2048; default 512."""
    height: NotRequired[int | None]
    """Pixels, a multiple of 8. 32 to 2048; default 512."""
    transition_frames: NotRequired[int | None]
    """Frames of each crossfade, in addition to those of the scenes. 0 to 240; default 12."""
    model: NotRequired[str | list[str] | None]
    """A model for story-to-video. Default "segmind/tiny-sd"."""
    seed: NotRequired[int | None]
    """Seed of the first scene; each later scene uses the next number. 0 to 9007199254740991."""
    negative_prompt: NotRequired[str | None]
    """What must not be visible."""
    consistency: NotRequired[Literal["prompt", "shared-attention", "reference"] | None]
    """How the hero is kept the same in all scenes. prompt: the same words before each scene. shared-attention: in
    addition, scenes generated together attend to each other. reference: every scene is conditioned on an image of
    the hero; only for models with an adapter. Default "prompt".
    """
    hero_image: NotRequired[str | None]
    """Image of the hero for consistency reference: JPEG or PNG, at most 50 MB. Default: generated from
    hero_description first.
    """
    audio: NotRequired[str | None]
    """Sound under the video: MP3, WAV, FLAC, M4A, AAC, OGG, Opus or AIFF, at most 100 MB. It is cut to the length of
    the video, and then fades out in the last second. Default: the video is silent.
    """


class TextToImage(TypedDict):
    """``data`` of a ``text-to-image`` request. Field names are those of the Image and Video Generation API."""

    prompt: str
    """What the image shows."""
    num_inference_steps: NotRequired[int | None]
    """Denoising steps, 10 to 50. Default: 25. 10 to 50."""
    return_base64: NotRequired[bool | None]
    """Include the image in the callback, if it has at most 1 MiB. Default false."""
    model: NotRequired[str | list[str] | None]
    """A model for text-to-image, or several in order of preference. Default "segmind/tiny-sd"."""
    width: NotRequired[int | None]
    """Pixels, a multiple of 8. Default: the model's. 32 to 2048."""
    height: NotRequired[int | None]
    """Pixels, a multiple of 8. Default: the model's. 32 to 2048."""
    negative_prompt: NotRequired[str | None]
    """What must not be visible."""
    seed: NotRequired[int | None]
    """The same seed gives the same image. Default: chosen per job. 0 to 9007199254740991."""
    parameters: NotRequired[dict[str, str | float | bool | None] | None]
    """Further parameters of the model. `telecine models` prints their names."""


class TextToVideo(TypedDict):
    """``data`` of a ``text-to-video`` request. Field names are those of the Cococlip and Imagine.art services."""

    prompt: str
    """What the video shows; most models accept 1,000 characters."""
    model: str | list[str]
    """A model for text-to-video, or several in order of preference."""
    duration: NotRequired[float | None]
    """Seconds; which values are valid depends on the model. Default: the model's. More than 0, at most 3600."""
    resolution: NotRequired[str | None]
    """Such as 720p. Default: the model's."""
    aspect_ratio: NotRequired[str | None]
    """Such as 16:9. Default: the model's."""
    style_id: NotRequired[int | None]
    """Style of imagine-text-to-video. 0 to 2147483647."""
    is_enhance: NotRequired[bool | None]
    """Whether imagine-text-to-video improves the prompt."""
    negative_prompt: NotRequired[str | None]
    """What must not be visible."""
    seed: NotRequired[int | None]
    """For models that support one. 0 to 9007199254740991."""
    fps: NotRequired[int | None]
    """Frames a second, of local models. Default: 24. 1 to 60."""
    num_frames: NotRequired[int | None]
    """Frames, of local models. Default: 64. 8 to 240."""
    width: NotRequired[int | None]
    """Pixels, of local models. Default: 720. 256 to 1920."""
    height: NotRequired[int | None]
    """Pixels, of local models. Default: 720. 256 to 1080."""
    prefer_backend: NotRequired[str | None]
    """The backend that the model auto tries first. Empty: the best."""
    low_vram: NotRequired[bool | None]
    """Keep a local model's weights in main memory: less GPU memory, slower."""
    lawful_use_consent: NotRequired[bool | None]
    """Must be true for local models: you confirm lawful use."""
    parameters: NotRequired[dict[str, str | float | bool | None] | None]
    """Further parameters of the model. `telecine models` prints their names."""


class Cancel(TypedDict):
    """``data`` of the control message ``job.cancel``."""

    id: str
