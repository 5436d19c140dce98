"""Every call that the five source systems' documents show as an example: what is sent, by which client, and the answer.

Paths have ``{job_id}`` where a document takes the id from an earlier answer. A string as ``answer`` is the content type
of a file.
"""

from __future__ import annotations

from typing import Any

from tests.edge_clients import Example

_LYRICS = r"Hello world\nThis is a test\nOf video creation"
_REEL_FILES = (("image", "@image.jpg"), ("audio", "@audio.mp3"))
_REEL = (*_REEL_FILES, ("lyrics", _LYRICS), ("language", "en"))
_AUTO = (("alignment_mode", "auto"),)
_SUBMITTED = {"job_id": str, "status": "pending", "created_at": str, "progress_percentage": 0}
_JOB = {
    "job_id": str,
    "status": str,
    "progress_percentage": int,
    "created_at": str,
    "started_at": (str, type(None)),
    "processing_time_seconds": (float, type(None)),
    "error_message": None,
}
_CLEANED = {"message": "Cleanup completed", "jobs_deleted": int, "files_deleted": int, "cutoff_time": str}
_MP4, _PNG = "video/mp4", "image/png"


def _polls(client: str) -> tuple[Example, Example]:
    return (
        Example(f"status by {client}", client, "GET", "/jobs/{job_id}", answer=_JOB),
        Example(f"download by {client}", client, "GET", "/jobs/{job_id}/download", answer=_MP4),
    )


#: Ways to create a reel and poll for it: submit, status, download.
REEL_JOBS = {
    "curl": (
        Example("reel", "curl", "POST", "/jobs/create-video", form=_REEL + _AUTO, answer=_SUBMITTED),
        *_polls("curl"),
    ),
    "Python": (
        Example(
            "reel",
            "requests_toolbelt",
            "POST",
            "/jobs/create-video",
            form=(*_REEL, ("font_size", "50"), ("font_color", "white"), *_AUTO),
            answer=_SUBMITTED,
        ),
        *_polls("requests"),
    ),
}
#: Calls that return the reel.
REELS = [
    Example("legacy by curl", "curl", "POST", "/create-video", form=_REEL + _AUTO, answer=_MP4),
    Example("Node", "axios", "POST", "/create-video", form=_REEL + _AUTO, answer=_MP4),
    Example(
        "page", "fetch", "POST", "/create-video", form=(*_REEL_FILES, ("lyrics", "Hello world"), *_AUTO), answer=_MP4
    ),
    Example(
        "webhook",
        "requests, all as files",
        "POST",
        "/create-video",
        form=(*_REEL_FILES, ("lyrics", "Hello world")),
        answer=_MP4,
    ),
    Example("debug mode", "requests", "POST", "/create-video", form=(*_REEL, ("debug_mode", "true")), answer=_MP4),
]
REEL_ADMIN = [
    Example("cleanup", "curl", "POST", "/admin/cleanup", answer=_CLEANED),
    Example("cleanup after 6 hours", "curl", "POST", "/admin/cleanup?max_age_hours=6", answer=_CLEANED),
]


def _image(name: str, client: str, prompt: str, **fields: Any) -> Example:
    base64 = fields.get("return_base64", False)
    shown = {"success": True, "prompt": prompt, "steps": int, "image_base64": str, "format": "png"}
    body = {"prompt": prompt, **fields}
    return Example(name, client, "POST", "/generate", json=body, answer=shown if base64 else _PNG)


def _story(name: str, client: str, hero: str | None, scenes: list[str], **fields: Any) -> Example:
    body = {**({} if hero is None else {"hero_description": hero}), "scenes": scenes, **fields}
    return Example(name, client, "POST", "/generate-video", json=body, answer=_MP4)


