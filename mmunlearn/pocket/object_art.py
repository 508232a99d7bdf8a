"""The drawings of the scene objects.

A ground or water object stands on (0, 0) and rises towards negative y; a sky object is centred on (0, 0).
Every function returns an SVG fragment in canvas units and varies its colours by ``rng``.
"""

import math
import random

from mmunlearn.pocket.shapes import bright, circle, ellipse, line, mix, path, rect

_WOOD, _DARK_WOOD = "#a86a35", "#7a4826"
_STONE, _DARK_STONE = "#c9ced6", "#9aa1ad"


def tree(rng: random.Random) -> str:
    """A round leafy tree."""
    leaf = rng.choice(("#2f9a50", "#45ab4b", "#27865a"))
    crown = (
        circle(-8, -21, 9, leaf)
        + circle(8, -21, 9, leaf)
        + circle(0, -29, 11, leaf)
        + circle(0, -20, 9, leaf)
    )
    light = circle(-3, -31, 5.5, mix(leaf, "#ffffff", 0.22)) + circle(7, -24, 3, mix(leaf, "#ffffff", 0.22))
    return rect(-2.5, -15, 5, 15, _DARK_WOOD) + crown + light


def pine(rng: random.Random) -> str:
    """A three-tiered conifer."""
    leaf = rng.choice(("#1e6b4c", "#27785a", "#1b6160"))
    tiers = ((-6, 14, 17), (-17, 11.5, 15), (-27, 9, 15))
    svg = rect(-2, -7, 4, 7, _DARK_WOOD)
    for base, half, height in tiers:
        svg += path(f"M0 {base - height}L{half} {base}H{-half}Z", leaf)
        svg += path(f"M0 {base - height}L{half} {base}H0Z", "#000", 'fill-opacity=".13"')
    return svg


def palm(rng: random.Random) -> str:
    """A leaning palm with coconuts."""
    leaf = rng.choice(("#2f9a50", "#3fae5a"))
    fronds = (
        "M4 -33Q-8 -44 -16 -30Q-5 -35 4 -33Q-2 -28 -9 -20Q5 -25 4 -33"
        "Q14 -46 22 -31Q12 -36 4 -33Q13 -31 16 -20Q4 -24 4 -33Z"
    )
    return (
        path("M-3 0Q-2 -20 2 -34L6 -34Q3 -18 3 0Z", _WOOD)
        + path(fronds, leaf)
        + path("M4 -33Q2 -44 8 -47Q8 -38 4 -33Z", leaf)
        + circle(2, -31, 2.2, _DARK_WOOD)
        + circle(6.5, -31, 2.2, _DARK_WOOD)
    )


def tent(rng: random.Random) -> str:
    """A ridge tent with an open flap."""
    color = bright(rng)
    return (
        path("M-20 0L-8 -26H10L22 0Z", mix(color, "#000000", 0.18))
        + path("M-20 0L-4 -26L12 0Z", color)
        + path("M-4 -20L2.5 0H-10.5Z", "#2b2440")
        + path("M-4 -20L-4 0H-10.5Z", mix(color, "#ffffff", 0.45))
    )


def house(rng: random.Random) -> str:
    """A cottage with a red roof and lit windows."""
    wall = rng.choice(("#f6d7ae", "#e4ecf7", "#f3c3b0", "#fdf3d8"))
    roof = rng.choice(("#c4483d", "#b5533c", "#8f4a5c"))
    return (
        rect(8, -39, 5, 12, "#8a5a4a")
        + rect(-14, -22, 28, 22, wall)
        + path("M-18 -21L0 -38L18 -21Z", roof)
        + rect(-4, -13, 8, 13, _DARK_WOOD, 'rx="1"')
        + circle(2.2, -6, 0.9, "#ffd75e")
        + "".join(rect(x, -18, 6, 6, "#ffe27a", 'stroke="#8a5a4a" stroke-width="1"') for x in (-11.5, 5.5))
    )


