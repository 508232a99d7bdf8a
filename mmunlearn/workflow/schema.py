"""What resources/config.schema.yaml says of a merged configuration: problems in a line each, defaults, and its paths.

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mmunlearn.text import nearest

SCHEMA = Path(__file__).resolve().parents[2] / "resources" / "config.schema.yaml"
LARGEST = 2**53
"""The largest number that any key takes: integers above are not exact as floats."""
READ_AS = {
    bool: "true or false (so are yes, no, on and off)",
    int: "a number",
    float: "a number",
    type(None): "nothing",
}
"""How YAML reads what is not in quotes; all others it reads as dates or objects."""


TYPES = {
    "object": "a section with keys",
    "array": "a list",
    "string": "text",
    "integer": "a whole number without a point",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
"""What JSON Schema's types are called."""
NO_TARGETS = "`targets` belongs to `methods`; lifelong.methods has none"


class Place(NamedTuple):
    """A path that the configuration names.

    Attributes:
        key: the keys that lead to it.
        kind: `file`, `folder`, `any` of the two, or `made`, a file that the run itself makes.
    """

    key: tuple[str, ...]
    kind: str
    path: str


@cache
def schema() -> dict[str, Any]:
    """The schema as it is written."""
    return yaml.load(SCHEMA.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def model_defaults() -> dict[str, Any]:
    """What a row of `models` has where it leaves a key out."""
    row = schema()["properties"]["models"]["additionalProperties"]["properties"]
    return {key: one["default"] for key, one in row.items() if "default" in one}


def places(config: Mapping[str, Any]) -> list[Place]:
    """All paths of a configuration, right or wrong."""
    return list(_places(config, schema(), ()))


def _places(value: Any, node: Mapping[str, Any], key: tuple[str, ...]) -> Iterator[Place]:
    node = _resolved(node)
    if isinstance(value, str) and "path" in node:
        yield Place(key, node["path"], value)
    for name, one in value.items() if isinstance(value, Mapping) else ():
        if child := _child(node, name):
            yield from _places(one, child, (*key, name))


def _resolved(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node with what its $ref says."""
    name = node.get("$ref", "").rpartition("/")[2]
    return {**schema()["$defs"].get(name, {}), **node}


def _child(node: Mapping[str, Any], name: Any) -> dict[str, Any]:
    """The node of a key, or of an item of a list."""
    if isinstance(name, int):
        child = node.get("items")
    else:
        child = node.get("properties", {}).get(name, node.get("additionalProperties"))
    return child if isinstance(child, dict) else {}


def problems(config: Mapping[str, Any]) -> list[str]:
    """What the schema refuses, a line each; what YAML has read as something else than text and numbers comes first."""
    found = list(_unplain(config, ""))
    return found or [
        line for error in sorted(_validator().iter_errors(config), key=_order) for line in _explain(error)
    ]


def _order(error: Any) -> list[str]:
    return list(map(str, error.absolute_path))


@cache
def _validator() -> Any:
    """Stricter than JSON Schema by default: 1.0 is no integer, and a regular expression must be one."""
    from jsonschema import Draft202012Validator, FormatChecker, validators

    integer = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    strict = validators.extend(Draft202012Validator, type_checker=integer)
    return strict(schema(), format_checker=FormatChecker(["regex"]))


def _unplain(value: Any, where: str) -> Iterator[str]:
    """Keys that are no text, numbers that are not finite, and values that are neither text, number, list nor row."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            if isinstance(key, str):
                yield from _unplain(one, f"{where}.{key}".strip("."))
            else:
                yield f"{where or 'top level'}: {unquoted(key, str(key))}"
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _unplain(one, f"{where}.{number}")
    elif isinstance(value, str):
        if strange := [
            one for one in value if unicodedata.category(one) in ("Cc", "Cs") and one not in "\n\t"
        ]:
            yield f"{where}: {strange[0]!r} is in the text, a character that does not print; leave it out"
    elif isinstance(value, int | float):
        if not abs(value) <= LARGEST:
            yield f"{where}: a number is asked for; found {_short(value)}; write a finite one, {LARGEST} at most"
    elif value is not None:
        yield f"{where}: {unquoted(value, str(value))}"


def unquoted(read: Any, text: str) -> str:
    """What to say of a key or a value that YAML has not read as the text that it looks like."""
    kind = next((words for one, words in READ_AS.items() if type(read) is one), f"a {type(read).__name__}")
    return f"text is asked for; found {_short(text)}, which YAML reads as {kind}; put it in quotes"


def _explain(error: Any) -> list[str]:
    key = list(error.absolute_path)
    where = ".".join(map(str, key)) or "top level"
    node = schema()
    for name in key:
        node = _resolved(_child(node, name))
    about = node.get("description", "").rstrip(".")
    if key and key[-1] == "key_env":
        return [f"{where}: the name of an environment variable (A-Z, 0-9, _) or null, never the key itself"]
    if key and key[-1] == "base_url":
        return [
            f"{where}: an address such as https://api.openai.com/v1, without user, password, query or white space"
        ]
    if key[:2] == ["lifelong", "methods"] and key[-1] == "targets":
        return [f"{where}: {NO_TARGETS}"]
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        names = [".".join(map(str, [*key, name])) for name in error.instance if name not in known]
        return [f"unknown key '{_flat(name)}': {nearest(name.rpartition('.')[2], known)}" for name in names]
    if error.validator != "required" and ("openai" in key or "base_url" in str(error.schema)):
        return [f"{where}: {error.validator} must be {error.validator_value}"]  # what is there may be a key
    if "propertyNames" in error.absolute_schema_path:
        asked = f"{where}: a name of {error.schema['description']} is asked for"
    elif error.validator == "pattern":
        asked = f"{where}: {error.schema.get('$comment', 'text of another form')} is asked for"
    elif error.validator == "type":
        asked = f"{where}: {' or '.join(TYPES[one] for one in _types(error.schema))} is asked for"
    else:
        asked = f"{where}: {_flat(error.message)}"
        asked += _misread(error.instance, {"string"}) if error.validator == "enum" else ""
    if error.validator in ("type", "pattern") or "propertyNames" in error.absolute_schema_path:
        asked += f"; found {_short(error.instance)}{_misread(error.instance, {*_types(error.schema)})}"
    return [f"{asked} ({about})" if about else asked]


def _misread(found: Any, types: set[str]) -> str:
    """A hint where YAML has read a text as something else, or something else as a text."""
    if "string" in types and type(found) in (bool, int, float):
        return f", which YAML reads as {READ_AS[type(found)]}; put it in quotes"
    if types & {"number", "integer"} and isinstance(found, str):
        return (
            ", which is read as text; write digits, with a point, as 1.0e-4, and lists and sections in a file"
        )
    return ""


def _types(node: Mapping[str, Any]) -> list[str]:
    types = node.get("type", [])
    return [types] if isinstance(types, str) else types


def _flat(text: str) -> str:
    """A text in one line, and not longer than a line or two."""
    text = text.replace("\n", "\\n").replace("\r", "\\r")
    return text if len(text) <= 200 else f"{text[:90]} ... {text[-100:]}"


def _short(value: Any) -> str:
    return _flat(repr(value))
