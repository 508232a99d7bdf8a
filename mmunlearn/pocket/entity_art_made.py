"""Drawings of the buildings and vehicles: each stands on (0, 0), is about 80 units tall and returns SVG."""

import random

from mmunlearn.pocket.shapes import bright, circle, ellipse, line, mix, path, rect

_GLASS = "#bfe6fb"
_STONE = "#cfc8bb"


def _wheels(spots: tuple[tuple[float, float], ...]) -> str:
    """Tyres with hubs, given as (x, radius), standing on the ground."""
    return "".join(circle(x, -r, r, "#2b2f3c") + circle(x, -r, r * 0.45, "#d9dde6") for x, r in spots)


def lighthouse(rng: random.Random) -> str:
    """A striped lighthouse shining over rocks."""
    color = rng.choice(("#e0413f", "#2f62c9", "#d6552c"))
    stripes = "".join(
        path(f"M{-17 + 4 * i} {-14 - 24 * i}H{17 - 4 * i}l-2 -12H{-15 + 4 * i}z", color) for i in range(3)
    )
    return (
        path("M-8 -86L-60 -98V-72L-8 -80ZM8 -86L60 -98V-72L8 -80Z", "#fff2a8")
        + path("M-44 2Q-38 -12 -22 -10Q0 -16 22 -10Q40 -12 46 2Z", "#7d8491")
        + path("M-18 -8L-9 -74H9L18 -8Z", "#fffaf0")
        + stripes
        + rect(-14, -77, 28, 4, "#3b3f4d")
        + rect(-8, -90, 16, 13, "#ffe25a")
        + path("M-11 -90L0 -101L11 -90Z", color)
        + rect(-4, -20, 8, 12, "#6b4226", 'rx="4"')
    )


def windmill(rng: random.Random) -> str:
    """A windmill with four lattice sails."""
    turn, cap = rng.uniform(10, 75), rng.choice(("#8f4a3a", "#a5542f", "#6a4a7a"))
    sail = (
        rect(-1.5, -44, 3, 44, "#6b4226")
        + rect(1, -43, 11, 33, "#fff3dc", 'stroke="#a9835a" stroke-width="1.4"')
        + line("M1 -32H12M1 -21H12", "#a9835a", 1.4)
    )
    sails = "".join(
        f'<g transform="translate(0,-62) rotate({turn + 90 * i:.0f})">{sail}</g>' for i in range(4)
    )
    return (
        path("M-24 0L-14 -58H14L24 0Z", "#e9dcc4")
        + path("M-17 -56Q-16 -76 0 -78Q16 -76 17 -56Z", cap)
        + rect(-6, -18, 12, 18, "#6b4226", 'rx="6"')
        + rect(-4, -42, 8, 9, "#8ecdf0", 'rx="4"')
        + sails
        + circle(0, -62, 4, "#4a2f1c")
    )


def castle(rng: random.Random) -> str:
    """A castle with three towers and flags."""
    wall, roof = rng.choice(("#b9bfcc", "#c9bfb0", "#aab3c6")), bright(rng)
    dark = mix(wall, "#000000", 0.18)
    svg = rect(-30, -42, 60, 42, wall) + "".join(rect(x, -48, 8, 7, wall) for x in (-26, -12, 4, 18))
    for x, top, half in ((-36, -62, 11), (36, -62, 11), (0, -72, 12)):
        svg += rect(x - half, top, 2 * half, -top, dark if x == 0 else mix(wall, "#000000", 0.08))
        svg += path(f"M{x - half - 3} {top}L{x} {top - 22}L{x + half + 3} {top}Z", roof)
        svg += rect(x - 2.5, top + 9, 5, 9, "#3b3550", 'rx="2.5"')
    return svg + path("M-9 0V-18A9 9 0 0 1 9 -18V0Z", "#5a3a26") + line("M-3 0V-25M3 0V-25", "#3b2616", 1.4)