def boat(rng: random.Random) -> str:
    """A sailing boat with one coloured sail."""
    return (
        rect(-1, -38, 2, 30, "#6b4430")
        + path("M2 -37Q15 -24 17 -11H2Z", "#fffaf0")
        + path("M-2 -33Q-12 -22 -14 -11H-2Z", bright(rng))
        + path("M-19 -9H19Q15 0 10 1H-11Q-17 -1 -19 -9Z", "#8f3f2c")
        + path("M-19 -9H19L17.8 -6H-18Z", "#fff3e0")
    )


def car(rng: random.Random) -> str:
    """A small car seen from the side."""
    color = bright(rng)
    wheels = "".join(circle(x, -4, 5, "#262833") + circle(x, -4, 2.2, "#d5d9e2") for x in (-11, 11))
    return (
        path("M-12 -13Q-9 -23 -5 -23H6Q11 -23 14 -13Z", color)
        + path("M-9 -14Q-7.5 -20.5 -4 -20.5H-0.5V-14ZM1.5 -20.5H5.5Q8.5 -20.5 10.5 -14H1.5Z", "#d8f1ff")
        + rect(-21, -15, 42, 11, color, 'rx="4.5"')
        + rect(17.5, -12, 3.5, 3.5, "#ffe27a", 'rx="1.5"')
        + wheels
    )


def campfire(rng: random.Random) -> str:
    """Burning logs."""
    lean = rng.uniform(-2, 2)
    return (
        circle(0, -13, 20, "#ffb347", 'fill-opacity=".22"')
        + line("M-11 0L11 -5M-11 -5L11 0", _DARK_WOOD, 4)
        + path(
            f"M{lean:.1f} -33Q14 -16 9 -6Q4 -2 0 -2Q-4 -2 -9 -6Q-14 -15 -6 -22Q-5 -17 -3 -17Q-3 -25 {lean:.1f} -33Z",
            "#ff6a1f",
        )
        + path("M1 -21Q8 -12 5 -5Q0 -1 -5 -5Q-7 -11 -1.5 -14Q0 -16 1 -21Z", "#ffd94a")
    )


def flag(rng: random.Random) -> str:
    """A waving two-coloured flag on a pole."""
    color = bright(rng)
    wave = "M1 {0}Q8 {1} 13 {0}T25 {0}V{2}Q19 {3} 13 {2}T1 {2}Z"
    return (
        rect(-1.2, -42, 2.4, 42, "#eef0f4")
        + circle(0, -43, 2.2, "#ffc928")
        + path(wave.format(-41, -45, -33, -29), color)
        + path(wave.format(-33, -37, -25, -21), "#fffaf0")
    )


def umbrella(rng: random.Random) -> str:
    """A striped parasol."""
    color = bright(rng)
    return (
        rect(-1.1, -31, 2.2, 31, "#8a8f9c")
        + path(
            "M-21 -22A21 19 0 0 1 21 -22Q15.75 -25 10.5 -22Q5.25 -25 0 -22Q-5.25 -25 -10.5 -22Q-15.75 -25 -21 -22Z",
            color,
        )
        + path("M-10.5 -22Q-9 -37 0 -41Q9 -37 10.5 -22Q5.25 -25 0 -22Q-5.25 -25 -10.5 -22Z", "#fffaf0")
        + path("M0 -22Q-4.5 -36 0 -41Q4.5 -36 0 -22Z", color)
        + circle(0, -41.5, 1.6, color)
    )


def table(rng: random.Random) -> str:
    """A laid table with fruit and a jug."""
    cloth, fruit = bright(rng), bright(rng)
    return (
        line("M-15 -12L-17 0M15 -12L17 0", _DARK_WOOD, 3)
        + rect(-20, -17, 40, 4.5, "#fffaf0", 'rx="1.5"')
        + path("M-20 -13.5H20V-9L15 -6L10 -9L5 -6L0 -9L-5 -6L-10 -9L-15 -6L-20 -9Z", cloth)
        + circle(-11, -20, 3.4, fruit)
        + circle(-5, -20, 3.4, "#f5b83d")
        + circle(-8, -24.5, 3.4, "#e5484d")
        + path("M6 -17V-26Q5 -28 7 -29H12Q14 -28 13 -26V-17Z", "#7cc4ef")
        + line("M13.5 -26Q17 -25 16 -21.5T13.2 -20", "#7cc4ef", 1.6)
    )


