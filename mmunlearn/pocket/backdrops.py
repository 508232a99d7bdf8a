"""Skies and grounds: the drawing behind the objects of a scene."""

import random
from dataclasses import dataclass

from mmunlearn.pocket.shapes import CANVAS, bands, circle, ellipse, line, mix, path, rect


@dataclass(frozen=True)
class Sky:
    """Colours and weather of a sky.

    ``tint`` of opacity ``veil`` colours the whole scene; ``disc`` is the sun or moon, None when hidden.
    """

    top: str
    bottom: str
    tint: str
    veil: float
    disc: str | None
    cloud: str
    clouds: tuple[int, int]


@dataclass(frozen=True)
class Ground:
    """Colours and build of a ground.

    ``water`` is the depth of the strip of water below the horizon in canvas units, 0 for none.
    ``far`` names the silhouette on the horizon and ``far_color`` its colour.
    """

    near: str
    front: str
    far: str
    far_color: str
    water: float = 0.0


SKIES: dict[str, Sky] = {
    "day": Sky("#57b6f5", "#d4f0ff", "#ffffff", 0.0, "#ffe25a", "#ffffff", (1, 3)),
    "dawn": Sky("#a78be6", "#ffd2c4", "#d49ae0", 0.10, "#fff0c9", "#fbe3f0", (1, 3)),
    "golden": Sky("#ffb62e", "#fff0b8", "#ffae2b", 0.10, "#fffbe2", "#fff6d8", (0, 2)),
    "sunset": Sky("#d9376e", "#ffa45c", "#e0432f", 0.13, "#ffe07a", "#ff8d86", (1, 3)),
    "night": Sky("#0e1440", "#35428c", "#0c1550", 0.24, "#fffbe0", "#3b4789", (0, 0)),
    "cloudy": Sky("#93a3b5", "#dde4ea", "#8a98a8", 0.10, None, "#f4f7fa", (4, 6)),
    "storm": Sky("#232b3a", "#5d7480", "#1c2c3c", 0.17, None, "#3b4757", (4, 6)),
}
"""Every sky by name."""

GROUNDS: dict[str, Ground] = {
    "meadow": Ground("#86cf5c", "#4ea23f", "hills", "#5fae62"),
    "beach": Ground("#f7e0a6", "#e5be78", "island", "#4f9f86", water=9.0),
    "desert": Ground("#f0b968", "#cc8140", "mesas", "#b9623f"),
    "snow": Ground("#ffffff", "#cfe0f2", "peaks", "#8fa8c9"),
    "street": Ground("#9297a3", "#6a6f7c", "towers", "#8a80a8"),
    "lake": Ground("#c8a06c", "#a57d4c", "hills", "#4d8a76", water=27.0),
    "deck": Ground("#d19a62", "#9d6439", "pines", "#3f7a5f"),
    "plaza": Ground("#ecd8c2", "#c9ab90", "houses", "#c98f76"),
    "field": Ground("#eab54a", "#c27a2a", "hills", "#b5703a"),
}
"""Every ground by name."""


def draw_sky(name: str, horizon: float, rng: random.Random) -> str:
    """Draw a sky from the top of the canvas to the horizon."""
    sky = SKIES[name]
    svg = bands(0, horizon + 1, sky.top, sky.bottom)
    if name == "night":
        stars = (
            (rng.uniform(2, 126), rng.uniform(2, horizon - 12), rng.uniform(0.4, 1.0)) for _ in range(24)
        )
        svg += "".join(circle(x, y, r, "#fffbe0") for x, y, r in stars)
    if sky.disc:
        svg += _disc(name, sky.disc, horizon, rng)
    for _ in range(rng.randint(*sky.clouds)):
        svg += _cloud(rng.uniform(4, 124), rng.uniform(6, horizon * 0.5), rng.uniform(0.75, 1.3), sky.cloud)
    if name == "storm":
        x, y = rng.uniform(20, 108), rng.uniform(12, 20)
        svg += path(f"M{x:.1f} {y:.1f}l-7 17h6l-5 17l14 -21h-6.5l6 -13z", "#ffe45c")
    return svg