IMAGES = [
    _image("robot", "curl", "A cute robot playing guitar", num_inference_steps=30, return_base64=False),
    _image(
        "forest",
        "requests",
        "A magical forest with glowing mushrooms",
        num_inference_steps=25,
        return_base64=False,
    ),
    _image("city", "requests", "A cyberpunk city at night with neon lights", num_inference_steps=35),
    _image("batch 1", "requests", "A red sports car"),
    _image("batch 2", "requests", "A blue ocean wave"),
    _image("batch 3", "requests", "A green forest landscape"),
    _image("batch 4", "requests", "A purple sunset sky"),
    _image("landscape", "requests", "A beautiful landscape", return_base64=True),
    _image("robot for a page", "fetch", "A cute robot playing guitar", num_inference_steps=30, return_base64=True),
]
STORIES = [
    _story(
        "knight",
        "curl",
        "a brave knight in silver armor with a red cloak",
        [
            "standing in front of a castle gate",
            "fighting a dragon in a cave",
            "celebrating victory in a village square",
        ],
        duration_per_scene=4.0,
        fps=30,
    ),
    _story(
        "hacker",
        "requests",
        "a cyberpunk hacker with neon blue mohawk, wearing VR goggles and leather jacket",
        [
            "typing on holographic keyboard in dark room",
            "running through rainy neon-lit streets",
            "overlooking the city from a rooftop at night",
        ],
        num_inference_steps=30,
        duration_per_scene=5.0,
        fps=24,
        width=768,
        height=768,
        transition_frames=15,
    ),
    _story(
        "adventure",
        "requests",
        "a young adventurer with brown messy hair, wearing a green tunic and brown boots, fantasy art style",
        [
            "standing at the entrance of a dark cave, holding a torch",
            "exploring inside the cave with glowing crystals",
            "discovering an ancient treasure chest",
            "running away from a giant spider",
            "celebrating victory outside the cave at sunset",
        ],
        duration_per_scene=4.0,
        fps=30,
        width=768,
        height=768,
        num_inference_steps=30,
    ),
    _story(
        "landscapes",
        "requests",
        None,
        [
            "A peaceful sunrise over mountains with mist",
            "A busy city street at noon with cars",
            "A calm ocean beach at sunset with waves",
        ],
        duration_per_scene=3.0,
        fps=24,
    ),
    _story(
        "athlete",
        "requests",
        "consistent character, a tall athletic woman with shoulder-length blonde hair in a ponytail, "
        "wearing black tactical gear and sunglasses, photorealistic style",
        ["running through a hallway", "jumping over obstacles", "standing on a rooftop"],
        num_inference_steps=35,
    ),
]
STORY_INFO = Example(
    "information on a story",
    "curl",
    "POST",
    "/generate-video/info",
    json={
        "hero_description": "a brave knight in silver armor",
        "scenes": ["Scene 1", "Scene 2", "Scene 3"],
        "duration_per_scene": 3.0,
        "fps": 24,
        "transition_frames": 12,
    },
    answer={
        "scenes_count": 3,
        "frames_per_scene": 72,
        "transition_frames": 12,
        "total_frames": 240,
        "total_duration_seconds": 10.0,
        "fps": 24,
        "resolution": "512x512",
        "estimated_generation_time_seconds": 15,
    },
)
ROOT = Example("root", "curl", "GET", "/", answer={"status": "running", "device": str, "model": "segmind/tiny-sd"})
HEALTH = Example(
    "health",
    "curl",
    "GET",
    "/health",
    answer={
        "status": "healthy",
        "model_loaded": True,
        "device": str,
        "backend": str,
        "cuda_available": bool,
        "message": str,
    },
)

I2V = Example(
    "image to video",
    "requests",
    "POST",
    "/api/v1/i2v",
    json={"image_id": "https://example.com/image.jpg"},
    headers={"x-request-id": "your-request-id"},
    answer={
        "message": "Video generation pipeline initialized | ETA: 5-7 minutes",
        "request_id": "your-request-id",
    },
)

MODELS = Example("models", "curl", "GET", "/v1/models", answer={"object": "list", "data": list})
LISTED_MODELS = {
    "hailuo02standard": "cococlip",
    "seedancev1lite": "cococlip",
    "hailuo23fast": "cococlip",
    "wan25fast": "cococlip",
    "Infinitetalk": "cococlip",
    "imagine-text-to-video": "imagine.art",
}
_MOVED = (
    ("image", "@image.jpg"),
    ("model", "hailuo23fast"),
    ("prompt", "The character smiles and waves"),
    ("resolution", "768p"),
    ("duration", "6"),
)
_PORTRAIT = (("image", "@portrait.jpg"), ("audio", "@voice.mp3"))
_SPOKEN = {"url": str, "status": "COMPLETED", "task_id": str, "inference_time": int}
_IMAGINED = {
    "prompt": "A cat eating hotdogs in a park",
    "aspect_ratio": "16:9",
    "duration": 12,
    "resolution": "1080p",
    "style_id": 60503,
    "is_enhance": True,
}