def snowman(rng: random.Random) -> str:
    """A snowman with a hat and a coloured scarf."""
    scarf = bright(rng)
    rim = 'stroke="#a9bfd8" stroke-width="1"'
    return (
        line("M-7 -20L-15 -25M7 -20L15 -26", _DARK_WOOD, 1.6)
        + circle(0, -9, 10, "#ffffff", rim)
        + circle(0, -25, 7.6, "#ffffff", rim)
        + rect(-7, -21, 14, 4, scarf, 'rx="2"')
        + rect(2.5, -19, 4, 8, scarf, 'rx="1.5"')
        + rect(-8, -33, 16, 2.6, "#2b2f3c", 'rx="1"')
        + rect(-5.2, -41, 10.4, 9, "#2b2f3c")
        + circle(-2.8, -27, 1.1, "#2b2f3c")
        + circle(2.8, -27, 1.1, "#2b2f3c")
        + path("M0 -25.5L9 -24L0 -23Z", "#ff8a1a")
    )


def cactus(rng: random.Random) -> str:
    """A saguaro with a flower."""
    green = rng.choice(("#3f9b5a", "#2f8f62", "#58a14a"))
    arms = line("M-11 -24V-17Q-11 -13 -7 -13H0M11 -29V-22Q11 -18 7 -18H0", green, 6)
    ribs = line("M-1.5 -31V-3M2 -31V-3", mix(green, "#000000", 0.2), 0.9)
    return (
        arms
        + rect(-4.5, -36, 9, 36, green, 'rx="4.5"')
        + ribs
        + circle(0, -36.5, 3, "#f0668c")
        + circle(0, -36.5, 1.2, "#ffe27a")
    )


def cake(rng: random.Random) -> str:
    """A tall cake with candles."""
    icing = rng.choice(("#f7a8c4", "#9fd8f2", "#c9b2f2"))
    candles = "".join(
        rect(x - 0.9, -35, 1.8, 8, "#3b6fe0") + ellipse(x, -37.2, 1.5, 2.4, "#ffb02e") for x in (-5, 0, 5)
    )
    return (
        rect(-20, -3, 40, 3, "#eef0f4", 'rx="1.5"')
        + rect(-16, -15, 32, 12, "#fff6ea", 'rx="1"')
        + path("M-16 -15H16V-10Q12 -6 8 -10Q4 -6 0 -10Q-4 -6 -8 -10Q-12 -6 -16 -10Z", icing)
        + rect(-10, -27, 20, 12, "#fff6ea", 'rx="1"')
        + path("M-10 -27H10V-23Q7.5 -19 5 -23Q2.5 -19 0 -23Q-2.5 -19 -5 -23Q-7.5 -19 -10 -23Z", icing)
        + candles
    )


def stage(rng: random.Random) -> str:
    """A concert stage with coloured spotlights."""
    curtain = rng.choice(("#8d3b8f", "#b8344a", "#3a4fb0"))
    colors = ("#ffe066", "#ff7ab0", "#6fe3ff")
    beams = "".join(
        path(f"M{x} -33L{x + 6} -8H{x - 6}Z", c, 'fill-opacity=".4"')
        for x, c in zip((-11, 0, 11), colors, strict=True)
    )
    lamps = "".join(circle(x, -34, 2.6, c) for x, c in zip((-11, 0, 11), colors, strict=True))
    return (
        rect(-22, -37, 44, 31, "#2a2440")
        + path("M-22 -37H-12Q-14 -20 -18 -6H-22ZM22 -37H12Q14 -20 18 -6H22Z", curtain)
        + beams
        + rect(-24, -40, 48, 5, "#4a4660", 'rx="1.5"')
        + lamps
        + rect(-25, -8, 50, 8, "#b0763f", 'rx="1"')
        + rect(-25, -8, 50, 2, "#d49a5c")
    )


