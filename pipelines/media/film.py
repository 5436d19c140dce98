"""What a reel is made of, and what it shows when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.media.captions.files import CaptionSpec, captions_for, groups_of, offset_warnings
from pipelines.media.captions.pictures import CaptionPicture, caption_pictures
from pipelines.media.captions.placement import Caption
from pipelines.media.captions.word_groups import Group
from pipelines.media.encode.sound_edit import SoundEdit
from pipelines.media.inspect.sound import Sound, measure
from pipelines.media.layout import Fit, Position, SafeArea
from pipelines.media.scene.spec import Scene
from pipelines.media.text.emphasis import emphasis_warnings
from schemas.caption_style import CaptionStyle
from schemas.words import TimedWord

FPS = 30


@dataclass(frozen=True, slots=True)
class Film:
    """One reel to render. ``folder`` receives results and temporary files; Telecine chooses all paths."""

    image: Path
    image_kind: str
    audio: Path
    audio_kind: str
    folder: Path
    caption_spec: CaptionSpec
    style: CaptionStyle
    #: Red, green, blue and opacity, from 0 to 255.
    color: tuple[int, int, int, int]
    fit: Fit
    position: Position
    safe_area: SafeArea
    width: int
    height: int
    #: ``strips``: of each picture only the rows of the caption are encoded, and frames that repeat a picture are skip
    #: slices. ``skip``: whole pictures are encoded. ``plain``: every frame is encoded.
    #: ``nvenc``: as ``skip``, with the pictures encoded by NVIDIA's encoder.
    encoder: str
    sound_edit: SoundEdit
    scene: Scene
    #: Time of the cover in seconds; ``None``: that of the first caption.
    cover_at: float | None
    #: Path of the ffmpeg program.
    ffmpeg: str

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Film:
        """Return the film that ``film_task`` described."""
        paths = {name: Path(record[name]) for name in ("image", "audio", "folder")}
        caption_spec = CaptionSpec.from_json(record["caption_spec"])
        style = CaptionStyle.from_json(record["style"])
        edit = SoundEdit.from_json(record["sound_edit"])
        own = {"color": tuple(record["color"]), "caption_spec": caption_spec, "style": style, "sound_edit": edit}
        return cls(**{**record, **paths, **own, "scene": Scene.from_json(record["scene"])})


@dataclass(frozen=True, slots=True)
class Timeline:
    """The measured sound, the number of video frames, and what is shown and sung when."""

    #: The part of the song that is used, and the length of the whole song in seconds.
    sound: Sound
    song_seconds: float
    frames: int
    captions: list[Caption]
    #: What is shown: the captions, or the names of ``pictures``.
    shown: list[Caption]
    pictures: Mapping[str, CaptionPicture]
    words: list[TimedWord]
    warnings: list[str]

    def shown_at(self, frame: int) -> str:
        """Return what is shown on ``frame``: a caption, the name of a picture, or nothing."""
        return next((one.text for one in self.shown if one.first <= frame < one.end), "")


def timeline_of(film: Film, song: Sound | None = None, *, with_captions: bool = True) -> Timeline:
    """Return what is shown and sung when; ``song`` is the measured song, if it was measured before."""
    song = song or measure(film.audio, film.audio_kind)
    sound = film.sound_edit.excerpt(song)
    frames = max(1, round(sound.seconds * FPS))
    captions: list[Caption] = []
    words: list[TimedWord] = []
    warnings: list[str] = []
    groups: list[Group] = []
    spec = film.caption_spec
    if with_captions:
        captions, words = captions_for(spec, song.seconds, FPS, frames, film.sound_edit.start)
        if sound == song:
            warnings = offset_warnings(spec.lyrics, spec.words_per_group, spec.timing_offset, len(captions))
        elif not captions:
            warnings = ["no caption is sung between start and end; none is shown"]
        warnings += emphasis_warnings(film.style.emphasis, [caption.text for caption in captions])
        groups = groups_of(spec)
    offset = spec.timing_offset - film.sound_edit.start
    shown, pictures = caption_pictures(captions, groups, words, film.style, fps=FPS, frames=frames, offset=offset)
    return Timeline(sound, song.seconds, frames, captions, shown, pictures, words, warnings)
