"""Drawings of the animals and plants: each stands on (0, 0), is about 80 units tall and returns SVG."""

import math
import random

from mmunlearn.pocket.shapes import circle, ellipse, line, mix, path, rect

_INK = "#2b2236"


def _eyes(x: float, y: float, radius: float = 3.0) -> str:
    """Two shiny eyes at +-x."""
    return "".join(
        circle(s * x, y, radius, _INK) + circle(s * x + 1, y - 1, radius * 0.35, "#fff") for s in (-1, 1)
    )


def fox(rng: random.Random) -> str:
    """A sitting fox with a bushy tail."""
    fur = rng.choice(("#ee7a2c", "#e2692a", "#f08a3c"))
    return (
        path("M14 0C50 4 52 -30 40 -46C40 -30 30 -22 12 -16Z", fur)
        + path("M40 -46C40 -38 37 -33 32 -29Q42 -28 45 -26C46 -34 44 -40 40 -46Z", "#fff6ea")
        + path("M-20 0C-24 -26 -14 -40 0 -40C14 -40 24 -26 20 0Z", fur)
        + path("M-10 0C-12 -18 -8 -30 0 -34C8 -30 12 -18 10 0Z", "#fff6ea")
        + path("M-30 -82L-8 -72L8 -72L30 -82L30 -54L0 -32L-30 -54Z", fur)
        + path("M-26 -76L-13 -70L-24 -62ZM26 -76L13 -70L24 -62Z", _INK)
        + path("M-30 -56L-6 -54L0 -36L6 -54L30 -56L0 -32Z", "#fff6ea")
        + circle(0, -36, 4, _INK)
        + _eyes(11, -56, 3.2)
    )


def owl(rng: random.Random) -> str:
    """An owl on a branch."""
    coat = rng.choice(("#8a5a35", "#75604f", "#9a6a3e"))
    pale = mix(coat, "#ffffff", 0.55)
    chest = "".join(
        line(f"M{x - 4} {y}q4 4 8 0", coat, 2)
        for x, y in ((-8, -28), (8, -28), (0, -20), (-8, -12), (8, -12))
    )
    return (
        line("M-48 -1Q0 -6 48 0", "#6b4a2e", 7)
        + path("M-30 -84L-12 -74H12L30 -84Q34 -60 30 -30Q26 0 0 0Q-26 0 -30 -30Q-34 -60 -30 -84Z", coat)
        + ellipse(0, -24, 19, 22, pale)
        + chest
        + path(
            "M-31 -50Q-40 -20 -22 -6Q-24 -30 -31 -50ZM31 -50Q40 -20 22 -6Q24 -30 31 -50Z",
            mix(coat, "#000000", 0.25),
        )
        + "".join(
            circle(s * 13, -60, 14, "#fff6e2")
            + circle(s * 13, -60, 10, "#f7b32b")
            + circle(s * 13, -60, 6, _INK)
            for s in (-1, 1)
        )
        + path("M-5 -54H5L0 -43Z", "#f08a2c")
        + line("M-10 -2V3M-5 -2V3M5 -2V3M10 -2V3", "#f08a2c", 3)
    )


def penguin(rng: random.Random) -> str:
    """An upright penguin."""
    coat = rng.choice(("#28324a", "#23262f", "#2f3f5c"))
    return (
        ellipse(-12, -1, 11, 4.5, "#f59a22")
        + ellipse(12, -1, 11, 4.5, "#f59a22")
        + path("M-24 -48Q-44 -30 -40 -12Q-32 -18 -24 -24ZM24 -48Q44 -30 40 -12Q32 -18 24 -24Z", coat)
        + path(
            "M0 -86C22 -86 30 -64 30 -36C30 -10 18 0 0 0C-18 0 -30 -10 -30 -36C-30 -64 -22 -86 0 -86Z", coat
        )
        + path(
            "M0 -58C6 -74 22 -68 20 -50C24 -20 16 -4 0 -4C-16 -4 -24 -20 -20 -50C-22 -68 -6 -74 0 -58Z",
            "#ffffff",
        )
        + _eyes(9, -60, 3.2)
        + path("M-7 -53H7L0 -45Z", "#f59a22")
    )