def bicycle(rng: random.Random) -> str:
    """A bicycle seen from the side."""
    color = bright(rng)
    wheels = "".join(
        circle(x, -8.5, 7.6, "none", 'stroke="#2b2f3c" stroke-width="2"') + circle(x, -8.5, 1.3, "#2b2f3c")
        for x in (-12, 12)
    )
    return (
        wheels
        + line(
            "M-12 -8.5L-6 -20H8L0 -8.5H-12M-6 -20L0 -8.5M8 -18L12 -8.5M7 -25L8 -20M-7 -23L-6 -20", color, 2.4
        )
        + line("M-10.5 -23.5H-4M5 -25.5H11", "#2b2f3c", 2.4)
    )


def bench(rng: random.Random) -> str:
    """A park bench."""
    wood = rng.choice(("#b5743a", "#4f9a6b", "#c25a45"))
    return (
        line("M-14 -10V0M14 -10V0M-14 -10V-22M14 -10V-22", "#3b3f4d", 2.4)
        + rect(-19, -24, 38, 4, wood, 'rx="1.5"')
        + rect(-19, -18, 38, 4, wood, 'rx="1.5"')
        + rect(-20, -11, 40, 4, mix(wood, "#000000", 0.15), 'rx="1.5"')
    )


def statue(rng: random.Random) -> str:
    """A bronze or marble figure with a raised arm on a plinth."""
    color = rng.choice(("#3f9a80", "#b5762e", "#5b6478"))
    return (
        rect(-11, -4, 22, 4, _DARK_STONE)
        + rect(-8.5, -15, 17, 11, _STONE)
        + rect(-10, -17, 20, 3, _DARK_STONE)
        + path("M-6 -17Q-5 -30 -4 -33H4Q5 -30 6 -17Z", color)
        + line("M4 -32L10 -43M-4 -32L-7 -24", color, 3.2)
        + circle(0, -37, 3.8, color)
    )


def telescope(rng: random.Random) -> str:
    """A telescope on a tripod pointing at the sky."""
    color = rng.choice(("#e5484d", "#3b6fe0", "#f7f3ea"))
    tube = (
        rect(-15, -4, 30, 8, color, 'rx="1.5"')
        + rect(12, -5, 6, 10, "#ffc928", 'rx="1.5"')
        + rect(-20, -2.4, 6, 4.8, "#3b3f4d")
    )
    return (
        line("M0 -22L-10 0M0 -22L10 0M0 -22V0", "#4a4660", 2.4)
        + f'<g transform="translate(0,-25) rotate(-32)">{tube}</g>'
    )


def drum(rng: random.Random) -> str:
    """A big drum with sticks."""
    color = bright(rng)
    return (
        path("M-14 -20V-4Q0 4 14 -4V-20Z", color)
        + line("M-14 -18L-7 -1L0 -16L7 -1L14 -18", "#fff3c4", 1.4)
        + path("M-14 -7V-4Q0 4 14 -4V-7Q0 1 -14 -7Z", "#ffc928")
        + ellipse(0, -20, 14, 5, "#fffaf0", 'stroke="#ffc928" stroke-width="2"')
        + line("M-3 -21L-15 -33M3 -21L15 -33", "#d9a066", 1.8)
        + circle(-15, -33, 1.9, "#d9a066")
        + circle(15, -33, 1.9, "#d9a066")
    )


def easel(rng: random.Random) -> str:
    """A painting on an easel."""
    sky, sun, hill = bright(rng), rng.choice(("#ffe27a", "#fffaf0")), rng.choice(("#2f9a50", "#7d57c9"))
    return (
        line("M0 -40L-12 0M0 -40L12 0M0 -12V-1", _WOOD, 2.4)
        + rect(-14, -36, 28, 23, "#fffaf0", 'stroke="#c9b79a" stroke-width="1"')
        + rect(-11.5, -33.5, 23, 18, mix(sky, "#ffffff", 0.35))
        + circle(5, -28.5, 3.4, sun)
        + path("M-11.5 -15.5V-20Q-5 -28 1 -20Q6 -24 11.5 -19V-15.5Z", hill)
        + rect(-15, -13, 30, 2.6, _DARK_WOOD)
    )