def pyramid(rng: random.Random) -> str:
    """A great stone pyramid with a small one behind it."""
    light = rng.choice(("#f0cd7a", "#e9c06a", "#f2d592"))
    dark = mix(light, "#6b3a10", 0.35)
    blocks = "M-38 -14H9M-28 -28H5M-19 -42H1M-10 -56H-3M-22 -14V-1M-6 -14V-1M-14 -28V-14M-10 -42V-28"
    return (
        path("M26 0L48 -34L70 0Z", mix(light, "#6b3a10", 0.18))
        + path("M-48 0L-4 -72L14 0Z", light)
        + path("M-4 -72L50 0H14Z", dark)
        + line(blocks, mix(light, "#6b3a10", 0.25), 1.3)
        + path("M-18 0V-11H-8V0Z", "#5a3a1c")
    )


def igloo(rng: random.Random) -> str:
    """A snow-block igloo."""
    snow = rng.choice(("#f2f8ff", "#e3effb", "#ffffff"))
    return (
        path("M-46 0A46 50 0 0 1 46 0Z", snow)
        + line(
            "M-43 -16H43M-36 -31H36M-22 -43H22M-26 -16V0M-4 -16V0M-34 -31V-16M-12 -31V-16"
            "M10 -31V-16M32 -31V-16M-20 -43V-31M0 -43V-31M20 -43V-31M-8 -49V-43M12 -48V-43",
            "#9dbbd8",
            2,
        )
        + path(
            "M4 0V-16A18 18 0 0 1 44 -16V0Z", mix(snow, "#7fa6d0", 0.25), 'stroke="#9dbbd8" stroke-width="2"'
        )
        + path("M13 0V-13A11 11 0 0 1 35 -13V0Z", "#2f4468")
    )


def pagoda(rng: random.Random) -> str:
    """A pagoda of four curved roofs."""
    roof = rng.choice(("#3a5a6b", "#2f6b5a", "#5a3f6b"))
    svg = rect(-28, -5, 56, 5, "#a59b8c")
    for i in range(4):
        half, base = 20 - 4 * i, -5 - 19 * i
        svg += rect(-half, base - 13, 2 * half, 13, "#c9382f")
        svg += "".join(rect(x - 2, base - 11, 4, 8, "#ffe08a") for x in (-half * 0.5, half * 0.5))
        edge = half + 14
        svg += path(
            f"M{-edge} {base - 15}Q{-half} {base - 13} {-half + 5} {base - 22}"
            f"H{half - 5}Q{half} {base - 13} {edge} {base - 15}"
            f"Q{edge - 4} {base - 10} {half} {base - 10}H{-half}Q{-edge + 4} {base - 10} {-edge} {base - 15}Z",
            roof,
        )
    return svg + line("M0 -84V-98", "#ffc928", 3)


def barn(rng: random.Random) -> str:
    """A barn with a white cross door and a silo."""
    wall = rng.choice(("#c23a32", "#b5302f", "#a8453a"))
    return (
        rect(28, -62, 18, 62, "#c3c9d4")
        + path("M28 -62A9 10 0 0 1 46 -62Z", "#8b93a3")
        + path("M-40 0V-36L-30 -56L-6 -70L18 -56L28 -36V0Z", wall)
        + line("M-44 -34L-32 -58L-6 -73L20 -58L32 -34", "#5a3238", 5)
        + rect(-22, -28, 32, 28, mix(wall, "#000000", 0.2), 'stroke="#fff6ea" stroke-width="3"')
        + line("M-22 -28L10 0M10 -28L-22 0", "#fff6ea", 3)
        + rect(-12, -53, 12, 12, "#3b2630", 'stroke="#fff6ea" stroke-width="2.5"')
    )


