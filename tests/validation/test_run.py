"""Validation over parts: counts add up, `mostly` applies to the total, and what is wrong with a suite is said."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from everstay import tables as t
from everstay.errors import DataRejected, SettingsError
from everstay.partitions import IN_PROCESS, open_cluster
from everstay.settings import Dask
from everstay.validation import ValidationReport, validate

Check = Callable[..., ValidationReport]
Clean = Mapping[str, pl.DataFrame]
NOT_NULL = "expect_column_values_to_not_be_null"
UNIQUE = "expect_compound_columns_to_be_unique"
BETWEEN = "expect_column_values_to_be_between"


def entry(kind: str, severity: str = "critical", level: str | None = None, **arguments: Any) -> dict[str, Any]:
    described = {"type": kind, "kwargs": arguments, "severity": severity, "description": "as it should be"}
    return {**described, "meta": {"level": level}} if level else described


def write_suite(folder: Path, table: t.Table, *entries: Any) -> Path:
    (folder / f"{table.name}.json").write_text(json.dumps({"name": table.name, "expectations": entries}))
    return folder


def spoilt(events: pl.DataFrame) -> pl.DataFrame:
    """Faults of several kinds, spread over users."""
    row = pl.int_range(pl.len())
    return events.with_columns(
        pl.when(row % 7 == 0).then(-2).otherwise(t.QUANTITY).cast(pl.Int32).alias(t.QUANTITY),
        pl.when(row % 11 != 0).then(t.AMOUNT),
        pl.when(row % 5 != 0).then(t.ITEM_ID),
        pl.when(row % 13 == 0).then(pl.lit("bought")).otherwise(t.EVENT_TYPE).alias(t.EVENT_TYPE),
    )


def counts(report: ValidationReport) -> list[tuple[Any, ...]]:
    return [(one.expectation, one.success, one.rows, one.unexpected_rows, one.share) for one in report.outcomes]


def test_merging_over_parts_gives_the_same_counts(clean: Clean, check: Check) -> None:
    events = spoilt(clean[t.EVENTS.name])
    whole = check(t.EVENTS, events)
    assert {one.expectation: one.unexpected_rows for one in whole.failures}["A quantity is not negative"] == 172
    for parts in (2, 5):
        assert counts(check(t.EVENTS, events, parts=parts)) == counts(whole)


def test_counts_equal_those_of_polars(clean: Clean, check: Check) -> None:
    events = spoilt(clean[t.EVENTS.name])
    found = {one.expectation: one for one in check(t.EVENTS, events, parts=3).outcomes}
    purchases = events.filter(pl.col(t.EVENT_TYPE) == t.PURCHASE)
    named = found["99% of the purchases name the item bought"]
    assert (named.rows, named.unexpected_rows) == (len(purchases), purchases[t.ITEM_ID].null_count())
    assert named.share == pytest.approx(named.unexpected_rows / named.rows)
    rating = found["A rating is within 1 to 5"]
    assert (rating.rows, rating.unexpected_rows) == (len(events) - events[t.RATING].null_count(), 0)


def test_mostly_applies_to_the_total(clean: Clean, check: Check, tmp_path: Path) -> None:
    folder = write_suite(tmp_path, t.EVENTS, entry(NOT_NULL, column=t.ITEM_ID, mostly=0.9))
    good = clean[t.EVENTS.name].with_columns(pl.lit("i1").alias(t.ITEM_ID))
    bad = good.head(60).with_columns(pl.lit(None, pl.String).alias(t.ITEM_ID))
    split = pl.col(t.ITEM_ID).is_null()
    few = check(t.EVENTS, pl.concat([good, bad]), parts=2, folder=folder, split=split)
    (outcome,) = few.outcomes
    assert outcome.success
    assert (outcome.rows, outcome.unexpected_rows) == (1_260, 60)
    many = check(t.EVENTS, pl.concat([good.head(500), bad]), parts=2, folder=folder, split=split)
    assert not many.outcomes[0].success


def test_a_warning_is_reported_and_stops_nothing(clean: Clean, check: Check) -> None:
    events = clean[t.EVENTS.name].with_columns(pl.lit(None, pl.String).alias(t.ORDER_ID))
    report = check(t.EVENTS, events)
    assert [warning.column for warning in report.warnings] == [t.ORDER_ID]
    report.raise_for_failures()


def test_a_failure_names_expectation_rows_examples_and_place(clean: Clean, check: Check, tmp_path: Path) -> None:
    report = check(t.EVENTS, spoilt(clean[t.EVENTS.name]), parts=2)
    with pytest.raises(DataRejected) as caught:
        report.raise_for_failures(tmp_path / "page.html")
    message = str(caught.value)
    assert (
        "quantity: A quantity is not negative (172 of 1,200 rows (14.33%); quantity = -2 where event_id = e" in message
    )
    assert "amount is missing where event_id = e" in message
    assert "item_id is missing where event_id = e" in message
    assert str(tmp_path / "page.html") in message


def test_examples_of_a_row_condition_name_the_right_rows(clean: Clean, check: Check, tmp_path: Path) -> None:
    condition = {"type": "comparison", "column": {"name": t.EVENT_TYPE}, "operator": "==", "parameter": t.RATE}
    folder = write_suite(
        tmp_path, t.EVENTS, entry(BETWEEN, column=t.RATING, max_value=2, row_condition=condition, mostly=0.5)
    )
    events = clean[t.EVENTS.name]
    (outcome,) = check(t.EVENTS, events, folder=folder).outcomes
    first = events.filter(pl.col(t.EVENT_TYPE) == t.RATE)[t.EVENT_ID].head(3)
    assert outcome.examples == tuple(f"rating = 4.0 where event_id = {event}" for event in first)


def test_aggregates_are_of_the_whole_table(clean: Clean, check: Check) -> None:
    events = clean[t.EVENTS.name].filter(~pl.col(t.OCCURRED_AT).dt.date().is_between(
        datetime(2023, 1, 20), datetime(2023, 2, 10)  # noqa: DTZ001  # compared with dates
    ))  # fmt: skip
    by_part = check(t.EVENTS, events, parts=5, split=pl.col(t.OCCURRED_AT).dt.ordinal_day() % 5)
    found = {one.column: one for one in by_part.outcomes}
    dates = ("silence_begins_on = 2023-01-19", "silence_ends_on = 2023-02-11")
    assert found["largest_silence_days"].examples == ("largest_silence_days = 23", *dates)
    assert not found["largest_silence_days"].success
    assert found["row_count"].examples == (f"row_count = {len(events)}",)
    purchases = (events[t.EVENT_TYPE] == t.PURCHASE).sum()
    assert found["purchase_rows"].examples == (f"purchase_rows = {purchases}",)


def test_an_id_of_two_parts_is_named_with_what_to_do(clean: Clean, check: Check) -> None:
    events = clean[t.EVENTS.name]
    ids = events[t.EVENT_ID].to_list()
    stolen = events.with_columns(pl.col(t.EVENT_ID).replace({ids[5]: ids[900], ids[7]: ids[902]}))
    number = pl.int_range(pl.len()) % 2  # in the frame's order: 5 and 900 are apart, as users of two buckets are
    report = check(t.EVENTS, stolen.with_columns(pl.col(t.USER_ID).cast(pl.Categorical)), parts=2, split=number)
    (told,) = (one for one in report.failures if one.column == "keys_in_several_parts")
    count, *rows = told.examples
    assert count == "keys_in_several_parts = 2"
    users = [(ids[place], events[t.USER_ID][own]) for place, own in ((900, 5), (900, 900), (902, 7), (902, 902))]
    named = [row.partition(", item_id")[0] for row in rows]
    assert sorted(named) == sorted(f"event_id = {event}, user_id = {user}" for event, user in users)
    with pytest.raises(DataRejected, match=r"No event id belongs to two users \(.*; give every event an id of its own"):
        report.raise_for_failures()


def test_what_is_behind_other_aggregates(clean: Clean, check: Check) -> None:
    events = clean[t.EVENTS.name].with_columns(pl.lit(t.VIEW).alias(t.EVENT_TYPE))
    late = events[3].with_columns(pl.lit(datetime(2099, 1, 2, tzinfo=UTC), t.TIME).alias(t.RECORDED_AT))
    much = pl.concat(
        [events, late.with_columns(pl.lit("late").alias(t.EVENT_ID)), events.filter(pl.col(t.USER_ID) == "u9")] * 9
    )
    found = {one.column: one for one in check(t.EVENTS, much, parts=3).outcomes}
    assert found["purchase_rows"].examples == ("purchase_rows = 0", f"view_rows = {len(much)}")
    assert "map the shop's own name for a purchase" in found["purchase_rows"].describe()
    _, last, row, *_ = found["days_in_future"].examples
    assert last == "last_recorded_at = 2099-01-02 00:00:00+00:00"
    assert row.startswith("event_id = late, user_id = u")
    assert row.endswith("recorded_at = 2099-01-02 00:00:00+00:00")


def test_an_empty_part_is_fine(clean: Clean, check: Check) -> None:
    events = clean[t.EVENTS.name]
    one, with_empty = check(t.EVENTS, events), check(t.EVENTS, events, parts=3, split=pl.lit(1))
    assert counts(with_empty) == counts(one)
    assert not with_empty.failures


def test_workers_find_the_same_as_this_process(clean: Clean, suites: Path) -> None:
    scores = clean[t.CHURN_SCORES.name]
    scores = scores.with_columns(pl.col(t.CHURN_PROBABILITY) * 2)

    def read(part: int) -> pl.DataFrame:
        return scores.filter(pl.int_range(pl.len()) % 2 == part)

    with open_cluster(Dask(workers=1)) as scheduler:
        there = validate(t.CHURN_SCORES, read, range(2), scheduler, expectations=suites)
    assert there == validate(t.CHURN_SCORES, read, range(2), IN_PROCESS, expectations=suites)
    assert [failure.column for failure in there.failures] == [t.CHURN_PROBABILITY]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (entry(NOT_NULL, column="amout"), r"expectation 1 .*no column or aggregate 'amout'; did you mean 'amount'"),
        (entry(NOT_NULL, column=t.AMOUNT, level="table"), "no column or aggregate 'amount'"),
        (entry("expect_columns_to_shine", column=t.AMOUNT), "is refused.*expect_columns_to_shine not found"),
        (entry(BETWEEN, column=t.AMOUNT, at_least=1), "is refused.*at_least"),
        (entry("expect_column_mean_to_be_between", column=t.AMOUNT, min_value=0), "its parts cannot be merged"),
        (entry(BETWEEN, column=t.EVENT_TYPE, min_value=0), "expect_column_values_to_be_between .as it should be."),
        ({**entry(NOT_NULL, column=t.AMOUNT), "severity": "info"}, "'severity' is 'info'"),
        ({**entry(NOT_NULL, column=t.AMOUNT), "description": ""}, "'description' must say"),
        ("not null", "must be an object"),
        (entry(NOT_NULL, column=t.AMOUNT, mostly="99%"), """1 .*'mostly' is "99%", but must be a share from 0 to 1"""),
        (entry(NOT_NULL, column=t.AMOUNT, mostly=99), "'mostly' is 99, but must be a share from 0 to 1"),
        (entry(NOT_NULL, column=t.AMOUNT, mostly=None), "'mostly' is null, but must be a share from 0 to 1"),
        ({**entry(NOT_NULL, column=t.AMOUNT), "meta": "table"}, """'meta' is "table", but must be an object"""),
        (entry(NOT_NULL, column=None), "'column' is null, but must be the name of a column"),
        (entry(UNIQUE, column_list=3), "'column_list' is 3, but must be a list of names of columns"),
        (entry(UNIQUE, column_list=[t.USER_ID, 3]), "'column_list' is .*, but must be a list of names of columns"),
        (
            entry(NOT_NULL, column=t.AMOUNT, row_condition={"type": "comparison", "column": {"nam": t.EVENT_TYPE}}),
            "'column' is .*, but must be named in the row condition",
        ),
    ],
)
def test_a_faulty_suite_is_named(bad: Any, message: str, clean: Clean, check: Check, tmp_path: Path) -> None:
    folder = write_suite(tmp_path, t.EVENTS, bad)
    with pytest.raises(SettingsError, match=f"(?s)events.json.*{message}"):
        check(t.EVENTS, clean[t.EVENTS.name], folder=folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no expectation suite: .*does not exist"),
        ("{", "is not JSON"),
        ("[]", "is not a suite"),
        ('{"name": "evens", "expectations": []}', "name is 'evens', but must be 'events'"),
    ],
)
def test_a_file_that_is_no_suite_is_named(
    content: str | None, message: str, clean: Clean, check: Check, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "events.json").write_text(content)
    with pytest.raises(SettingsError, match=message):
        check(t.EVENTS, clean[t.EVENTS.name], folder=tmp_path)


def test_a_missing_column_is_named(clean: Clean, check: Check) -> None:
    with pytest.raises(DataRejected, match=r"table events, part 0: column\(s\) amount, quantity are missing"):
        check(t.EVENTS, clean[t.EVENTS.name].drop(t.QUANTITY, t.AMOUNT))
    with pytest.raises(DataRejected, match=r"column\(s\) orders_28d are missing"):
        check(t.USER_FEATURES, clean[t.USER_FEATURES.name].drop("orders_28d"))