def elephant(rng: random.Random) -> str:
    """An elephant from the side with its trunk down."""
    skin = rng.choice(("#93a0b4", "#a3a3ad", "#8796a3"))
    dark = mix(skin, "#000000", 0.15)
    return (
        rect(-34, -26, 14, 26, dark, 'rx="4"')
        + rect(8, -26, 14, 26, dark, 'rx="4"')
        + ellipse(-8, -42, 34, 26, skin)
        + rect(-26, -26, 14, 26, skin, 'rx="4"')
        + rect(0, -26, 14, 26, skin, 'rx="4"')
        + line("M-41 -46Q-49 -36 -46 -24", dark, 3)
        + line("M38 -48Q46 -30 40 -10Q38 -3 46 -5", skin, 11)
        + circle(28, -56, 21, skin)
        + path("M20 -76Q-6 -82 -4 -54Q0 -36 18 -42Q24 -60 20 -76Z", dark)
        + path("M33 -40Q42 -30 52 -36Q44 -42 40 -46Z", "#fffaf0")
        + circle(35, -60, 2.8, _INK)
    )


def frog(rng: random.Random) -> str:
    """A wide frog on a lily pad."""
    skin = rng.choice(("#58b947", "#3fae5e", "#7cbf3a"))
    pale = mix(skin, "#ffffff", 0.55)
    eyes = "".join(
        circle(s * 19, -56, 12, skin) + circle(s * 19, -57, 8, "#fff") + circle(s * 19, -57, 4.6, _INK)
        for s in (-1, 1)
    )
    return (
        ellipse(0, 0, 48, 7, "#2f8f62")
        + ellipse(-32, -10, 15, 10, mix(skin, "#000000", 0.15))
        + ellipse(32, -10, 15, 10, mix(skin, "#000000", 0.15))
        + ellipse(0, -22, 33, 22, skin)
        + ellipse(0, -15, 21, 14, pale)
        + ellipse(0, -42, 36, 19, skin)
        + eyes
        + line("M-24 -38Q0 -24 24 -38", "#23502c", 3)
        + line("M-14 -4V-1M-18 -4L-22 0M14 -4V-1M18 -4L22 0", skin, 5)
    )


def whale(rng: random.Random) -> str:
    """A blue whale spouting."""
    skin = rng.choice(("#3f74c4", "#4a86b8", "#4d6fae"))
    return (
        line("M-14 -58Q-16 -76 -28 -74M-14 -58Q-12 -78 2 -74M-14 -58V-72", "#e2f6ff", 4)
        + path(
            "M-50 -22C-50 -62 14 -62 30 -28Q38 -30 38 -44Q28 -52 26 -60"
            "Q38 -60 42 -50Q46 -60 58 -60Q56 -50 48 -44Q52 -6 6 -2C-30 2 -50 -4 -50 -22Z",
            skin,
        )
        + path("M-49 -18Q-20 -20 14 -12Q8 -2 -8 -1C-34 2 -48 -6 -49 -18Z", "#e8f1fa")
        + line("M-38 -15Q-20 -15 0 -10M-36 -9Q-20 -9 -6 -5", "#a9c3dd", 1.6)
        + path("M-6 -16Q0 4 18 4Q14 -10 6 -18Z", mix(skin, "#000000", 0.2))
        + circle(-34, -28, 3, _INK)
    )


def snail(rng: random.Random) -> str:
    """A snail with a spiral shell."""
    shell = rng.choice(("#d9683c", "#b8569a", "#c98a2c"))
    pale = mix(shell, "#ffffff", 0.55)
    return (
        path("M-48 0Q-40 -10 -20 -10H22Q30 -10 30 -24Q30 -40 40 -40Q52 -40 50 -22Q48 0 26 0Z", "#dfa75a")
        + line("M37 -38L33 -56M44 -38L49 -55", "#dfa75a", 4)
        + circle(33, -57, 4, _INK)
        + circle(49, -56, 4, _INK)
        + circle(-6, -36, 31, shell)
        + line(
            "M-6 -36Q-2 -42 4 -36Q8 -24 -6 -22Q-22 -22 -22 -38Q-20 -54 -4 -55Q16 -54 18 -34Q17 -16 2 -10",
            pale,
            5,
        )
        + line("M40 -20Q44 -17 48 -20", _INK, 2)
    )


