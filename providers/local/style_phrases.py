"""Style phrases for prompts, chosen by hand: medium, light, mood, view. No names of living artists."""

from __future__ import annotations

STYLE_PHRASES: dict[str, tuple[str, ...]] = {
    "medium": (
        "a photograph", "an oil painting", "a watercolor", "a pencil drawing", "a digital painting", "a 3d render",
        "pixel art", "a comic panel", "a woodcut", "a children's book illustration", "a vector graphic", "a pastel",
        "an ink drawing", "a collage", "a poster", "concept art", "a charcoal sketch", "a screenshot", "a sculpture",
    ),
    "light": (
        "golden hour", "soft light", "dramatic light", "backlit", "studio light", "neon light", "moonlight",
        "overcast light", "candlelight", "high contrast", "low key", "sunlight through leaves", "flat colors",
    ),
    "mood": (
        "serene", "joyful", "mysterious", "melancholic", "epic", "cozy", "minimalist", "whimsical", "nostalgic",
        "surreal", "futuristic", "rustic", "elegant", "playful", "desolate", "vibrant colors", "muted colors",
    ),
    "view": (
        "close-up", "wide shot", "aerial view", "portrait", "landscape", "macro", "symmetrical composition",
        "shallow depth of field", "from below", "centered", "highly detailed", "simple shapes",
    ),
}  # fmt: skip