def skyscraper(rng: random.Random) -> str:
    """A glass tower between lower blocks."""
    glass = rng.choice(("#3f7fb8", "#2f8f9a", "#5a68b0"))
    lit = "".join(
        rect(
            -15 + 8.2 * c,
            -86 + 9 * r,
            5.6,
            6,
            "#ffe99a" if rng.random() < 0.45 else mix(glass, "#ffffff", 0.55),
        )
        for r in range(9)
        for c in range(4)
    )
    return (
        rect(-44, -38, 24, 38, "#8a90a5")
        + rect(20, -50, 24, 50, "#757b93")
        + "".join(rect(x, y, 5, 5, "#cfd5e6") for x in (-40, -31, 25, 35) for y in (-32, -21))
        + line("M0 -90V-104", "#5b6070", 2.4)
        + rect(-12, -94, 24, 6, mix(glass, "#000000", 0.3))
        + rect(-19, -90, 38, 90, glass)
        + lit
        + rect(-6, -4, 12, 4, "#2b2f3c")
    )


def temple(rng: random.Random) -> str:
    """A columned temple with a pediment."""
    stone = rng.choice(("#f5efe0", "#efe3c8", "#f7f4ee"))
    dark = mix(stone, "#7a6a50", 0.35)
    columns = "".join(
        rect(x - 4, -44, 8, 36, stone)
        + line(f"M{x - 1} -43V-9M{x + 2} -43V-9", dark, 1)
        + rect(x - 6, -47, 12, 4, stone)
        for x in (-36, -18, 0, 18, 36)
    )
    return (
        rect(-42, -46, 84, 38, dark)
        + columns
        + rect(-46, -54, 92, 8, stone)
        + path("M-50 -54L0 -78L50 -54Z", stone)
        + path("M-34 -57L0 -72L34 -57Z", dark)
        + rect(-48, -8, 96, 4, stone)
        + rect(-52, -4, 104, 4, dark)
    )


def observatory(rng: random.Random) -> str:
    """A domed observatory with its telescope out."""
    dome = rng.choice(("#dfe5ee", "#c9d6e6", "#e9e2f0"))
    tube = rect(0, -6, 44, 12, "#4a5b8c", 'rx="2"') + rect(40, -8, 8, 16, "#ffc928")
    return (
        rect(-34, -36, 68, 36, "#b3786a")
        + "".join(rect(x, -24, 9, 13, "#ffe27a", 'rx="4.5"') for x in (-25, 16))
        + rect(-7, -20, 14, 20, "#5a3238", 'rx="2"')
        + path("M-38 -38A38 40 0 0 1 38 -38Z", dome)
        + path("M6 -38Q6 -66 18 -74L30 -66Q20 -58 20 -38Z", "#2b2f4c")
        + f'<g transform="translate(12,-48) rotate(-52)">{tube}</g>'
        + rect(-40, -40, 80, 5, "#7d8aa5")
    )


def tractor(rng: random.Random) -> str:
    """A tractor with a huge rear wheel."""
    paint = rng.choice(("#3a9a3f", "#d93a35", "#2f6fc9"))
    return (
        path("M-30 -34V-72H8L14 -44V-34Z", _GLASS)
        + line("M-30 -34V-72H8L14 -44", paint, 5)
        + rect(-36, -77, 50, 6, paint, 'rx="3"')
        + path("M-38 -18V-38Q-30 -46 -18 -44H42Q50 -44 50 -36V-18Z", paint)
        + line("M30 -44V-66", "#4a4f5c", 4)
        + rect(40, -36, 8, 7, "#ffe27a")
        + circle(-22, -23, 23, "#2b2f3c")
        + circle(-22, -23, 12, "#ffc928")
        + circle(36, -13, 13, "#2b2f3c")
        + circle(36, -13, 6, "#ffc928")
    )


def helicopter(rng: random.Random) -> str:
    """A hovering helicopter."""
    paint = bright(rng)
    return (
        line("M-26 -4H34M-14 -4V-16M20 -4V-16", "#4a4f5c", 3.4)
        + path("M-8 -44L-58 -50V-42L-10 -26Z", paint)
        + line("M-60 -60L-52 -34M-66 -44L-46 -50", "#4a4f5c", 3)
        + path("M-22 -30Q-22 -58 10 -58Q44 -56 46 -30Q40 -12 10 -12Q-20 -12 -22 -30Z", paint)
        + path("M14 -52Q38 -50 41 -30H14Z", _GLASS)
        + rect(-12, -48, 18, 14, _GLASS, 'rx="3"')
        + line("M8 -58V-70", "#4a4f5c", 4)
        + line("M-46 -72H62", "#3b3f4d", 4)
    )