def turtle(rng: random.Random) -> str:
    """A walking turtle."""
    shell = rng.choice(("#3f8a4a", "#5a7a35", "#2f8073"))
    skin = "#9ccc65"
    plates = "".join(
        path(f"M{x} {y}l8 -5l8 5v9l-8 5l-8 -5z", mix(shell, "#ffffff", 0.28))
        for x, y in ((-34, -28), (-14, -42), (-14, -22), (6, -28))
    )
    return (
        path("M-40 -14L-54 -6L-38 -6Z", skin)
        + rect(-34, -16, 14, 16, skin, 'rx="6"')
        + rect(8, -16, 14, 16, skin, 'rx="6"')
        + path("M18 -18Q34 -18 34 -34Q36 -46 46 -46Q58 -44 56 -32Q52 -12 24 -8Z", skin)
        + path("M-44 -14C-44 -66 32 -66 30 -14Z", shell)
        + plates
        + rect(-47, -17, 80, 7, mix(shell, "#000000", 0.25), 'rx="3.5"')
        + circle(48, -36, 2.6, _INK)
        + line("M50 -27Q53 -26 55 -28", _INK, 1.8)
    )


def bee(rng: random.Random) -> str:
    """A flying bee."""
    body = rng.choice(("#ffc928", "#f7b32b", "#ffd54a"))
    return (
        ellipse(-8, -66, 13, 21, "#e3f4ff", 'transform="rotate(-24 -8 -50)"')
        + ellipse(12, -66, 13, 21, "#cfeafc", 'transform="rotate(20 12 -50)"')
        + path("M-42 -30L-52 -26L-42 -24Z", _INK)
        + ellipse(-6, -30, 38, 24, body)
        + path(
            "M-28 -49Q-34 -30 -28 -11Q-22 -7 -17 -7Q-22 -30 -17 -53Q-22 -52 -28 -49Z"
            "M-6 -54Q-10 -30 -6 -6H5Q1 -30 5 -53Z",
            _INK,
        )
        + circle(32, -34, 17, body)
        + line("M32 -50Q34 -62 42 -64M24 -49Q24 -62 30 -68", _INK, 2.4)
        + circle(37, -37, 3.6, _INK)
        + line("M32 -27Q37 -24 42 -28", _INK, 2.2)
    )


def flamingo(rng: random.Random) -> str:
    """A flamingo on one leg."""
    pink = rng.choice(("#f77fa8", "#fb8f9f", "#f56f95"))
    return (
        line("M-4 -34V-1H6", "#e0567f", 3.4)
        + line("M4 -32L16 -20L-2 -16", "#e0567f", 3.4)
        + path("M-34 -34Q-30 -58 0 -54Q22 -52 20 -40Q16 -28 -4 -28Q-24 -28 -34 -34Z", pink)
        + path("M-38 -38Q-24 -50 2 -46Q-8 -32 -38 -38Z", mix(pink, "#000000", 0.15))
        + line("M16 -42Q36 -52 20 -66Q10 -78 22 -84", pink, 7.5)
        + circle(24, -84, 8, pink)
        + path("M29 -90Q42 -88 38 -74Q34 -78 30 -79Z", "#fff3ea")
        + path("M38.5 -82Q40 -78 38 -74L34 -78Z", _INK)
        + circle(25, -86, 2, _INK)
    )


def sunflower(rng: random.Random) -> str:
    """A sunflower."""
    petal = rng.choice(("#ffc928", "#ffb61c", "#ffd84a"))
    ring = "".join(
        ellipse(0, -83, 6.5, 14, petal, f'transform="rotate({25.7 * i:.0f} 0 -58)"') for i in range(14)
    )
    return (
        line("M0 0V-50", "#3f8f3a", 5)
        + path("M0 -8Q-30 -8 -32 -28Q-8 -28 0 -8ZM0 -14Q28 -14 32 -34Q8 -34 0 -14Z", "#52a845")
        + ring
        + circle(0, -58, 17, "#6b3f1e")
        + circle(0, -58, 10, "#8a5526")
    )