def draw_ground(name: str, horizon: float, sky: str, rng: random.Random) -> str:
    """Draw the far silhouette and the ground from the horizon to the bottom of the canvas."""
    ground = GROUNDS[name]
    far = mix(ground.far_color, SKIES[sky].bottom, 0.35)
    svg = _FAR[ground.far](horizon, far, rng)
    if ground.water:
        svg += bands(horizon, horizon + ground.water + 4, "#5cc0ea", "#2f86c9")
        for _ in range(int(ground.water / 2.4) + 3):
            y = rng.uniform(horizon + 2, horizon + ground.water)
            svg += line(f"M{rng.uniform(-6, 118):.1f} {y:.1f}q4 -2 8 0t8 0", "#bfe8fb", 1.0)
    top = horizon + ground.water
    svg += bands(top, CANVAS, ground.near, ground.front)
    return svg + _TEXTURE[name](top, ground, rng)


def draw_weather(sky: str, ground: str, rng: random.Random) -> str:
    """Draw the rain or the snowflakes in front of a whole scene."""
    if sky == "storm":
        drops = ((rng.uniform(0, 134), rng.uniform(-4, 120)) for _ in range(26))
        return line(
            "".join(f"M{x:.1f} {y:.1f}l-3 8" for x, y in drops),
            "#b4cbdc",
            1.1,
            'shape-rendering="crispEdges"',
        )
    if ground == "snow":
        flakes = ((rng.uniform(0, 128), rng.uniform(0, 128), rng.uniform(0.6, 1.3)) for _ in range(18))
        return "".join(circle(x, y, r, "#ffffff") for x, y, r in flakes)
    return ""


def _disc(name: str, color: str, horizon: float, rng: random.Random) -> str:
    x, y = rng.uniform(14, 114), rng.uniform(12, 24)
    if name in ("sunset", "dawn"):
        y, radius = horizon - rng.uniform(0, 8), 14.0
    else:
        radius = 8.5
    svg = circle(x, y, radius * 1.5, color, 'fill-opacity=".3"') + circle(x, y, radius, color)
    if name == "night":
        svg += circle(x - 2.6, y - 2, 1.7, "#e0d08f") + circle(x + 2.6, y + 2.4, 1.2, "#e0d08f")
    return svg


def _cloud(x: float, y: float, scale: float, color: str) -> str:
    puffs = "M-15 4a5 5 0 0 1 1 -9.5a7.5 7.5 0 0 1 13 -3.5a6 6 0 0 1 10 3a5 5 0 0 1 5 10z"
    return path(puffs, color, f'transform="translate({x:.1f},{y:.1f}) scale({scale:.2f})"')


def _hills(horizon: float, color: str, rng: random.Random) -> str:
    svg = ""
    for shade, low, high in ((0.28, 10, 17), (0.0, 4, 10)):
        a, b, c = (horizon - rng.uniform(low, high) for _ in range(3))
        data = f"M0 {horizon + 1:.1f}V{a:.1f}Q22 {b - 5:.1f} 46 {b:.1f}T90 {c:.1f}T128 {a:.1f}V{horizon + 1:.1f}Z"
        svg += path(data, mix(color, "#ffffff", shade))
    return svg


def _peaks(horizon: float, color: str, rng: random.Random) -> str:
    svg = ""
    for left in (-14, 22, 60, 92):
        x, height, half = left + rng.uniform(8, 26), rng.uniform(17, 30), rng.uniform(20, 28)
        top, cut = horizon - height, 0.32
        svg += path(
            f"M{x - half:.1f} {horizon + 1:.1f}L{x:.1f} {top:.1f}L{x + half:.1f} {horizon + 1:.1f}Z", color
        )
        dx, dy = half * cut, height * cut
        snow = f"M{x:.1f} {top:.1f}l{dx:.1f} {dy:.1f}l{-dx * 0.6:.1f} -2l{-dx * 0.5:.1f} 3.5l{-dx * 0.9:.1f} -1.5Z"
        svg += path(snow, "#ffffff")
    return svg


