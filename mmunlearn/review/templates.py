"""HTML from templates: data is escaped, and a page may load nothing and run nothing but its own script."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

FOLDER = Path(__file__).parent


def render(template: str, script: str = "", **context: Any) -> str:
    """Render `<template>.html.j2` with the style shared by all pages.

    Args:
        script: name of the page's script (`<script>.js.j2`); the policy names its digest, so that a script that
            slipped in with the data would not run. Empty: the page runs none.
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
    allowed = ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", "base-uri 'none'"]
    allowed += ["form-action 'none'", *([f"script-src 'sha256-{digest}'"] if script else [])]
    return environment.get_template(f"{template}.html.j2").render(
        policy="; ".join(allowed),
        script=Markup(code),
        style=Markup(environment.get_template("review.css.j2").render()),
        **context,
    )
