"""The project's own suites: a clean table passes, and each corruption is rejected by the expectation meant for it."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from everstay import tables as t
from everstay.errors import DataRejected
from everstay.features.activity import FEATURES
from everstay.validation import ValidationReport

TABLES = (
    t.EVENTS, t.ITEMS, t.USERS, t.TREATMENTS, t.USER_FEATURES, t.CHURN_LABELS, t.CHURN_SCORES, t.RECOMMENDATIONS,
)  # fmt: skip
Corrupt = Callable[[pl.DataFrame], pl.DataFrame]
Check = Callable[..., ValidationReport]
Clean = Mapping[str, pl.DataFrame]
TOO_EARLY = datetime(1970, 1, 1, tzinfo=UTC)


def first_is(column: str, value: Any, rows: int = 1, where: pl.Expr | None = None) -> Corrupt:
    """Put `value` into the first rows (of those that meet a condition)."""

    def corrupt(frame: pl.DataFrame) -> pl.DataFrame:
        meant = pl.lit(True) if where is None else where
        is_hit = meant & (meant.cast(pl.Int32).cum_sum() <= rows)
        return frame.with_columns(
            pl.when(is_hit).then(pl.lit(value)).otherwise(column).cast(frame.schema[column]).alias(column)
        )

    return corrupt


def first_row_twice(**changed: Any) -> Corrupt:
    return lambda frame: pl.concat([frame, frame.head(1).with_columns(**changed).cast(dict(frame.schema))])


def no_rows(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.head(0)


IS_PURCHASE = pl.col(t.EVENT_TYPE) == t.PURCHASE
ID_OF_ITS_OWN = " is a real id, not empty and not a word for missing"
USER_AND_AS_OF: list[tuple[str, Corrupt]] = [
    ("Every row has a user", first_is(t.USER_ID, None)),
    ("A user" + ID_OF_ITS_OWN, first_is(t.USER_ID, "")),
    ("Every row has an as-of", first_is(t.AS_OF, None)),
    ("An as-of lies between 1990 and 2100", first_is(t.AS_OF, TOO_EARLY)),
]
VERSIONS: list[tuple[str, Corrupt]] = [
    ("Every row names the model that made it", first_is(t.MODEL_VERSION, None)),
    ("A model version is a real one, not empty and not a word for missing", first_is(t.MODEL_VERSION, "None")),
    ("Every row names the data it was made from", first_is(t.DATA_VERSION, None)),
    ("A data version is a real one, not empty and not a word for missing", first_is(t.DATA_VERSION, "")),
]
CORRUPTIONS: dict[str, list[tuple[str, Corrupt]]] = {
    t.EVENTS.name: [
        ("There are events", no_rows),
        ("There are purchases", lambda frame: frame.filter(~IS_PURCHASE)),
        ("No event id belongs to two users", first_row_twice(user_id=pl.lit("u1"))),
        (
            "No event is recorded more than a day from now",
            first_is(t.RECORDED_AT, datetime.now(UTC) + timedelta(days=3)),
        ),
        ("Every event has an id", first_is(t.EVENT_ID, None)),
        ("An event id" + ID_OF_ITS_OWN, first_is(t.EVENT_ID, "nan")),
        ("No two events of a part share an id", first_row_twice()),
        ("Every event has a user", first_is(t.USER_ID, None)),
        ("A user" + ID_OF_ITS_OWN, first_is(t.USER_ID, "null")),
        ("Every event has a type", first_is(t.EVENT_TYPE, None)),
        ("An event's type is one that Everstay knows", first_is(t.EVENT_TYPE, "purchased")),
        ("Every event has a time", first_is(t.OCCURRED_AT, None)),
        ("An event occurred between 1990 and 2100", first_is(t.OCCURRED_AT, TOO_EARLY)),
        ("Every event has a time at which it was recorded", first_is(t.RECORDED_AT, None)),
        ("No event is recorded before it occurred", first_is(t.RECORDED_AT, datetime(2022, 1, 1, tzinfo=UTC))),
        ("Every event has a quantity", first_is(t.QUANTITY, None)),
        ("A quantity is not negative", first_is(t.QUANTITY, -3)),
        ("Every event has an amount", first_is(t.AMOUNT, float("nan"))),
        ("An amount is not negative and below a hundred billion", first_is(t.AMOUNT, float("inf"))),
        ("Every event has a discount, which may be zero", first_is(t.DISCOUNT, None)),
        ("A discount is not negative and below a hundred billion", first_is(t.DISCOUNT, -0.01)),
        ("A rating is within 1 to 5", first_is(t.RATING, 6.0)),
        ("An item" + ID_OF_ITS_OWN, first_is(t.ITEM_ID, "undefined")),
        ("99% of the purchases name the item bought", first_is(t.ITEM_ID, None, rows=10, where=IS_PURCHASE)),
    ],
    t.ITEMS.name: [
        ("No two items share an id", first_row_twice()),
        ("Every item has an id", first_is(t.ITEM_ID, None)),
        ("An item id" + ID_OF_ITS_OWN, first_is(t.ITEM_ID, "")),
        ("No two items of a part share an id", first_row_twice()),
        ("A price is not negative and below a hundred billion", first_is(t.PRICE, -1.0)),
    ],
    t.USERS.name: [
        ("No two users share an id", first_row_twice()),
        ("Every user has an id", first_is(t.USER_ID, None)),
        ("A user id" + ID_OF_ITS_OWN, first_is(t.USER_ID, "")),
        ("No two users of a part share an id", first_row_twice()),
        ("A user joined between 1990 and 2100", first_is(t.JOINED_AT, TOO_EARLY)),
    ],
    t.TREATMENTS.name: [
        ("No user is in a campaign twice", first_row_twice()),
        ("Every row has a campaign", first_is(t.CAMPAIGN_ID, None)),
        ("A campaign" + ID_OF_ITS_OWN, first_is(t.CAMPAIGN_ID, "")),
        *USER_AND_AS_OF[:2],
        ("No user of a part is in a campaign twice", first_row_twice(arm=pl.lit("control"))),
        ("Every row has an arm", first_is(t.ARM, None)),
        ("An arm is a real name, not empty and not a word for missing", first_is(t.ARM, "none")),
        ("Every row has a time of assignment", first_is(t.ASSIGNED_AT, None)),
        ("An assignment was made between 1990 and 2100", first_is(t.ASSIGNED_AT, TOO_EARLY)),
        ("A propensity is above 0 and at most 1", first_is(t.PROPENSITY, 0.0)),
        ("A cost is not negative and below a hundred billion", first_is(t.COST, -0.5)),
    ],
    t.CHURN_LABELS.name: [
        ("There are labels", no_rows),
        ("Some users churned and some stayed", first_is(t.CHURNED, True, rows=40)),
        ("No user has two labels for one as-of", first_row_twice()),
        *USER_AND_AS_OF,
        ("No user of a part has two labels for one as-of", first_row_twice()),
        ("Every label says churned or not; an unknown label has no row", first_is(t.CHURNED, None)),
        ("Every label counts the days with an order", first_is(t.ORDER_DAYS, None)),
        ("Days with an order are 0 or more, and no more than the longest window has", first_is(t.ORDER_DAYS, -1)),
        ("Who came back did so after the window began and before the longest window ends", first_is(t.RETURN_DAYS, -1)),
        ("Every label names its horizon", first_is(t.HORIZON_DAYS, None)),
        ("A horizon is between a day and two years", first_is(t.HORIZON_DAYS, 0)),
        ("Every label says when it was known", first_is(t.MATURED_AT, None)),
        ("A label is known only after its as-of", first_is(t.MATURED_AT, datetime(2023, 4, 1, tzinfo=UTC))),
    ],
    t.CHURN_SCORES.name: [
        ("There are scores", no_rows),
        ("No user has two scores for one as-of", first_row_twice()),
        *USER_AND_AS_OF,
        ("No user of a part has two scores for one as-of", first_row_twice()),
        ("Every user has a probability", first_is(t.CHURN_PROBABILITY, float("nan"))),
        ("A probability is within 0 to 1", first_is(t.CHURN_PROBABILITY, 1.01)),
        ("Every user has a risk tier", first_is(t.RISK_TIER, None)),
        ("A risk tier is low, medium or high", first_is(t.RISK_TIER, "extreme")),
        (
            "Every score has a list of reasons, even if empty",
            lambda frame: frame.with_columns(pl.when(pl.col(t.USER_ID) != "u0").then(t.REASONS)),
        ),
        ("A customer value, where it is known, is not negative", first_is(t.CUSTOMER_VALUE, -1.0)),
        ("The low bound of a value is not negative", first_is(t.CUSTOMER_VALUE_LOW, -1.0)),
        ("A value at risk is not negative", first_is(t.VALUE_AT_RISK, -1.0)),
        ("The high bound of a value is not below the low one", first_is(t.CUSTOMER_VALUE_HIGH, 19.0)),
        ("No more is at risk than a user is worth", first_is(t.VALUE_AT_RISK, 101.0)),
        ("A previous probability is within 0 to 1", first_is(t.PREVIOUS_PROBABILITY, 1.1)),
        ("A change of probability is within -1 to 1", first_is(t.PROBABILITY_CHANGE, -1.1)),
        ("The next order is expected at the as-of or later", first_is(t.EXPECTED_ORDER_AT, TOO_EARLY)),
        ("A date of alarm lies between 1990 and 2100", first_is(t.EXPECTED_ALARM_AT, TOO_EARLY)),
        *VERSIONS,
        ("Every score names the gap before its horizon, even if 0", first_is(t.GAP_DAYS, None)),
        ("A gap is between 0 days and a century", first_is(t.GAP_DAYS, -1)),
        ("Every score names the horizon in which a leaver does not order", first_is(t.HORIZON_DAYS, None)),
        ("A horizon is between a day and a century", first_is(t.HORIZON_DAYS, 0)),
    ],
    t.RECOMMENDATIONS.name: [
        ("There are recommendations", no_rows),
        ("Every list holds the ranks 1, 2, 3, … without a gap", lambda frame: frame.slice(1)),
        ("No list holds a rank twice", first_row_twice()),
        *USER_AND_AS_OF,
        ("No list of a part holds a rank twice", first_row_twice(item_id=pl.lit("i9"))),
        ("No list of a part holds an item twice", first_is(t.ITEM_ID, "i2")),
        ("Every row has a rank", first_is(t.RANK, None)),
        ("A rank is within 1 to 1,000", first_is(t.RANK, 0)),
        ("Every row has an item", first_is(t.ITEM_ID, None)),
        ("An item" + ID_OF_ITS_OWN, first_is(t.ITEM_ID, "")),
        ("Every row has a score", first_is(t.SCORE, float("nan"))),
        ("A score is finite", first_is(t.SCORE, float("-inf"))),
        ("Every row says why", first_is(t.REASON, None)),
        ("A reason is neither empty nor a word for missing", first_is(t.REASON, "")),
        *VERSIONS,
    ],
}
ABOUT_SEVERAL_PARTS = "keys_in_several_parts"
CASES = [(table, words, corrupt) for table in TABLES for words, corrupt in CORRUPTIONS.get(table.name, ())]


def entries(table: t.Table, suites: Path) -> list[dict[str, Any]]:
    return json.loads((suites / f"{table.name}.json").read_text())["expectations"]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_clean_table_passes_without_a_warning(table: t.Table, clean: Clean, check: Check) -> None:
    report = check(table, clean[table.name], parts=2)
    assert [outcome.describe() for outcome in (*report.failures, *report.warnings)] == []
    assert report.rows == len(clean[table.name])
    report.raise_for_failures()


@pytest.mark.parametrize("table", [table for table in TABLES if not table.is_open], ids=lambda table: table.name)
def test_each_critical_expectation_has_a_corruption(table: t.Table, suites: Path) -> None:
    critical = {entry["description"] for entry in entries(table, suites) if entry["severity"] == "critical"}
    assert critical == {words for words, _ in CORRUPTIONS[table.name]}


@pytest.mark.parametrize(("table", "words", "corrupt"), CASES, ids=[f"{c[0].name}: {c[1]}" for c in CASES])
def test_a_corruption_is_rejected_by_the_expectation_meant_for_it(
    table: t.Table, words: str, corrupt: Corrupt, clean: Clean, check: Check, suites: Path, tmp_path: Path
) -> None:
    (entry,) = [entry for entry in entries(table, suites) if entry["description"] == words]
    (tmp_path / f"{table.name}.json").write_text(json.dumps({"name": table.name, "expectations": [entry]}))
    frame = corrupt(clean[table.name])
    if entry["kwargs"].get("column") == ABOUT_SEVERAL_PARTS:
        assert check(table, frame, folder=tmp_path).outcomes[0].success
        report = check_each_half(table, frame, check, tmp_path)
    else:
        report = check(table, frame, folder=tmp_path)
    assert [failure.expectation for failure in report.failures] == [words]
    with pytest.raises(DataRejected, match=re.escape(words)):
        report.raise_for_failures()


@pytest.mark.parametrize("column", [t.ORDER_ID, t.SESSION_ID, t.CAMPAIGN_ID])
def test_a_word_for_missing_in_an_id_that_may_be_missing_is_a_warning(column: str, clean: Clean, check: Check) -> None:
    report = check(t.EVENTS, first_is(column, "NULL")(clean[t.EVENTS.name]))
    (warning,) = report.warnings
    assert warning.examples[0] == f"{column} = NULL where event_id = e0"
    report.raise_for_failures()


def check_each_half(table: t.Table, frame: pl.DataFrame, check: Check, folder: Path) -> ValidationReport:
    """Validate the rows but the last, and the last alone, as two parts: the double is then in another part."""
    return check(table, frame, parts=2, folder=folder, split=pl.int_range(pl.len()) // (len(frame) - 1))


def test_each_feature_has_a_range_and_no_other_column_has_one(suites: Path) -> None:
    ranges = [
        entry["kwargs"]["column"]
        for entry in entries(t.USER_FEATURES, suites)
        if entry["type"].endswith("_be_between") and "meta" not in entry
    ]
    assert sorted(ranges) == sorted([t.AS_OF, *(feature.name for feature in FEATURES)])


@pytest.mark.parametrize("value", [-1e12, float("inf")])
def test_each_feature_out_of_range_is_rejected(value: float, clean: Clean, check: Check) -> None:
    names = [feature.name for feature in FEATURES]
    report = check(t.USER_FEATURES, clean[t.USER_FEATURES.name].with_columns(pl.lit(value).alias(n) for n in names))
    failed = {failure.column for failure in report.failures if f"{failure.column} is" in failure.expectation}
    assert failed >= set(names)


def test_longer_windows_hold_no_less(clean: Clean, check: Check) -> None:
    frame = clean[t.USER_FEATURES.name].with_columns(pl.lit(500.0).alias("orders_7d"))
    assert "orders of 28 days are not below those of 7 days" in {
        failure.expectation for failure in check(t.USER_FEATURES, frame).failures
    }


def test_two_rows_of_features_for_one_user_and_as_of_are_rejected(clean: Clean, check: Check) -> None:
    report = check(t.USER_FEATURES, first_row_twice()(clean[t.USER_FEATURES.name]))
    assert [failure.expectation for failure in report.failures] == ["No user of a part has two rows for one as-of"]
