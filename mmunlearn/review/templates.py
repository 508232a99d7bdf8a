"""HTML from templates: data is escaped, and a page may run nothing but its own script.

A page may load nothing either, but for pictures of its own run where it asks for that.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

FOLDER = Path(__file__).parent


def render(template: str, script: str = "", files: bool = False, **context: Any) -> str:
    """Render `<template>.html.j2` with the style shared by all pages.

    Args:
        script: name of the page's script (`<script>.js.j2`); the policy names its digest, so that a script that
            slipped in with the data would not run. Empty: the page runs none.
        files: whether the page may load pictures from the disk or the server that it comes from.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    code = environment.get_template(f"{script}.js.j2").render() if script else ""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    pictures = "img-src data: 'self' file:" if files else "img-src data:"
    allowed = ["default-src 'none'", pictures, "style-src 'unsafe-inline'", "base-uri 'none'"]
    allowed += ["form-action 'none'", *([f"script-src 'sha256-{digest}'"] if script else [])]
    return environment.get_template(f"{template}.html.j2").render(
        policy="; ".join(allowed),
        script=Markup(code),
        style=Markup(environment.get_template("review.css.j2").render()),
        **context,
    )