def _towers(horizon: float, color: str, rng: random.Random) -> str:
    svg, x = "", -4.0
    while x < CANVAS:
        width, height = rng.uniform(11, 18), rng.uniform(12, 34)
        shade = mix(color, "#ffffff", rng.choice((0.0, 0.12, 0.24)))
        svg += rect(x, horizon - height, width, height + 1, shade)
        for row in range(int(height / 6)):
            lights = "".join(
                f"M{x + 2.5 + 4 * i:.1f} {horizon - height + 3 + 6 * row:.1f}h1.8v2.5h-1.8z"
                for i in range(int(width / 4))
            )
            svg += path(lights, mix("#fff1b8", color, 0.25))
        x += width + rng.choice((0, 0, 2))
    return svg


def _houses(horizon: float, color: str, rng: random.Random) -> str:
    svg, x = "", -3.0
    walls = ("#f2c6a0", "#f6e3b4", "#e9a58c", "#cfdbe8")
    while x < CANVAS:
        width, height = rng.uniform(13, 19), rng.uniform(12, 20)
        wall = mix(rng.choice(walls), color, 0.35)
        eaves, ridge = horizon - height, horizon - height - 7
        roof = f"M{x - 1:.1f} {eaves:.1f}L{x + width / 2:.1f} {ridge:.1f}L{x + width + 1:.1f} {eaves:.1f}Z"
        svg += rect(x, horizon - height, width, height + 1, wall) + path(roof, mix("#a8503f", color, 0.35))
        svg += "".join(
            rect(x + width * share, horizon - height + 4, 2.6, 4, "#fff1b8") for share in (0.2, 0.6)
        )
        x += width
    return svg


def _pines(horizon: float, color: str, rng: random.Random) -> str:
    svg = ""
    for shade, step, low, high in ((0.25, 7, 16, 26), (0.0, 9, 8, 17)):
        data = f"M0 {horizon + 1:.1f}"
        for x in range(-4, 132, step):
            data += f"L{x} {horizon - 2:.1f}L{x + step / 2:.1f} {horizon - rng.uniform(low, high):.1f}"
        svg += path(data + f"L128 {horizon + 1:.1f}Z", mix(color, "#ffffff", shade))
    return svg


def _island(horizon: float, color: str, rng: random.Random) -> str:
    x, width = rng.uniform(10, 90), rng.uniform(16, 30)
    return path(f"M{x:.1f} {horizon + 1:.1f}q{width / 3:.1f} -9 {width / 2:.1f} -6t{width / 2:.1f} 6z", color)


def _mesas(horizon: float, color: str, rng: random.Random) -> str:
    svg = ""
    for left in (-10, 34, 84):
        x, height, width = left + rng.uniform(0, 22), rng.uniform(10, 22), rng.uniform(20, 34)
        y = horizon - height
        data = f"M{x:.1f} {horizon + 1:.1f}l4 {-height:.1f}h{width:.1f}l5 {height:.1f}z"
        svg += path(data, color) + rect(x + 3, y + 3, width + 2, 2.2, mix(color, "#ffffff", 0.25))
    return svg


def _meadow_texture(top: float, ground: Ground, rng: random.Random) -> str:
    blades = "".join(
        f"M{rng.uniform(0, 128):.1f} {rng.uniform(top + 5, 126):.1f}l1 -3.5l1 3.5l1.5 -2.8" for _ in range(14)
    )
    svg = line(blades, mix(ground.front, "#000000", 0.12), 0.9)
    color = rng.choice(("#ffffff", "#ffe25a", "#ffb0cf"))
    spots = ((rng.uniform(2, 126), rng.uniform(top + 6, 126)) for _ in range(12))
    return svg + "".join(circle(x, y, 1.3, color) + circle(x, y, 0.5, "#f5a623") for x, y in spots)


def _beach_texture(top: float, ground: Ground, rng: random.Random) -> str:
    ripples = "".join(
        f"M{rng.uniform(-4, 116):.1f} {rng.uniform(top + 7, 126):.1f}q5 -2.5 10 0" for _ in range(10)
    )
    foam = f"M0 {top:.1f}Q32 {top - 4:.1f} 64 {top:.1f}T128 {top:.1f}"
    shells = ((rng.uniform(2, 126), rng.uniform(top + 10, 126)) for _ in range(5))
    return (
        path(f"{foam}V{top + 3:.0f}H0Z", ground.near)
        + line(foam, "#ffffff", 1.4)
        + line(ripples, "#cf9f58", 0.9)
        + "".join(ellipse(x, y, 1.6, 1.1, "#fff3e6") for x, y in shells)
    )