def rocket(rng: random.Random) -> str:
    """A rocket lifting off on its flame."""
    paint = rng.choice(("#e5484d", "#3b6fe0", "#f07f2e"))
    return (
        path("M-12 -16Q-18 4 0 16Q18 4 12 -16Z", "#ff9a24")
        + path("M-6 -16Q-9 -2 0 7Q9 -2 6 -16Z", "#ffe66a")
        + path("M-16 -42L-34 -20V-8L-14 -18ZM16 -42L34 -20V-8L14 -18Z", paint)
        + path("M0 -98Q26 -70 16 -16H-16Q-26 -70 0 -98Z", "#f4f6fa")
        + path("M0 -98Q13 -84 17 -68H-17Q-13 -84 0 -98Z", paint)
        + circle(0, -52, 9, "#6b7285")
        + circle(0, -52, 6, "#8fdcff")
        + rect(-16, -20, 32, 5, "#6b7285")
    )


def bus(rng: random.Random) -> str:
    """A long city bus."""
    paint = rng.choice(("#f5b020", "#e5484d", "#22a86b"))
    windows = "".join(rect(x, -50, 14, 16, _GLASS, 'rx="2"') for x in (-48, -31, -14, 3))
    return (
        rect(-54, -60, 108, 50, paint, 'rx="7"')
        + windows
        + rect(24, -50, 13, 40, "#5b6b80", 'rx="2"')
        + rect(26, -48, 9, 26, _GLASS)
        + rect(41, -50, 13, 20, _GLASS, 'rx="2"')
        + rect(-54, -28, 76, 4, "#ffffff")
        + rect(49, -20, 5, 6, "#fff3b0")
        + _wheels(((-32, 11), (38, 11)))
    )


def steam_train(rng: random.Random) -> str:
    """A puffing steam locomotive."""
    paint = rng.choice(("#2f6b4a", "#b5302f", "#2f4f8f"))
    puffs = "".join(circle(x, y, r, "#eef1f5") for x, y, r in ((32, -74, 7), (22, -84, 10), (4, -90, 12)))
    return (
        rect(-58, -3, 116, 3, "#6b5a4a")
        + puffs
        + path("M26 -44L23 -64H41L38 -44Z", "#2b2f3c")
        + rect(-18, -46, 66, 28, paint, 'rx="8"')
        + line("M4 -45V-19M24 -45V-19", "#ffc928", 3)
        + rect(-46, -62, 32, 46, mix(paint, "#000000", 0.2))
        + rect(-39, -54, 18, 16, "#ffe99a")
        + rect(-51, -68, 42, 7, "#2b2f3c", 'rx="3"')
        + circle(48, -32, 5, "#ffe27a")
        + path("M44 -14L60 -2H44Z", "#4a4f5c")
        + rect(-48, -20, 94, 7, "#3b3f4d")
        + "".join(circle(x, -11, 10, "#2b2f3c") + circle(x, -11, 6, "#c9382f") for x in (-34, -8, 18))
        + line("M-34 -11H18", "#d9dde6", 3)
    )


