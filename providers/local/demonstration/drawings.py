"""Training images of the demonstration models: one coloured shape in front of one of eight backgrounds."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

Color = tuple[int, int, int]
Painter = Callable[["Ground"], None]

COLORS: dict[str, Color] = {
    "red": (225, 45, 45),
    "green": (45, 175, 70),
    "blue": (50, 85, 225),
    "yellow": (250, 215, 50),
    "purple": (150, 65, 195),
    "orange": (250, 140, 30),
    "white": (248, 248, 248),
    "pink": (250, 130, 185),
}
SHAPES = ("circle", "square", "triangle", "star")
SIZES = {"small": 0.14, "big": 0.28, "": 0.2}
#: Images are drawn larger and scaled down, which smooths their edges.
SIDE = 64
_FINE = 4
DRAWN = SIDE * _FINE
#: Width of a shape's outline, as drawn.
_EDGE = 6


class Ground:
    """A background being drawn. All measures are in pixels of the final image."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.image = Image.new("RGB", (DRAWN, DRAWN))
        self.pen = ImageDraw.Draw(self.image)

    def sky(self, above: Color, below: Color, top: float = 0, end: float = SIDE) -> None:
        """Fill a vertical gradient from ``top`` to ``end``."""
        first, last = round(top * _FINE), round(end * _FINE)
        for y in range(first, last):
            part = (y - first) / (last - first)
            color = tuple(round(a + (b - a) * part) for a, b in zip(above, below, strict=True))
            self.pen.line([(0, y), (DRAWN, y)], fill=color)

    def box(self, left: float, top: float, right: float, end: float, color: Color) -> None:
        """Fill a rectangle."""
        self.pen.rectangle([left * _FINE, top * _FINE, right * _FINE - 1, end * _FINE - 1], fill=color)

    def disc(self, x: float, y: float, wide: float, color: Color, high: float | None = None) -> None:
        """Fill a circle or an ellipse."""
        across, down = wide * _FINE, (wide if high is None else high) * _FINE
        x, y = x * _FINE, y * _FINE
        self.pen.ellipse([x - across, y - down, x + across, y + down], fill=color)

    def corners(self, points: list[tuple[float, float]], color: Color) -> None:
        """Fill a polygon."""
        self.pen.polygon(_scaled(points), fill=color)


def sunset(ground: Ground) -> None:
    ground.sky((92, 52, 125), (255, 150, 75), 0, 44)
    ground.disc(ground.chance.uniform(10, 54), 43, 9, (255, 226, 125))
    ground.sky((96, 50, 78), (52, 30, 55), 44)


def night(ground: Ground) -> None:
    ground.sky((8, 10, 38), (38, 46, 105), 0, 50)
    for x, y in ((5, 9), (13, 24), (19, 5), (28, 15), (37, 7), (44, 22), (52, 12), (60, 27), (59, 5), (4, 36)):
        ground.disc(x, y, 0.8, (240, 240, 215))
    moon = ground.chance.uniform(10, 54)
    ground.disc(moon, 11, 5.5, (240, 238, 215))
    ground.sky((24, 42, 46), (12, 22, 28), 50)


def beach(ground: Ground) -> None:
    ground.sky((95, 175, 245), (200, 232, 252), 0, 32)
    ground.disc(ground.chance.uniform(8, 56), 9, 5, (255, 240, 150))
    ground.sky((25, 105, 185), (65, 165, 210), 32, 44)
    ground.sky((246, 226, 172), (228, 196, 130), 44)


def forest(ground: Ground) -> None:
    ground.sky((190, 228, 188), (140, 195, 140), 0, 48)
    ground.sky((80, 135, 60), (52, 100, 45), 48)
    for place in range(5):
        x, top = 6.5 + 13 * place + ground.chance.uniform(-2, 2), ground.chance.uniform(12, 26)
        ground.box(x - 1.2, 46, x + 1.2, 51, (95, 62, 35))
        ground.corners([(x - 7, 47), (x + 7, 47), (x, top)], (28, 98, 48))