def tulip(rng: random.Random) -> str:
    """A tulip with two leaves."""
    color = rng.choice(("#e5484d", "#d9408f", "#8f4fc9"))
    return (
        line("M0 0V-50", "#4a9a3f", 5)
        + path("M0 0Q-34 -20 -28 -56Q-4 -34 0 0ZM0 0Q32 -16 30 -48Q4 -32 0 0Z", "#5cb04c")
        + path(
            "M-20 -50Q-24 -74 -18 -88L-8 -76L0 -92L8 -76L18 -88Q24 -74 20 -50Q10 -40 0 -40Q-10 -40 -20 -50Z",
            color,
        )
        + path("M0 -92Q12 -68 0 -40Q-12 -68 0 -92Z", mix(color, "#ffffff", 0.25))
    )


def palm_tree(rng: random.Random) -> str:
    """A tall palm tree."""
    leaf = rng.choice(("#2f9a50", "#3fae4a", "#228a5a"))
    fronds = "".join(
        path(
            "M0 0Q18 -20 42 -6Q22 -8 0 0Z",
            leaf if i % 2 else mix(leaf, "#000000", 0.15),
            f'transform="translate(4,-70) rotate({turn})"',
        )
        for i, turn in enumerate((-172, -140, -100, -60, -20, 14, 150, 192))
    )
    rings = "".join(line(f"M{-6 + i * 1.6:.1f} {-9 - 12 * i}h{9 - i}", "#7a4a22", 2) for i in range(5))
    return (
        path("M-9 0Q-4 -40 1 -72H8Q4 -36 6 0Z", "#a9713b")
        + rings
        + fronds
        + "".join(circle(x, -66, 5, "#6b4423") for x in (-1, 9))
    )


def saguaro(rng: random.Random) -> str:
    """A saguaro cactus."""
    green = rng.choice(("#3f9b5a", "#4a9a45", "#2f8f6b"))
    ribs = line("M-4 -74V-4M4 -74V-4", mix(green, "#000000", 0.22), 1.8)
    flowers = "".join(
        circle(x, y, 5, "#f0568c") + circle(x, y, 2, "#ffe27a") for x, y in ((0, -84), (-31, -62), (31, -72))
    )
    return (
        line("M-31 -56V-40Q-31 -30 -20 -30H0M31 -66V-48Q31 -38 20 -38H0", green, 15)
        + rect(-12, -84, 24, 84, green, 'rx="12"')
        + ribs
        + flowers
    )


def pumpkin(rng: random.Random) -> str:
    """A ribbed pumpkin."""
    skin = rng.choice(("#f0862c", "#e8742a", "#f79a35"))
    dark = mix(skin, "#8a2b00", 0.25)
    return (
        ellipse(-26, -28, 22, 27, dark)
        + ellipse(26, -28, 22, 27, dark)
        + ellipse(-14, -29, 19, 29, skin)
        + ellipse(14, -29, 19, 29, skin)
        + ellipse(0, -29, 12, 30, mix(skin, "#ffffff", 0.18))
        + path("M-5 -56Q-2 -70 -12 -76L-3 -80Q6 -72 6 -56Z", "#5a8a35")
        + line("M6 -58Q24 -76 36 -62Q40 -54 32 -54", "#5a8a35", 3)
        + path("M10 -62Q22 -84 38 -76Q32 -60 10 -62Z", "#6bb045")
    )


def corn(rng: random.Random) -> str:
    """An ear of corn in its husk."""
    grain = rng.choice(("#ffd23f", "#f7c02b", "#ffe06a"))
    rows = "".join(
        circle(x + (3.5 if row % 2 else 0), -84 + 6.5 * row, 3, mix(grain, "#b86a00", 0.22))
        for row in range(1, 11)
        for x in (-10.5, -3.5, 3.5)
    )
    return (
        path("M0 -92Q20 -76 18 -40Q16 -10 0 -6Q-16 -10 -18 -40Q-20 -76 0 -92Z", grain)
        + rows
        + path("M-2 0Q-38 -16 -30 -62Q-16 -40 -2 0Z", "#6bb045")
        + path("M2 0Q38 -16 30 -62Q16 -40 2 0Z", "#58a03c")
        + path("M0 2Q-16 -10 -12 -36Q0 -22 0 2ZM0 2Q16 -10 12 -36Q0 -22 0 2Z", "#86c455")
    )


