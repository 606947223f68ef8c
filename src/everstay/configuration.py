"""The base of every candidate's configuration, and how it declares what a search may vary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

Value = int | float | str | bool


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; integers if both are; `log`: on a log scale."""

    low: float
    high: float
    log: bool = False


Space = Mapping[str, Range | Sequence[Value]]
"""Field of a configuration to the range or the choices that are searched."""


class Configuration(BaseModel):
    """What a candidate computes: fields that cannot be changed, and what `make tune` may vary of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    SEARCH: ClassVar[Space] = {}
