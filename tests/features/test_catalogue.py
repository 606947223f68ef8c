"""What is generated from the declarations is what is committed."""

import json
from pathlib import Path

from everstay.features.activity import FEATURES, declare_sections
from everstay.features.catalogue import features_page, suite_with_ranges, value_range

ROOT = Path(__file__).parents[2]
AGAIN = "run `make docs`"


def test_the_page_is_up_to_date():
    page = (ROOT / "docs/features.md").read_text(encoding="utf-8")
    assert page == features_page(), AGAIN
    assert all(page.count(f"| `{feature.name}` |") == 1 for feature in FEATURES)


def test_the_ranges_are_up_to_date():
    suite = (ROOT / "expectations/user_features.json").read_text(encoding="utf-8")
    assert suite == suite_with_ranges(suite), AGAIN


def test_ranges_are_added_and_dropped_and_all_else_is_kept():
    suite = (ROOT / "expectations/user_features.json").read_text(encoding="utf-8")
    foreign = suite.replace('"orders_7d", "min_value"', '"gone_7d", "min_value"')
    assert foreign != suite
    assert suite_with_ranges(foreign) == suite
    kept = [entry for entry in json.loads(suite)["expectations"] if "expect_column_values_to_not" in entry["type"]]
    assert kept == [
        entry
        for entry in json.loads(suite_with_ranges(suite))["expectations"]
        if "expect_column_values_to_not" in entry["type"]
    ]
    assert kept


def test_every_feature_has_one_line_of_meaning_and_a_unit_with_a_range():
    for feature in FEATURES:
        low, high, words = value_range(feature)
        assert low < high
        assert words
        assert feature.meaning
        assert "\n" not in feature.meaning
        assert "|" not in feature.meaning
    assert sum(map(len, declare_sections().values())) == len(FEATURES)
