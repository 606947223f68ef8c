"""What is generated from the declarations: the page of all features, and the range that each must stay in."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from everstay import tables as t
from everstay.features.activity import FEATURES, declare_sections
from everstay.features.feature import Feature

Entry: TypeAlias = Mapping[str, Any]

_RANGE = "expect_column_values_to_be_between"
_MOST = 1e9
_CENTURY = 36_525
_COUNT = (0, _MOST, "not negative and finite")
_MONEY = (0, 1e14, "not negative and below a hundred trillion")  # of which whole ten-thousandths fit into 64 bits
_UNITS: Mapping[str, tuple[float, float, str]] = {
    "share": (0, 1, "within 0 to 1"),
    "change": (-1, 1, "within -1 to 1"),
    "days": (0, _CENTURY, "not negative and below a century"),
    "hours": (0, 24, "a time of day"),
    "nats": (0, 20, "within 0 to 20"),
    "score": (1, 5, "within 1 to 5"),
    "points": (3, 15, "within 3 to 15"),
    "state": (0, 5, "within 0 to 5"),
    "stars": (0, 5, "within 0 to 5"),
    "stars more": (-5, 5, "within -5 to 5"),
    "standard deviations": (-_MOST, _MOST, "finite"),
    **dict.fromkeys(("currency", "currency per order", "currency per piece"), _MONEY),
    **dict.fromkeys(
        (
            "orders", "pieces", "items", "categories", "events", "sessions", "campaigns", "minutes", "ratio",
            "events per session", "pieces per order", "coupons per order",
        ),
        _COUNT,
    ),
}  # fmt: skip
"""Lowest and highest value of each unit, in words as well."""

_INTRODUCTION = f"""# Features

What Everstay knows about a user as of a midnight UTC: {len(FEATURES)} columns of `user_features`. `make docs` generates
this page, and the ranges in `expectations/user_features.json`, from the declarations in `src/everstay/features/`.

- A feature uses only events that occurred and were recorded before the as-of. A window of n days is the n whole days
  before it; "history" is everything before it.
- Counts and sums are 0 where nothing happened; what is undefined is null.
- "Own" events are all but messages sent to the user.
- An order is dated by its first line. Without an order id, a user's purchases of one UTC day are one order.
- A session is dated by its first event. Events without a session id are one session as long as no more than 30 minutes
  pass between them.
- Features that compare a user with all others use all users' events before the same as-of.
- A share is a part of its whole, a change lies from -1 to 1, entropy is in nats.
"""


def features_page() -> str:
    """`docs/features.md`."""
    return "\n".join([_INTRODUCTION, *(_section(*section) for section in declare_sections().items())])


def _section(title: str, features: Sequence[Feature]) -> str:
    rows = (f"| `{one.name}` | {one.unit} | {_window(one)} | {one.meaning} |" for one in features)
    return "\n".join([f"## {title}", "", "| feature | unit | window | meaning |", "|---|---|---|---|", *rows, ""])


def _window(feature: Feature) -> str:
    return "history" if feature.window_days is None else f"{feature.window_days} days"


def value_range(feature: Feature) -> tuple[float, float, str]:
    """Lowest and highest value, and both in words.

    Raises:
        KeyError: the unit has no range yet.
    """
    if feature.unit == "days" and feature.window_days is not None:
        return 0, feature.window_days + 1, "within 0 and the days the window touches"
    return _UNITS[feature.unit]


def suite_with_ranges(suite: str) -> str:
    """The suite of `user_features`, a JSON text, with the range of each feature; everything else is kept."""
    content = json.loads(suite)
    kept = [entry for entry in content["expectations"] if not _is_feature_range(entry)]
    entries = ",\n".join(_entry(entry) for entry in (*kept, *_ranges()))
    head = {name: value for name, value in content.items() if name != "expectations"}
    lines = "".join(f"  {json.dumps(name)}: {json.dumps(value)},\n" for name, value in head.items())
    return f'{{\n{lines}  "expectations": [\n{entries}\n  ]\n}}\n'


def _is_feature_range(entry: Entry) -> bool:
    return entry["type"] == _RANGE and "meta" not in entry and entry["kwargs"]["column"] != t.AS_OF


def _ranges() -> Iterator[Entry]:
    for feature in FEATURES:
        low, high, words = value_range(feature)
        yield {
            "type": _RANGE,
            "kwargs": {"column": feature.name, "min_value": low, "max_value": high},
            "severity": "critical",
            "description": f"{feature.name} is {words}",
        }


def _entry(entry: Entry) -> str:
    fields = ",\n".join(f"      {json.dumps(name)}: {json.dumps(value)}" for name, value in entry.items())
    return f"    {{\n{fields}\n    }}"
