"""One foreign column as ours: every usual way to write a value, and words for what is none."""

from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest

from everstay import tables as t
from everstay.settings import FilesSource
from everstay.sources.values import read_column

NOON = datetime(2017, 1, 31, 12, tzinfo=UTC)


def _read(values: list[object], name: str, time_zone: str = "UTC", dtype: type[pl.DataType] | None = None):
    value, problem = read_column(pl.Series(values, dtype=dtype), name, FilesSource(time_zone=time_zone))
    return value.to_list(), problem.to_list()


@pytest.mark.parametrize(
    "written",
    [
        "2017-01-31 12:00:00",
        "2017-01-31T12:00:00",
        "2017-01-31 12:00",
        " 2017-01-31 12:00:00.000 ",
        "2017-01-31T12:00:00Z",
        "2017-01-31 12:00:00 UTC",
        "2017-01-31T13:00:00+01:00",
        "2017-01-31 13:00:00.000000+0100",
        "2017-01-31 13:00+01",
        "2017-01-31 07:00:00 -05:00",
        "1485864000",
        "1485864000000",
    ],
)
def test_usual_ways_to_write_a_time(written: str) -> None:
    assert _read([written], t.OCCURRED_AT) == ([NOON], [None])


@pytest.mark.parametrize("written", ["2017-13-45", "12/1/2010 8:26", "yesterday", "20170131120000", "-5"])
def test_what_is_no_time_is_told_with_its_value(written: str) -> None:
    (value,), (problem,) = _read([written], t.OCCURRED_AT)
    assert value is None
    assert problem.startswith(f"occurred_at: '{written}' is not a time")


def test_ways_to_write_a_time_may_be_mixed() -> None:
    values, problems = _read(["2017-01-31", None, "1485864000", "x", "2017-01-31T12:00:00Z"], t.OCCURRED_AT)
    assert values == [datetime(2017, 1, 31, tzinfo=UTC), None, NOON, None, NOON]
    assert [problem is not None for problem in problems] == [False, False, False, True, False]


def test_whole_numbers_may_be_times_in_any_unit() -> None:
    seconds = 1_485_864_000
    written = [seconds, seconds * 10**3, seconds * 10**6, seconds * 10**9, 20170131]
    assert _read(written, t.OCCURRED_AT)[0] == [*[NOON] * 4, datetime(2017, 1, 31, tzinfo=UTC)]


def test_times_without_a_zone_are_in_the_stated_one() -> None:
    ten_utc = datetime(2017, 1, 31, 11, tzinfo=UTC)
    for written in (["2017-01-31 12:00:00"], [NOON.replace(tzinfo=None)]):
        assert _read(written, t.OCCURRED_AT, "Europe/Berlin") == ([ten_utc], [None])
    assert _read(["2017-01-31T12:00:00Z"], t.OCCURRED_AT, "Europe/Berlin") == ([NOON], [None])
    assert _read([date(2017, 7, 1)], t.OCCURRED_AT, "Europe/Berlin")[0] == [datetime(2017, 6, 30, 22, tzinfo=UTC)]


def test_the_hour_that_clocks_repeat_is_the_first_and_the_one_they_skip_is_none() -> None:
    (repeated, skipped), (fine, problem) = _read(
        ["2017-10-29 02:30:00", "2017-03-26 02:30:00"], t.OCCURRED_AT, "Europe/Berlin"
    )
    assert (repeated, fine) == (datetime(2017, 10, 29, 0, 30, tzinfo=UTC), None)
    assert skipped is None
    assert "'2017-03-26 02:30:00' is not a time in Europe/Berlin" in problem