def fountain(rng: random.Random) -> str:
    """A two-tiered fountain with arching water."""
    water = rng.choice(("#4fb4ea", "#63c6f0"))
    jets = line("M0 -29Q-12 -38 -15 -9M0 -29Q12 -38 15 -9M0 -29Q-5 -40 -7 -20M0 -29Q5 -40 7 -20", water, 2)
    return (
        rect(-2.6, -24, 5.2, 20, _DARK_STONE)
        + path("M-10 -21H10Q8 -14 0 -14Q-8 -14 -10 -21Z", _STONE)
        + jets
        + path("M-22 -10H22L18 0H-18Z", _STONE)
        + ellipse(0, -10, 22, 3.4, water, f'stroke="{_DARK_STONE}" stroke-width="1.4"')
    )


def balloon(rng: random.Random) -> str:
    """A striped hot-air balloon."""
    color = bright(rng)
    return (
        line("M-7 7L-3.4 15M7 7L3.4 15", "#6b4430", 1)
        + path("M0 -19C17 -19 16 2 5 10H-5C-16 2 -17 -19 0 -19Z", color)
        + path("M0 -19C8 -19 8 2 2.6 10H-2.6C-8 2 -8 -19 0 -19Z", "#fff3d0")
        + path("M0 -19C3 -19 3 2 1 10H-1C-3 2 -3 -19 0 -19Z", color)
        + rect(-4, 14, 8, 6, _WOOD, 'rx="1.4"')
    )


def lantern(rng: random.Random) -> str:
    """A glowing paper lantern."""
    color = rng.choice(("#ff5440", "#ff8a24", "#f0468a"))
    return (
        circle(0, 0, 14, "#ffd27a", 'fill-opacity=".25"')
        + line("M0 -15V-9M0 9V14", "#c9962f", 1.2)
        + ellipse(0, 0, 9.5, 8.6, color)
        + ellipse(0, 0, 4.5, 8.6, "#ffe08a", 'fill-opacity=".8"')
        + rect(-5, -10, 10, 2.4, "#7a2d22", 'rx="1"')
        + rect(-5, 7.6, 10, 2.4, "#7a2d22", 'rx="1"')
        + line("M-1.5 14V17M1.5 14V17", "#ffc928", 1.2)
    )


def kite(rng: random.Random) -> str:
    """A diamond kite with a bowed tail."""
    first, second = rng.sample(("#e5484d", "#f5b83d", "#3b6fe0", "#7d57c9", "#22a86b", "#f0668c"), 2)
    return (
        line("M0 13Q6 17 1 21T3 28", "#5b5f70", 1.1)
        + path("M1 20l-4 -2.4v4.8zM1 20l4 -2.4v4.8z", second)
        + path("M0 -17L11 -3L0 14L-11 -3Z", first)
        + path("M0 -17L11 -3H0ZM0 14L-11 -3H0Z", second)
    )


def firework(rng: random.Random) -> str:
    """A bursting firework."""
    color, turn = rng.choice(("#ff5f6d", "#ffd54a", "#7ad7ff", "#c58bff", "#7df0a2")), rng.uniform(0, 0.5)
    svg = circle(0, 0, 2.4, "#fffbe0")
    for ray in range(12):
        across, down = math.cos(turn + ray * math.pi / 6), math.sin(turn + ray * math.pi / 6)
        svg += line(f"M{4 * across:.1f} {4 * down:.1f}L{11 * across:.1f} {11 * down:.1f}", color, 1.9)
        svg += circle(15 * across, 15 * down, 1.6, "#fff3b0" if ray % 2 else color)
    return svg


def bunting(rng: random.Random) -> str:
    """A string of pennants across the whole frame."""
    colors = rng.sample(("#e5484d", "#f5b83d", "#3b6fe0", "#22a86b", "#f0668c", "#fffaf0"), 6)
    svg = line("M-66 -8Q0 14 66 -8", "#5b4a3a", 1)
    for index in range(10):
        x = -56.2 + 12.5 * index
        y = 3 - 11 * (x / 66) ** 2
        svg += path(f"M{x - 5:.1f} {y - 0.6:.1f}H{x + 5:.1f}L{x:.1f} {y + 12:.1f}Z", colors[index % 6])
    return svg