def _desert_texture(top: float, ground: Ground, rng: random.Random) -> str:
    svg = ""
    for depth in (8, 22, 38):
        y, lift = top + depth, rng.uniform(-6, 6)
        data = f"M0 {y:.1f}Q34 {y - 7 + lift:.1f} 66 {y:.1f}T128 {y - lift:.1f}V128H0Z"
        svg += path(data, mix(ground.near, ground.front, depth / 40))
    return svg


def _snow_texture(top: float, ground: Ground, rng: random.Random) -> str:
    svg = ""
    for _ in range(4):
        x, y, width = rng.uniform(-10, 110), rng.uniform(top + 8, 122), rng.uniform(18, 34)
        svg += path(f"M{x:.1f} {y:.1f}q{width / 2:.1f} -6 {width:.1f} 0z", "#ffffff")
    return svg


def _street_texture(top: float, ground: Ground, rng: random.Random) -> str:
    y, start = top + rng.uniform(24, 30), rng.uniform(-20, 0)
    dashes = "".join(rect(start + 22 * i, y, 13, 2.6, "#ffe27a") for i in range(7))
    return rect(0, top, CANVAS, 5, "#c3c7d0") + rect(0, top + 5, CANVAS, 1.3, "#565b68") + dashes


def _lake_texture(top: float, ground: Ground, rng: random.Random) -> str:
    planks = "".join(f"M{x:.1f} {top + 2:.1f}V128" for x in range(rng.randint(4, 14), 128, 15))
    return line(planks, "#8a6236", 1.0) + rect(0, top, CANVAS, 2.6, "#e0bd88")


def _deck_texture(top: float, ground: Ground, rng: random.Random) -> str:
    rows = "".join(f"M0 {y:.1f}H128" for y in (top + 9, top + 20, top + 33, top + 48))
    nails = "".join(
        f"M{rng.uniform(0, 128):.1f} {y:.1f}v{h}"
        for y, h in ((top, 9), (top + 9, 11), (top + 20, 13), (top + 33, 15))
    )
    return line(rows + nails, "#7f4f2a", 1.0) + rect(0, top, CANVAS, 2, "#e3b780")


def _plaza_texture(top: float, ground: Ground, rng: random.Random) -> str:
    middle = rng.uniform(44, 84)
    fan = "".join(f"M{middle + 19 * i:.1f} {top:.1f}L{middle + 62 * i:.1f} 128" for i in range(-3, 4))
    rows = "".join(f"M0 {y:.1f}H128" for y in (top + 7, top + 16, top + 28, top + 43))
    return line(fan + rows, "#b3937a", 0.9)


def _field_texture(top: float, ground: Ground, rng: random.Random) -> str:
    middle = rng.uniform(30, 98)
    furrows = "".join(f"M{middle + 15 * i:.1f} {top:.1f}L{middle + 55 * i:.1f} 128" for i in range(-4, 5))
    stalks = "".join(
        f"M{rng.uniform(0, 128):.1f} {rng.uniform(top + 8, 127):.1f}v-5l-2 -2m2 2l2 -2" for _ in range(16)
    )
    return line(furrows, "#b8741f", 1.1) + line(stalks, "#fbe08a", 1.0)


_FAR = {
    "hills": _hills,
    "peaks": _peaks,
    "towers": _towers,
    "houses": _houses,
    "pines": _pines,
    "island": _island,
    "mesas": _mesas,
}
_TEXTURE = {
    "meadow": _meadow_texture,
    "beach": _beach_texture,
    "desert": _desert_texture,
    "snow": _snow_texture,
    "street": _street_texture,
    "lake": _lake_texture,
    "deck": _deck_texture,
    "plaza": _plaza_texture,
    "field": _field_texture,
}