def snow(ground: Ground) -> None:
    ground.sky((150, 178, 208), (208, 222, 236), 0, 47)
    for x, y in ((6, 8), (15, 20), (22, 6), (30, 26), (38, 11), (47, 21), (54, 7), (60, 30), (9, 35), (52, 37)):
        ground.disc(x, y, 1.2, (255, 255, 255))
    hill = ground.chance.uniform(8, 56)
    ground.disc(hill, 50, 24, (232, 238, 247), 9)
    ground.box(0, 47, 64, 64, (248, 250, 255))


def desert(ground: Ground) -> None:
    ground.sky((250, 196, 120), (255, 232, 180), 0, 48)
    ground.disc(ground.chance.uniform(8, 56), 11, 5, (255, 246, 205))
    dune = ground.chance.uniform(-4, 4)
    ground.disc(14 + dune, 66, 44, (222, 166, 95), 26)
    ground.disc(52 - dune, 70, 44, (200, 144, 78), 25)


def city(ground: Ground) -> None:
    ground.sky((130, 160, 205), (220, 224, 232))
    for place in range(8):
        top = ground.chance.choice((16, 20, 24, 28, 32, 36))
        shade = 84 if place % 2 else 100
        ground.box(8 * place, top, 8 * place + 8, SIDE, (shade, shade + 4, shade + 14))
        for y in range(top + 4, 54, 6):
            for x in (8 * place + 1.5, 8 * place + 4.5):
                ground.box(x, y, x + 2, y + 3, (252, 226, 140))
    ground.box(0, 56, 64, 64, (66, 68, 76))


def sea(ground: Ground) -> None:
    ground.sky((35, 150, 205), (6, 45, 105), 0, 57)
    for x, y, wide in ((7, 30, 1.8), (9, 20, 1.3), (6, 12, 1), (57, 34, 1.8), (55, 24, 1.3), (58, 15, 1)):
        ground.disc(x, y, wide, (165, 222, 245))
    ground.disc(ground.chance.uniform(8, 56), 60, 16, (150, 136, 98), 8)
    ground.box(0, 57, 64, 64, (136, 122, 86))


PLACES: dict[str, Painter] = {
    "at sunset": sunset,
    "at night": night,
    "on a beach": beach,
    "in a forest": forest,
    "in the snow": snow,
    "in a desert": desert,
    "in a city": city,
    "under the sea": sea,
}


def background(place: str, chance: random.Random) -> Image.Image:
    """Return the background without a shape."""
    ground = Ground(chance)
    PLACES[place](ground)
    return ground.image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def drawing(chance: random.Random) -> tuple[Image.Image, str]:
    """Return an image and its caption. The shape is in the lower half and has a dark outline."""
    color, shape, place, size = (chance.choice(list(names)) for names in (COLORS, SHAPES, PLACES, SIZES))
    ground = Ground(chance)
    PLACES[place](ground)
    radius = SIDE * SIZES[size] * chance.uniform(0.95, 1.05)
    x, y = SIDE * chance.uniform(0.36, 0.64), SIDE * chance.uniform(0.86, 0.92) - radius
    edge = tuple(int(value * 0.4) for value in COLORS[color])
    if shape == "circle":
        ground.pen.ellipse(_scaled([(x - radius, y - radius), (x + radius, y + radius)]), COLORS[color], edge, _EDGE)
    else:
        ground.pen.polygon(_scaled(corners(shape, x, y, radius)), COLORS[color], edge, _EDGE)
    caption = f"a {size} {color} {shape}, {place}".replace("  ", " ")
    return ground.image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), caption


def _scaled(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x * _FINE, y * _FINE) for x, y in points]


def corners(shape: str, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """Return the corners of a square, a triangle or a star."""
    if shape == "square":
        half = radius * 0.92
        y += radius - half
        return [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
    if shape == "triangle":
        return [(x - radius, y + radius), (x + radius, y + radius), (x, y - radius * 0.9)]
    reach = [radius * (1.15 if number % 2 == 0 else 0.52) for number in range(10)]
    turns = [number * math.pi / 5 for number in range(10)]
    return [(x + far * math.sin(turn), y - far * math.cos(turn)) for far, turn in zip(reach, turns, strict=True)]