def _portrait(name: str, client: str, *fields: tuple[str, str]) -> Example:
    path = "/v1/audio-to-video/generations"
    return Example(name, client, "POST", path, form=_PORTRAIT + fields, answer=_SPOKEN)


GATEWAY = [
    Example(
        "text to video",
        "curl",
        "POST",
        "/v1/text-to-video/generations",
        json={"model": "hailuo02standard", "prompt": "A cat playing piano in a jazz club"},
        answer={"url": str, "status": "COMPLETED", "task_id": str},
    ),
    *(
        Example(
            f"image to video by {client}",
            client,
            "POST",
            "/v1/image-to-video/generations",
            form=_MOVED,
            answer={"url": str, "status": "completed", "task_id": str},
        )
        for client in ("curl", "fetch")
    ),
    _portrait(
        "portrait in motion",
        "curl",
        ("prompt", "make video in motion"),
        ("resolution", "1080p"),
        ("audio_duration", "5.06"),
    ),
    _portrait(
        "portrait with instructions",
        "curl",
        ("prompt", "animate with realistic expressions and head movements"),
        ("resolution", "720p"),
    ),
    _portrait("portrait without a prompt", "curl", ("prompt", ""), ("resolution", "1080p")),
    _portrait("portrait by a page", "fetch", ("prompt", "make video in motion"), ("resolution", "1080p")),
    _portrait("portrait by Python", "requests", ("prompt", "make video in motion"), ("resolution", "1080p")),
    *(
        Example(
            f"Imagine by {client}",
            client,
            "POST",
            "/v1/imagine-text-to-video/generations",
            json=_IMAGINED,
            answer={"id": str, "status": "COMPLETED", "video_url": str, "batch_id": str},
        )
        for client in ("curl", "fetch")
    ),
]

_LOCAL = {
    "success": True,
    "video_url": str,
    "mp4_path": str,
    "frames": 48,
    "fps": 24,
    "width": 512,
    "height": 512,
    "seed": 42,
    "backend": "mochi",
    "elapsed_time": float,
    "error": None,
}
_CONSENT = ("lawful_use_consent", "true")
_SMALL = (("fps", "24"), ("num_frames", "48"), ("width", "512"), ("height", "512"), ("seed", "42"))
LOCAL_VIDEOS = [
    Example(
        "lake",
        "curl",
        "POST",
        "/generate",
        form=(
            ("prompt", "A serene lake at sunset with mountains in the background"),
            *_SMALL,
            ("low_vram", "false"),
            _CONSENT,
        ),
        answer=_LOCAL,
    ),
    Example(
        "zoom into an image",
        "curl",
        "POST",
        "/generate",
        form=(
            ("prompt", "Zoom into this beautiful scene"),
            ("image", "@image.jpg"),
            ("fps", "24"),
            ("num_frames", "32"),
            _CONSENT,
        ),
        answer=_LOCAL | {"frames": 32, "width": 720, "height": 720, "seed": int, "backend": "wan"},
    ),
    # Without a picture requests sends this as an urlencoded form.
    Example(
        "cat by Python",
        "requests",
        "POST",
        "/generate",
        form=(("prompt", "A cat playing with a ball of yarn"), *_SMALL, ("low_vram", "false"), _CONSENT),
        answer=_LOCAL,
    ),
    Example(
        "sunset by JavaScript",
        "fetch",
        "POST",
        "/generate",
        form=(("prompt", "A beautiful sunset over the ocean"), _CONSENT, *_SMALL),
        answer=_LOCAL,
    ),
]
SYSTEM_INFO = Example(
    "system information",
    "requests",
    "GET",
    "/system-info",
    answer={
        "cuda_available": bool,
        "device_name": (str, type(None)),
        "total_vram_gb": (float, int, type(None)),
        "free_vram_gb": (float, int, type(None)),
        "used_vram_gb": (float, int, type(None)),
        "cpu_percent": (float, int),
        "ram_available_gb": (float, int),
        "ram_total_gb": (float, int),
        "backend": (str, type(None)),
    },
)
