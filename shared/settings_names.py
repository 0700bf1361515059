"""The names of settings, as variables have them, and what is said of one that is none: pure functions of the model."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel

DELIMITER = "__"
# A name so far off is another word; a hint would mislead.
_ALIKE = 0.75
# A sentence, not a manual: more are in the README.
_SHOWN = 6

Fields = type[BaseModel]


def wrong_names(environ: Mapping[str, str], prefix: str, model: Fields) -> list[str]:
    """A sentence for each variable with the prefix that is no setting, or that gives a whole group one value."""
    told = (_wrong(name, prefix, model, value) for name, value in environ.items() if name.startswith(prefix))
    return [sentence for sentence in told if sentence is not None]


def no_setting(name: str, prefix: str, model: Fields) -> str:
    """`name`: a variable, or what would be one if it came from a file."""
    near = _near(name.removeprefix(prefix).lower(), model)
    hint = f" Did you mean {prefix}{near.upper()}?" if near else ""
    return f"{name} is no setting of Callcard.{hint}"


def group_without_value(name: str, prefix: str, model: Fields) -> str | None:
    """If `name` is that of a group: a sentence that says what to set in its place."""
    named, group = _at(_path(name, prefix), model) or (False, None)
    if group is None:
        return None
    begin = f"{name}{DELIMITER}MAIN" if named else name
    some = [f"{begin}{DELIMITER}{field.upper()}" for field in list(group.model_fields)[:_SHOWN]]
    more = ", …" if len(group.model_fields) > _SHOWN else ""
    return f"{name} is a group of settings and has no value itself: set {', '.join(some)}{more}."


def _wrong(name: str, prefix: str, model: Fields, value: str) -> str | None:
    if _at(_path(name, prefix), model) is None:
        return no_setting(name, prefix, model)
    return None if _is_object(value) else group_without_value(name, prefix, model)


def _path(name: str, prefix: str) -> list[str]:
    return name.removeprefix(prefix).lower().split(DELIMITER)


def _at(path: Sequence[str], model: Fields) -> tuple[bool, Fields | None] | None:
    """What is there: (False, None) a setting, (False, its settings) a group, (True, settings of each) a group of groups
    with names of their own; None: nothing."""
    head, rest = path[0], list(path[1:])
    if head not in model.model_fields:
        return None
    kind = model.model_fields[head].annotation
    if (group := _group(kind)) is not None:
        return _at(rest, group) if rest else (False, group)
    if get_origin(kind) is dict:
        each = _group(get_args(kind)[1])
        if each is None:  # names with texts: `…__MAP__NAME` is one of them
            return False, None
        if not rest:
            return True, each
        return _at(rest[1:], each) if rest[1:] else (False, each)
    return None if rest else (False, None)


def _group(kind: Any) -> Fields | None:
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _is_object(value: str) -> bool:
    """A group may be given whole, as JSON."""
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False


def _near(name: str, model: Fields) -> str | None:
    """The setting that was probably meant: first by the letters alone, as one underscore is easily one too few."""
    given = [word for word in re.split("_+", name) if word]
    key = given[1] if len(given) > 1 else "main"
    known = {path.replace(DELIMITER, "_"): path for path in _paths(model, key)}
    near = get_close_matches("_".join(given), known, n=1, cutoff=_ALIKE)
    return known[near[0]] if near else None


def _paths(model: Fields, key: str) -> Iterator[str]:
    """All settings; `key`: the name in groups that have names."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        each = _group(get_args(kind)[1]) if get_origin(kind) is dict else None
        group = _group(kind)
        if each is not None:
            yield from (f"{name}{DELIMITER}{key}{DELIMITER}{path}" for path in _paths(each, key))
        elif group is not None:
            yield from (f"{name}{DELIMITER}{path}" for path in _paths(group, key))
        else:
            yield name
