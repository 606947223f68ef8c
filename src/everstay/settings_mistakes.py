"""Messages for mistakes in the settings: the key, what is wrong, and which key may have been meant."""

import difflib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from everstay.errors import SettingsError

_WORDS = {
    "tuple_type": 'must be a list, for example ["one", "two"]',
    "model_type": "is a section with its own keys, not a value",
    "date_from_datetime_parsing": "must be a date, for example 2017-12-02",
    "date_from_datetime_inexact": "must be a date without a time, for example 2017-12-02",
}
"""Our messages in place of pydantic's, by pydantic's error type."""


def explain_mistakes(error: ValidationError, file: Path, settings: type[BaseModel]) -> str:
    """All mistakes of a file and of variables, one after another."""
    lines = []
    for problem in error.errors():
        path = tuple(str(part) for part in problem["loc"])
        key = ".".join(path)
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown key '{key}'{nearest_key(path, settings)}")
        else:
            words = _WORDS.get(problem["type"], problem["msg"])
            lines.append(f"{key or 'settings'}: {words} (given: {problem['input']!r})")
    return f"{file} or EVERSTAY_* variables: " + "; ".join(lines)


def refuse_unknown_variables(prefix: str, others: Sequence[str], settings: type[BaseModel]) -> None:
    """Refuse variables with our prefix that name no section; pydantic would ignore them.

    Args:
        prefix: of all variables.
        others: known ones that are no settings.
        settings: the root model.

    Raises:
        SettingsError: names the variable, and the nearest of the others or the nearest section.
    """
    for variable in os.environ:
        if not variable.startswith(prefix) or variable in others:
            continue
        first = variable.removeprefix(prefix).lower().split("__")[0]
        if first not in settings.model_fields:
            near = difflib.get_close_matches(variable, others, n=1, cutoff=0.85)
            hint = f"; did you mean {near[0]}?" if near else nearest_key((first,), settings)
            raise SettingsError(f"environment variable {variable}: unknown key '{first}'{hint}")


def nearest_key(path: tuple[str, ...], settings: type[BaseModel]) -> str:
    """Words that name the valid key most like the last part of `path`, or the sections that have a key of that name."""
    model: Any = settings
    for part in path[:-1]:
        field = model.model_fields.get(part)
        model = getattr(field, "annotation", None)
        if model is None or not hasattr(model, "model_fields"):
            return ""
    valid = list(model.model_fields)
    match = difflib.get_close_matches(path[-1], valid, n=1, cutoff=0.5)
    elsewhere = [f"'{'.'.join(place)}'" for place in _keys(settings) if place[-1] == path[-1]]
    if elsewhere:
        return f"; it exists as {' and '.join(elsewhere)}"
    if match:
        return f"; did you mean '{'.'.join((*path[:-1], match[0]))}'?"
    return f"; valid keys are {', '.join(valid)}"


def _keys(model: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """All keys with their sections."""
    for name, field in model.model_fields.items():
        yield (*above, name)
        if hasattr(field.annotation, "model_fields"):
            yield from _keys(field.annotation, (*above, name))