@pytest.mark.parametrize(
    ("name", "values", "expected", "wrong"),
    [
        (t.QUANTITY, ["1", " 2.0 ", "1.5", "3000000000", "-4"], [1, 2, None, None, -4], [2, 3]),
        (t.QUANTITY, [1.0, 2.5, float("nan")], [1, None, None], [1]),
        (t.AMOUNT, ["1.5", "1e3", "nan", "inf", "1,5", ""], [1.5, 1000.0, None, None, None, None], [2, 3, 4]),
        (t.AMOUNT, [Decimal("1.50")], [1.5], []),
        (t.AMOUNT, [date(2017, 1, 1)], [None], [0]),
        (t.AMOUNT, [[1.0]], [None], [0]),
        (t.USER_ID, [17.0, None, 1.5], ["17", None, "1.5"], []),
        (t.USER_ID, ["17.0", "17", "-1.0", "1.5.0", "v2.0", "17.00"], ["17", "17", "-1", "1.5.0", "v2.0", "17.00"], []),
        (t.CATEGORY, ["17.0"], ["17.0"], []),
        (t.USER_ID, ["a ", " ", ""], ["a ", None, None], []),
        (t.USER_ID, ["a", r"\N", r"\\N", r"N\N", r"\n"], ["a", None, r"\\N", r"N\N", r"\n"], []),
        (t.AMOUNT, ["1", r"\N"], [1.0, None], []),
        (t.USER_ID, [b"a"], [None], [0]),
        (t.HAS_MARKETING_CONSENT, ["Yes", "0", "perhaps"], [True, False, None], [2]),
        (t.HAS_MARKETING_CONSENT, [1, 0, 2], [True, False, None], [2]),
    ],
)
def test_values_fit_or_are_told(name: str, values: list[object], expected: list[object], wrong: list[int]) -> None:
    read, problems = _read(values, name)
    assert read == expected
    assert [row for row, problem in enumerate(problems) if problem] == wrong
    assert all(problems[row].startswith(f"{name}: ") for row in wrong)


def test_a_time_beyond_all_calendars_is_none() -> None:
    far = pl.Series([2**62]).cast(pl.Datetime("us", "UTC"))
    value, problem = read_column(far, t.OCCURRED_AT, FilesSource())
    assert value.to_list() == [None]
    assert "is not a time in UTC" in problem[0]


def test_a_category_is_text() -> None:
    assert _read(["a", None], t.USER_ID, dtype=pl.Categorical) == (["a", None], [None, None])


@pytest.mark.parametrize("name", [t.USER_ID, t.QUANTITY, t.AMOUNT, t.OCCURRED_AT, t.HAS_MARKETING_CONSENT])
def test_a_column_without_any_value_is_no_problem(name: str) -> None:
    for dtype in (pl.Null, pl.String, pl.Float64):
        assert _read([None, None], name, dtype=dtype) == ([None, None], [None, None])


def test_a_long_value_is_told_in_short() -> None:
    assert len(_read(["x" * 10_000], t.AMOUNT)[1][0]) < 200


@pytest.mark.parametrize("unit", ["ms", "us"])
def test_a_time_beyond_all_calendars_is_told_by_its_number(unit: str) -> None:
    last = 2**63 - 1
    raw = pl.Series([last, 0, -last], dtype=pl.Int64).cast(pl.Datetime(unit))
    value, problem = read_column(raw, t.OCCURRED_AT, FilesSource(time_zone="Europe/Berlin"))
    assert value.to_list() == [None, datetime(1969, 12, 31, 23, tzinfo=UTC), None]
    assert [words and words.partition(" is not")[0] for words in problem] == [
        f"occurred_at: '{last}'", None, f"occurred_at: '-{last}'"
    ]  # fmt: skip


def test_a_day_beyond_all_calendars_is_told_by_its_number() -> None:
    raw = pl.Series([2**31 - 1, 0], dtype=pl.Int32).cast(pl.Date)
    value, problem = read_column(raw, t.OCCURRED_AT, FilesSource())
    assert value.to_list() == [None, datetime(1970, 1, 1, tzinfo=UTC)]
    assert problem[0].startswith("occurred_at: '2147483647' is not a time")


@pytest.mark.parametrize("written", ["2017-10-15", "20171015", date(2017, 10, 15)])
def test_a_day_begins_where_clocks_skip_midnight(written: str | date) -> None:
    assert _read([written], t.OCCURRED_AT, "America/Sao_Paulo") == ([datetime(2017, 10, 15, 3, tzinfo=UTC)], [None])
    skipped, told = _read(["2017-10-15 00:30:00"], t.OCCURRED_AT, "America/Sao_Paulo")
    assert skipped == [None]
    assert told[0] is not None


def test_a_year_of_two_digits_is_no_year() -> None:
    values, problems = _read(["23-01-31", "2023-01-31"], t.AVAILABLE_FROM)
    assert values == [None, datetime(2023, 1, 31, tzinfo=UTC)]
    assert problems[0].startswith("available_from: '23-01-31' is not a time")