def strawberry(rng: random.Random) -> str:
    """A ripe strawberry."""
    skin = rng.choice(("#e8303f", "#d92a4a", "#f0443f"))
    seeds = "".join(
        ellipse(x, y, 1.8, 2.8, "#ffe08a")
        for x, y in (
            (-22, -50),
            (-8, -52),
            (8, -52),
            (22, -50),
            (-16, -38),
            (0, -39),
            (16, -38),
            (-9, -25),
            (9, -25),
            (0, -12),
        )
    )
    return (
        path("M0 0Q-40 -26 -36 -54Q-30 -68 0 -64Q30 -68 36 -54Q40 -26 0 0Z", skin)
        + seeds
        + path(
            "M0 -58L-14 -46L-14 -58L-32 -54L-20 -66L-30 -76L-8 -72L0 -82L8 -72L30 -76L20 -66L32 -54L14 -58L14 -46Z",
            "#4fae45",
        )
        + line("M0 -76Q2 -84 8 -88", "#4fae45", 4)
    )


def water_lily(rng: random.Random) -> str:
    """A water lily with its round leaf."""
    petal = rng.choice(("#ffd3e6", "#fff3fb", "#f7a8d0"))
    outer = "".join(
        path(
            "M0 0Q-13 -26 0 -46Q13 -26 0 0Z",
            mix(petal, "#d9408f", 0.22),
            f'transform="translate(0,-14) rotate({a})"',
        )
        for a in (-78, -48, 48, 78, -20, 20)
    )
    inner = "".join(
        path("M0 0Q-11 -22 0 -38Q11 -22 0 0Z", petal, f'transform="translate(0,-12) rotate({a})"')
        for a in (-62, -32, 32, 62, 0)
    )
    return (
        path("M0 -2L44 -16A52 16 0 1 1 20 -21Z", "#3f9a55")
        + line("M0 -2L-40 2M0 -2L-14 10M0 -2L22 9M0 -2L-28 -12", "#2f7f45", 1.6)
        + outer
        + inner
        + circle(0, -14, 7, "#ffc928")
    )


def carrot(rng: random.Random) -> str:
    """A carrot with its greens."""
    root = rng.choice(("#f5822a", "#ef6f22", "#f7963c"))
    leaves = "".join(
        path("M0 0Q-8 -16 0 -34Q8 -16 0 0Z", c, f'transform="translate(0,-58) rotate({a})"')
        for a, c in ((-44, "#4fa83f"), (44, "#4fa83f"), (-20, "#63bb4c"), (20, "#63bb4c"), (0, "#4fa83f"))
    )
    marks = line("M-16 -46h12M14 -38h-11M-11 -28h10M8 -18h-7", mix(root, "#7a2b00", 0.3), 2.4)
    return leaves + path("M0 2Q-16 -24 -20 -52Q-16 -62 0 -62Q16 -62 20 -52Q16 -24 0 2Z", root) + marks


def apple_tree(rng: random.Random) -> str:
    """A round tree full of red apples."""
    leaf = rng.choice(("#4aa84a", "#3b9a52", "#5fae3f"))
    crown = "".join(
        circle(x, y, r, leaf) for x, y, r in ((-24, -48, 19), (24, -48, 19), (0, -64, 24), (0, -44, 20))
    )
    spots = ((-28, -46), (-12, -58), (4, -44), (20, -60), (30, -44), (-4, -76), (-16, -38))
    turn = rng.uniform(-0.3, 0.3)
    apples = "".join(
        circle(x + 3 * math.sin(turn * x), y, 5.4, "#e3342f")
        + circle(x - 1.6 + 3 * math.sin(turn * x), y - 1.8, 1.5, "#ff9a8a")
        for x, y in spots
    )
    return path("M-7 0Q-3 -16 -5 -36H5Q3 -16 7 0Z", "#85532e") + crown + apples
