"""The pictures that the demonstration models learn from: one coloured shape before one of eight backgrounds."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

Color = tuple[int, int, int]
Painter = Callable[["Ground"], None]

COLORS: dict[str, Color] = {
    "red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220), "yellow": (240, 210, 50),
    "purple": (150, 60, 190), "orange": (245, 140, 30), "white": (245, 245, 245), "pink": (245, 130, 180),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "star")
SIZES = {"small": 0.11, "big": 0.27, "": 0.19}
#: Pictures are drawn large and reduced, which smooths their edges.
DRAWN, SIDE = 128, 32


class Ground:
    """A background that is being drawn."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.image = Image.new("RGB", (DRAWN, DRAWN))
        self.pen = ImageDraw.Draw(self.image)

    def sky(self, above: Color, below: Color, end: float = 1.0) -> None:
        """A gradient from the top to ``end``."""
        last = int(DRAWN * end)
        for y in range(last):
            part = y / max(1, last)
            color = tuple(int(a + (b - a) * part) for a, b in zip(above, below, strict=True))
            self.pen.line([(0, y), (DRAWN, y)], fill=color)

    def floor(self, top: float, color: Color, end: float = 1.0) -> None:
        """A band from ``top`` to ``end``."""
        self.pen.rectangle([0, int(DRAWN * top), DRAWN, int(DRAWN * end)], fill=color)

    def disc(self, x: float, y: float, radius: float, color: Color | None, outline: Color | None = None) -> None:
        """A circle."""
        self.pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color, outline=outline)

    def anywhere(self, most: float = 1.0) -> tuple[int, int]:
        """A point, at most so far down."""
        return self.chance.randint(0, DRAWN), self.chance.randint(0, int(DRAWN * most))


def sunset(ground: Ground) -> None:
    ground.sky((90, 50, 110), (250, 150, 70))
    ground.disc(ground.chance.randint(DRAWN // 5, 4 * DRAWN // 5), DRAWN * 0.62, DRAWN // 8, (255, 225, 120))
    ground.floor(0.7, (70, 40, 60))


def night(ground: Ground) -> None:
    ground.sky((8, 10, 35), (25, 30, 80))
    for _ in range(22):
        x, y = ground.anywhere(0.7)
        ground.pen.rectangle([x, y, x + 1, y + 1], fill=(240, 240, 220))
    ground.disc(ground.chance.randint(DRAWN // 6, 5 * DRAWN // 6), 19, 9, (230, 230, 210))
    ground.floor(0.78, (15, 25, 30))


def beach(ground: Ground) -> None:
    ground.sky((120, 190, 245), (190, 225, 250), 0.5)
    ground.floor(0.5, (40, 120, 190), 0.68)
    ground.floor(0.68, (235, 210, 150))


def forest(ground: Ground) -> None:
    ground.sky((170, 215, 170), (120, 180, 120))
    ground.floor(0.75, (60, 110, 50))
    foot = int(DRAWN * 0.8)
    for _ in range(6):
        x, height = ground.chance.randint(0, DRAWN), ground.chance.randint(DRAWN // 3, DRAWN // 2)
        ground.pen.rectangle([x - 2, foot - 8, x + 2, foot], fill=(90, 60, 30))
        leaves = (25, ground.chance.randint(80, 110), 40)
        ground.pen.polygon([(x - 12, foot - 8), (x + 12, foot - 8), (x, foot - height)], fill=leaves)


def snow(ground: Ground) -> None:
    ground.sky((175, 195, 215), (215, 225, 235))
    ground.floor(0.72, (250, 250, 255))
    for _ in range(26):
        x, y = ground.anywhere()
        ground.disc(x + 0.5, y + 0.5, 1.5, (255, 255, 255))


def desert(ground: Ground) -> None:
    ground.sky((245, 200, 130), (250, 225, 170))
    side = DRAWN
    ground.pen.ellipse([-side // 3, int(side * 0.6), int(side * 0.8), int(side * 1.5)], fill=(215, 160, 90))
    ground.pen.ellipse([side // 4, int(side * 0.68), int(side * 1.4), int(side * 1.5)], fill=(195, 140, 75))


def city(ground: Ground) -> None:
    ground.sky((150, 165, 190), (200, 205, 215))
    left = 0
    while left < DRAWN:
        width = ground.chance.randint(12, 24)
        top = DRAWN - ground.chance.randint(DRAWN // 3, int(DRAWN * 0.75))
        grey = ground.chance.randint(70, 100)
        ground.pen.rectangle([left, top, left + width, DRAWN], fill=(grey, grey, grey))
        for y in range(top + 5, DRAWN - 4, 9):
            for x in range(left + 3, left + width - 3, 7):
                ground.pen.rectangle([x, y, x + 2, y + 3], fill=(250, 230, 140))
        left += width + 2


def sea(ground: Ground) -> None:
    ground.sky((20, 110, 170), (5, 40, 95))
    ground.floor(0.86, (120, 110, 80))
    for _ in range(12):
        x, y = ground.anywhere()
        ground.disc(x, y, 3, None, (180, 230, 250))


PLACES: dict[str, Painter] = {
    "at sunset": sunset, "at night": night, "on a beach": beach, "in a forest": forest, "in the snow": snow,
    "in a desert": desert, "in a city": city, "under the sea": sea,
}  # fmt: skip


def background(place: str, chance: random.Random) -> Image.Image:
    """The place with nobody in it."""
    ground = Ground(chance)
    PLACES[place](ground)
    return ground.image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def drawing(chance: random.Random) -> tuple[Image.Image, str]:
    """A picture and its caption."""
    color, shape, place, size = (chance.choice(list(names)) for names in (COLORS, SHAPES, PLACES, SIZES))
    ground = Ground(chance)
    PLACES[place](ground)
    radius = DRAWN * SIZES[size] * chance.uniform(0.92, 1.08)
    x, y = (chance.uniform(low, DRAWN - radius - 4) for low in (radius + 4, DRAWN * 0.45))
    edge = tuple(int(value * 0.45) for value in COLORS[color])
    if shape == "circle":
        ground.pen.ellipse([x - radius, y - radius, x + radius, y + radius], COLORS[color], edge, 3)
    elif shape == "square":
        half = radius * 0.9
        ground.pen.rectangle([x - half, y - half, x + half, y + half], COLORS[color], edge, 3)
    else:
        ground.pen.polygon(_corners(shape, x, y, radius), COLORS[color], edge, 3)
    caption = f"a {size} {color} {shape}, {place}".replace("  ", " ")
    return ground.image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), caption


def _corners(shape: str, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    if shape == "triangle":
        return [(x - radius, y + radius * 0.85), (x + radius, y + radius * 0.85), (x, y - radius)]
    reach = [radius * 1.15 * (1.0 if number % 2 == 0 else 0.42) for number in range(10)]
    turns = [number * math.pi / 5 for number in range(10)]
    return [(x + far * math.sin(turn), y - far * math.cos(turn)) for far, turn in zip(reach, turns, strict=True)]
