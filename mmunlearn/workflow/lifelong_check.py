"""What must hold across the keys of the section `lifelong`.

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmunlearn.endpoint import ChatError, check_endpoint
from mmunlearn.files import RecordError
from mmunlearn.pocket.cast import draw_cast
from mmunlearn.tasks import order_id
from mmunlearn.text import fold, model_token, nearest
from mmunlearn.training.methods import METHODS
from mmunlearn.training.methods.light import check_method
from mmunlearn.workflow.lifelong import FOLDERS, KNOWN, ROW_KEYS, labels
from mmunlearn.workflow.schema import NO_TARGETS

Config = Mapping[str, Any]


def conflicts(config: Config) -> Iterable[str]:
    """Problems of the section of a configuration that fits the schema, a line each."""
    own = config["lifelong"]
    yield from _orders(own)
    for name, row in own["methods"].items():
        yield from _row(name, row, own["tasks"])
    yield from _names(own)
    yield from _gates(own)
    yield from _drawn(own, config["seed"])
    chosen = {"methods": {**own["methods"], **own["lumoe"]}, "models": config["models"]}
    for key, known in chosen.items():
        for name in own["drift"][key] or ():
            if name not in known:
                yield f"lifelong.drift.{key}: '{name}' is none of them; {nearest(name, known)}"
            elif key == "methods" and own["lumoe"].get(name, {}).get("gate") == "none":
                yield f"lifelong.drift.methods: '{name}' is the base, which does not move; leave it out"


def _orders(own: Config) -> Iterable[str]:
    tasks, orders = own["tasks"], own["orders"] or []
    if len({name.casefold() for name in tasks}) < len(tasks):
        yield "lifelong.tasks: two names differ in capitals alone, which some file systems do not; rename one"
    for number, order in enumerate(orders):
        if sorted(order) != sorted(tasks):
            found = ", ".join(order)
            yield f"lifelong.orders.{number}: {found} is no order of all tasks, {', '.join(tasks)}; name each once"
    spelt = [order_id(order) for order in orders]
    for name in sorted({one for one in spelt if spelt.count(one) > 1}):
        yield f"lifelong.orders: two orders are both spelt {name}; name tasks by one letter each"


def _drawn(own: Config, seed: int) -> Iterable[str]:
    """What the draw of the pocket tasks would refuse."""
    if own["data"] == "pocket" and Path(KNOWN).is_file():
        try:
            draw_cast({**own["pocket"], "known": KNOWN}, own["tasks"], seed)
        except RecordError as error:
            yield f"lifelong.pocket: {error}"


def _row(name: str, row: Config, tasks: list[str]) -> Iterable[str]:
    where, method = f"lifelong.methods.{name}", row.get("method", name)
    if method not in METHODS:
        key = f"{where}.method" if "method" in row else where
        yield f"{key}: '{method}' is no method; {nearest(method, METHODS)}"
        return
    if "targets" in row:
        yield f"{where}.targets: {NO_TARGETS}"
        return
    if "event_cap" in METHODS[method].options:
        yield f"{where}: {method} weighs people against events, which tasks do not tell apart; take gd, kl or another"
    known = "path" in row or "reference" in METHODS[method].options  # else check_method refuses the key
    if known and row.get("reference") == "refusals":
        yield f"{where}.reference: no model is trained on refusals here; leave it out, or see reference_model"
    try:
        check_method(method, {key: value for key, value in row.items() if key not in ROW_KEYS})
    except ValueError as error:
        yield from (line.replace(f"methods.{method}", where) for line in str(error).splitlines())
    for task in row.get("task_rates", {}):
        if task not in tasks:
            yield f"{where}.task_rates: '{task}' is no task; {nearest(task, tasks)}"


def _names(own: Config) -> Iterable[str]:
    for name in own["lumoe"]:
        if name in own["methods"]:
            yield f"lifelong.lumoe.{name}: a row of lifelong.methods has this name, too; rename one"
    for section in ("methods", "lumoe"):
        for name in FOLDERS & own[section].keys():
            yield f"lifelong.{section}.{name}: the name of a folder that the run makes; rename the row"
    first: dict[str, str] = {}
    for name, label in labels(own).items():
        if (other := first.setdefault(fold(label), name)) != name:
            yield f"lifelong: rows {other} and {name} are both spelt '{label}'; give one a label"


def _gates(own: Config) -> Iterable[str]:
    used = {row["gate"] for row in own["lumoe"].values()}
    vlm, clip = own["gates"]["vlm"], own["gates"]["clip"]
    if clip["names"] and clip["encoder"] is None:
        yield "lifelong.gates.clip.names: the base's own features know no names; name an encoder, or set it to false"
    if "clip" in used and not (clip["names"] or clip["prototypes"]):
        yield "lifelong.gates.clip: pictures are compared with nothing; set names or prototypes to true"
    if "clip" in used and clip["prototypes"] and own["test_share"] is None:
        yield (
            "lifelong.gates.clip.prototypes: with test_share null they are made of the very pictures that are asked; "
            "set prototypes to false, or test_share to the share to hold out"
        )
    if "{name}" not in clip["prompt"]:
        yield "lifelong.gates.clip.prompt: {name} is the place of the name; it is missing"
    asked = {"class_question": vlm["class_question"]}
    asked |= {f"name_questions.{kind}": text for kind, text in vlm["name_questions"].items()}
    for key, text in asked.items():
        if token := model_token(text):
            yield f"lifelong.gates.vlm.{key}: models may read '{token}' as a token of their own; leave out < and >"
    try:
        check_endpoint(vlm["openai"]["base_url"], vlm["openai"]["key_env"])
    except ChatError as error:
        yield f"lifelong.gates.vlm.openai: {error}"
