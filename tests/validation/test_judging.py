"""Classes judged once and counted give what Great Expectations gives for all rows, whatever the rows hold."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from everstay import tables as t
from everstay.errors import EverstayError
from everstay.validation import judging
from everstay.validation.classes import code_words
from everstay.validation.counting import merge_counts
from everstay.validation.evaluation import Found, Tally, evaluate, merge_tallies
from everstay.validation.judging import count_alike, judge_classes
from everstay.validation.run import examine_rows
from everstay.validation.suites import Suite, load_suite
from everstay.validation.uniqueness import is_of_uniqueness
from tests.validation.test_run import BETWEEN, NOT_NULL, entry, write_suite

Clean = Mapping[str, pl.DataFrame]
TABLES = (
    t.EVENTS, t.ITEMS, t.USERS, t.TREATMENTS, t.USER_FEATURES, t.CHURN_LABELS, t.CHURN_SCORES, t.RECOMMENDATIONS,
)  # fmt: skip
IN_SET, NOT_IN_SET = "expect_column_values_to_be_in_set", "expect_column_values_to_not_be_in_set"
GREATER = "expect_column_pair_values_a_to_be_greater_than_b"
UNIQUE, COMPOUND = "expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique"
EITHER = "either_value_is_missing"


def where(operator: str, parameter: Any, column: str = t.EVENT_TYPE) -> dict[str, Any]:
    return {"type": "comparison", "column": {"name": column}, "operator": operator, "parameter": parameter}


HAS_CLASSES = (
    entry(NOT_NULL, column=t.RATING),
    entry(BETWEEN, column=t.QUANTITY, min_value=0, max_value=3, strict_min=True),
    entry(BETWEEN, column=t.QUANTITY, min_value=0, max_value=3, strict_max=True),
    entry(BETWEEN, column=t.QUANTITY, min_value=0, max_value=3, strict_min=True, strict_max=True),
    entry(BETWEEN, column=t.QUANTITY, min_value=2, max_value=2, mostly=0.2),
    entry(BETWEEN, column=t.QUANTITY, min_value=0.5),
    entry(BETWEEN, column=t.RATING, max_value=0.1),
    entry(BETWEEN, column=t.RATING, min_value=0.1, strict_min=True),
    entry(BETWEEN, column=t.AMOUNT, max_value=1e300, row_condition=where("==", t.PURCHASE)),
    entry(BETWEEN, column=t.AMOUNT, min_value=-1.5, row_condition=where("IN", [t.VIEW, t.CART]), mostly=0.5),
    entry(BETWEEN, column=t.OCCURRED_AT, max_value="2024-01-01T00:00:00+00:00", strict_max=True),
    entry(BETWEEN, column=t.OCCURRED_AT, min_value="2024-01-01T02:00:00+02:00"),
    entry(IN_SET, column=t.EVENT_TYPE, value_set=[t.VIEW, t.CART], row_condition=where("==", "", t.ITEM_ID)),
    entry(IN_SET, column=t.ITEM_ID, value_set=[str(number) for number in range(20)]),
    entry(NOT_IN_SET, column=t.ITEM_ID, value_set=["", 'a "quoted" one']),
    entry(GREATER, column_A=t.AMOUNT, column_B=t.DISCOUNT, or_equal=False, ignore_row_if=EITHER),
    entry(GREATER, column_A=t.RATING, column_B=t.QUANTITY, or_equal=True, ignore_row_if=EITHER),
    entry(GREATER, column_A=t.AMOUNT, column_B=t.QUANTITY, ignore_row_if=EITHER, row_condition=where("==", t.VIEW)),
)
COMPARES_HASHES = (
    entry(UNIQUE, column=t.EVENT_ID, mostly=0.5),
    entry(UNIQUE, column=t.QUANTITY),
    entry(COMPOUND, column_list=[t.EVENT_TYPE, t.QUANTITY], ignore_row_if="any_value_is_missing"),
)
IN_FULL = (
    entry(UNIQUE, column=t.EVENT_ID, row_condition=where("==", t.VIEW)),
    entry(COMPOUND, column_list=[t.EVENT_TYPE, t.QUANTITY], ignore_row_if="never"),
    entry(UNIQUE, column=t.AMOUNT),
    entry(NOT_NULL, column=t.ITEM_ID, row_condition=where("!=", t.PURCHASE)),
    entry(NOT_NULL, column=t.ITEM_ID, row_condition=where(">", 1, t.QUANTITY)),
    entry(NOT_NULL, column=t.ITEM_ID, row_condition={"type": "nullity", "column": {"name": t.TEXT}, "is_null": True}),
    entry(IN_SET, column=t.QUANTITY, value_set=[1, 2]),
    entry(GREATER, column_A=t.AMOUNT, column_B=t.DISCOUNT, ignore_row_if="both_values_are_missing"),
    entry("expect_column_values_to_be_null", column=t.TEXT),
    entry("expect_column_values_to_match_regex", column=t.ITEM_ID, regex="^[0-9a]"),
)


def hostile(suite: Suite, columns: Mapping[str, pl.DataType], rows: int, seed: int) -> pl.DataFrame:
    """Random rows of values at and around everything the suite compares with; some columns have gaps, some nothing."""
    draw = np.random.default_rng(seed)
    frame = {}
    for name, dtype in columns.items():
        values = _values(suite, name, dtype)
        gaps = draw.choice([0.0, 0.3, 1.0], p=[0.45, 0.45, 0.1])
        picked = [values[number] for number in draw.integers(len(values), size=rows)]
        frame[name] = pl.Series(
            [None if draw.random() < gaps else value for value in picked], dtype=dtype, strict=False
        )
    return pl.DataFrame(frame)


def _values(suite: Suite, column: str, dtype: pl.DataType) -> list[Any]:
    about = [one for one in suite.of_rows if column in (*one.columns, *one.condition_columns)]
    arguments = [one.config["kwargs"] for one in about]
    ends = [end for one in arguments for end in (one.get("min_value"), one.get("max_value")) if end is not None]
    if dtype == t.TIME:
        moments = [datetime.fromisoformat(end) for end in ends] or [datetime.fromisoformat("2024-01-01T00:00:00+00:00")]
        step = timedelta(microseconds=1)
        return [moment + by for moment in moments for by in (-step, 0 * step, step, 400 * timedelta(days=1))]
    if dtype.is_integer():
        return [value for end in (*ends, 1) for value in (int(end) - 1, int(end), int(end) + 1) if abs(value) < 2**31]
    if dtype.is_float():
        near = [np.nextafter(end, to) for end in ends for to in (-np.inf, np.inf)]
        return [*ends, *near, 0.0, 0.1, 2.0, float("nan"), float("inf"), -float("inf")]
    if dtype == pl.Boolean:
        return [True, False]
    sets = [word for one in arguments for word in one.get("value_set", ()) if isinstance(word, str)]
    words = [*sets, *t.EVENT_TYPES, "", "a", "b", 'a "quoted" one']
    return [[word] for word in words] + [[], ["a", ""]] if isinstance(dtype, pl.List) else words


def compressed(frames: Sequence[pl.DataFrame], suite: Suite) -> tuple[Tally, ...]:
    examined = [examine_rows(code_words(frame, suite.of_rows), suite) for frame in frames]
    counts = merge_counts([counts for _, counts in examined])
    judged = judge_classes(counts, suite.of_rows, suite.table.key, suite.file)
    return merge_each([*(tallies for tallies, _ in examined), judged])


def in_full(frames: Sequence[pl.DataFrame], suite: Suite) -> tuple[Tally, ...]:
    return merge_each([evaluate(frame, suite.of_rows, suite.table.key, suite.file) for frame in frames])


def merge_each(tallies: Sequence[tuple[Tally, ...]]) -> tuple[Tally, ...]:
    return tuple(merge_tallies(of_one) for of_one in zip(*tallies, strict=True))


def assert_same(frame: pl.DataFrame, parts: int, suite: Suite) -> None:
    size = max(1, -(-len(frame) // parts))
    frames = [frame.slice(start, size) for start in range(0, max(1, len(frame)), size)]
    pairs = zip(compressed(frames, suite), in_full(frames, suite), suite.of_rows, strict=True)
    differing = [(one.config, ours, full) for ours, full, one in pairs if ours != full]
    assert differing == []


FEW = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a smaller seed is no simpler frame
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
@FEW
@given(seed=st.integers(0, 2**32), rows=st.sampled_from([0, 1, 40, 400]), parts=st.integers(1, 3))
def test_suites_find_the_same(table: t.Table, seed: int, rows: int, parts: int, clean: Clean, suites: Path) -> None:
    suite = load_suite(table, suites)
    assert_same(hostile(suite, clean[table.name].schema, rows, seed), parts, suite)


@pytest.mark.slow
@settings(FEW, max_examples=15)
@given(seed=st.integers(0, 2**32), rows=st.sampled_from([0, 1, 2, 40, 400]), parts=st.integers(1, 3))
def test_expectations_of_all_kinds_find_the_same(seed: int, rows: int, parts: int, tmp_path: Path) -> None:
    folder = write_suite(tmp_path, t.EVENTS, *HAS_CLASSES, *COMPARES_HASHES, *IN_FULL)
    suite = load_suite(t.EVENTS, folder)
    assert_same(hostile(suite, t.EVENTS.empty().schema, rows, seed), parts, suite)


def test_which_kinds_have_classes(tmp_path: Path) -> None:
    suite = load_suite(t.EVENTS, write_suite(tmp_path, t.EVENTS, *HAS_CLASSES, *COMPARES_HASHES, *IN_FULL))
    split = count_alike(t.EVENTS.empty(), suite.of_rows).expectations
    hashed = [n for n, one in enumerate(suite.of_rows) if is_of_uniqueness(one, t.EVENTS.empty())]
    assert sorted(split) == list(range(len(HAS_CLASSES)))
    assert hashed == [len(HAS_CLASSES) + n for n in range(len(COMPARES_HASHES))]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_no_expectation_of_the_suites_is_evaluated_in_full(table: t.Table, clean: Clean, suites: Path) -> None:
    suite, frame = load_suite(table, suites), clean[table.name]
    split = count_alike(frame, suite.of_rows).expectations
    slow = [one.words for n, one in enumerate(suite.of_rows) if n not in split and not is_of_uniqueness(one, frame)]
    assert slow == []


def test_a_class_counts_all_its_rows_and_keeps_the_first(clean: Clean, tmp_path: Path) -> None:
    suite = load_suite(t.EVENTS, write_suite(tmp_path, t.EVENTS, entry(NOT_NULL, column=t.ITEM_ID)))
    events = clean[t.EVENTS.name]
    counts = merge_counts([count_alike(half, suite.of_rows) for half in (events.head(5), events.tail(-5))])
    missing = events.filter(pl.col(t.ITEM_ID).is_null())
    assert counts.counts == {(0, "missing"): len(missing), (0, "rest"): len(events) - len(missing)}
    kept = counts.rows[list(counts.kept[0, "missing"])]
    assert kept[t.EVENT_ID].to_list() == missing[t.EVENT_ID].head(3).to_list()


def test_rows_of_a_class_that_are_judged_differently_are_an_error(
    clean: Clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = load_suite(t.EVENTS, write_suite(tmp_path, t.EVENTS, entry(NOT_NULL, column=t.ITEM_ID)))
    counts = count_alike(clean[t.EVENTS.name], suite.of_rows)
    first = counts.kept[0, "missing"][0]
    monkeypatch.setattr(judging, "find_unexpected", lambda rows, *_: [Found(len(rows), [first])])
    with pytest.raises(EverstayError, match="finds 1 of 6 rows unexpected, their classes 3 of 6"):
        judge_classes(counts, suite.of_rows, suite.table.key, suite.file)