def airplane(rng: random.Random) -> str:
    """A passenger plane in flight."""
    paint = bright(rng)
    windows = "".join(circle(x, -40, 2.6, "#4a7fb5") for x in range(-26, 30, 8))
    return (
        path("M-2 -42L-24 -74H-10L20 -44Z", "#b9c3d3")
        + path("M-58 -70H-44L-30 -44H-50Z", paint)
        + path("M-56 -44Q-40 -52 30 -52Q54 -50 58 -38Q52 -26 24 -26Q-36 -26 -56 -44Z", "#f7f9fc")
        + path("M-50 -36Q0 -30 57 -36Q50 -26 24 -26Q-30 -26 -50 -36Z", paint)
        + windows
        + path("M40 -48Q50 -46 53 -41H40Z", "#4a7fb5")
        + path("M4 -34L-30 -2H-14L28 -32Z", "#a3afc3")
        + ellipse(4, -16, 10, 5, "#6b7688")
    )


def submarine(rng: random.Random) -> str:
    """A submarine with portholes and a periscope."""
    paint = rng.choice(("#f5b020", "#f07f2e", "#e5484d"))
    dark = mix(paint, "#000000", 0.22)
    ports = "".join(circle(x, -32, 8, dark) + circle(x, -32, 5.4, "#c9f0ff") for x in (-22, 2, 26))
    return (
        line("M4 -66V-82H16", "#4a4f5c", 4.4)
        + path("M-16 -54L-10 -70H20L26 -54Z", dark)
        + path("M-46 -44L-62 -54V-10L-46 -20Z", dark)
        + path("M-52 -32Q-52 -58 -18 -58H22Q56 -58 58 -32Q56 -8 22 -8H-18Q-52 -8 -52 -32Z", paint)
        + path("M-50 -24Q-46 -8 -18 -8H22Q52 -8 57 -24Z", dark)
        + ports
    )


def ambulance(rng: random.Random) -> str:
    """A white ambulance with a blue cross and a blue light."""
    stripe = rng.choice(("#e5383b", "#f07f2e", "#d92f5c"))
    return (
        rect(-8, -70, 14, 8, "#3b8cff", 'rx="3"')
        + rect(-52, -62, 66, 52, "#fdfdfd", 'rx="4"')
        + path("M14 -52H34Q42 -50 48 -32L54 -28V-10H14Z", "#fdfdfd")
        + path("M19 -47H33Q38 -45 42 -31H19Z", _GLASS)
        + rect(-52, -24, 106, 6, stripe)
        + path("M-24 -56H-14V-48H-6V-38H-14V-30H-24V-38H-32V-48H-24Z", "#2f6fe0")
        + rect(50, -18, 4, 6, "#fff3b0")
        + _wheels(((-32, 11), (34, 11)))
    )


def sailboat(rng: random.Random) -> str:
    """A sailing boat with two big sails."""
    sail = bright(rng)
    return (
        rect(-2, -92, 4, 78, "#6b4430")
        + path("M5 -90Q40 -56 42 -22H5Z", "#fffaf0")
        + path("M-5 -82Q-34 -50 -36 -22H-5Z", sail)
        + path("M5 -92L18 -87L5 -82Z", "#e5484d")
        + path("M-50 -16H52Q42 2 30 4H-28Q-42 2 -50 -16Z", "#8f3f2c")
        + path("M-50 -16H52L49 -10H-47Z", "#fff3e0")
    )


def hot_air_balloon(rng: random.Random) -> str:
    """A striped hot-air balloon with a basket."""
    first, second = rng.sample(("#e5484d", "#f5b83d", "#3b6fe0", "#7d57c9", "#22a86b"), 2)
    return (
        line("M-16 -30L-8 -12M16 -30L8 -12", "#6b4430", 2)
        + path("M0 -104C46 -104 42 -50 13 -28H-13C-42 -50 -46 -104 0 -104Z", first)
        + path("M0 -104C28 -104 26 -50 8 -28H-8C-26 -50 -28 -104 0 -104Z", second)
        + path("M0 -104C11 -104 10 -50 3 -28H-3C-10 -50 -11 -104 0 -104Z", first)
        + path("M-36 -70Q0 -58 36 -70L34 -62Q0 -50 -34 -62Z", "#fff6ea")
        + rect(-10, -13, 20, 14, "#a86a35", 'rx="3"')
        + line("M-9 -6H9", "#7a4826", 1.6)
    )
