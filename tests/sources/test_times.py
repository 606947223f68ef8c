"""Times as shops write them: numbers since 1970 with a fraction, and formats of their own."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from everstay import tables as t
from everstay.settings import FilesSource
from everstay.sources.times import format_mistake, times
from everstay.sources.values import read_column

NOON = datetime(2017, 1, 31, 12, tzinfo=UTC)
QUARTER = NOON.replace(microsecond=250_000)


# ---- numbers since 1970 --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1485864000.0", NOON),
        ("1485864000.25", QUARTER),
        (" 1485864000.123456 ", NOON.replace(microsecond=123_456)),
        ("1485864000250.0", QUARTER),
        ("1485864000000.5", NOON.replace(microsecond=500)),
        ("20170131.0", datetime(2017, 1, 31, tzinfo=UTC)),
        ("20170131.5", None),
        ("0.5", None),
        ("1485864000,25", None),
        (1485864000.25, QUARTER),
        (1485864000.0, NOON),
        (1485864000000.5, NOON.replace(microsecond=500)),
        (20170131.5, None),
        (float("inf"), None),
    ],
)
def test_a_number_since_1970_may_have_a_fraction(written: str | float, read: datetime | None) -> None:
    assert times(pl.Series([written, None]), "UTC").to_list() == [read, None]


def test_fractions_are_exact_to_the_microsecond() -> None:
    wanted = pl.Series([NOON.replace(microsecond=micro) for micro in range(0, 1_000_000, 997)])
    seconds = wanted.dt.epoch("us") / 1_000_000
    assert times(seconds, "UTC").equals(wanted)
    assert times(seconds.cast(pl.String), "UTC").equals(wanted)


# ---- formats of the shop -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("format_", "written"),
    [
        ("%m/%d/%Y %H:%M", "1/31/2017 12:00"),
        ("%d.%m.%Y %H:%M:%S", " 31.01.2017 12:00:00 "),
        ("%d/%m/%y %I:%M %p", "31/01/17 12:00 PM"),
        ("%b %d, %Y %H:%M", "Jan 31, 2017 12:00"),
        ("%Y%m%d%H%M%S", "20170131120000"),
        ("%d-%m-%Y %H:%M:%S%z", "31-01-2017 13:00:00+0100"),
        ("%d-%m-%Y %H:%M:%S.%f", "31-01-2017 12:00:00.000000"),
    ],
)
def test_text_is_read_in_the_format_of_the_shop(format_: str, written: str) -> None:
    assert format_mistake(format_) == ""
    assert times(pl.Series([written]), "UTC", [format_]).to_list() == [NOON]


def test_python_s_fraction_of_a_second_is_one() -> None:
    assert times(pl.Series(["31.01.2017 12:00:00.25"]), "UTC", ["%d.%m.%Y %H:%M:%S.%f"]).to_list() == [QUARTER]


def test_formats_are_tried_in_their_order_and_no_other_is() -> None:
    written = pl.Series(["1/2/2017", "31/1/2017", "2017-01-31", "1485864000", "1/2/17", None])
    day_first = times(written, "UTC", ["%d/%m/%Y", "%m/%d/%Y"]).to_list()
    assert day_first == [datetime(2017, 2, 1, tzinfo=UTC), datetime(2017, 1, 31, tzinfo=UTC), None, None, None, None]
    assert times(written, "UTC", ["%m/%d/%Y", "%d/%m/%Y"])[0] == datetime(2017, 1, 2, tzinfo=UTC)


def test_a_day_first_file_is_never_read_month_first() -> None:
    settings = FilesSource(time_formats=("%m/%d/%Y",))
    value, problem = read_column(pl.Series(["31/1/2017"]), t.OCCURRED_AT, settings)
    assert value.to_list() == [None]
    assert problem.to_list() == ["occurred_at: '31/1/2017' is not a time in UTC written as %m/%d/%Y"]


def test_the_zone_of_a_shop_is_that_of_formats_without_one() -> None:
    written = pl.Series(["31.01.2017 13:00", "31.01.2017 12:00 +00:00", "29.10.2017 02:30", "26.03.2017 02:30"])
    assert times(written, "Europe/Berlin", ["%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M %z"]).to_list() == [
        NOON, NOON, datetime(2017, 10, 29, 0, 30, tzinfo=UTC), None,
    ]  # fmt: skip


def test_a_day_of_the_shop_s_format_begins_where_clocks_skip_midnight() -> None:
    assert times(pl.Series(["15/10/2017"]), "America/Sao_Paulo", ["%d/%m/%Y"]).to_list() == [
        datetime(2017, 10, 15, 3, tzinfo=UTC)
    ]
    assert times(pl.Series(["15/10/2017 00:30"]), "America/Sao_Paulo", ["%d/%m/%Y %H:%M"]).to_list() == [None]


@pytest.mark.parametrize("typed", [date(2017, 1, 31), datetime(2017, 1, 31), 20170131])  # noqa: DTZ001  as Parquet has
def test_what_is_typed_needs_no_format(typed: object) -> None:
    assert times(pl.Series([typed]), "UTC", ["%m/%d/%Y"]).to_list() == [datetime(2017, 1, 31, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("format_", "words"),
    [
        ("%H:%M", "name year, month and day"),
        ("%Y-%m", "name year, month and day"),
        ("%d.%m. %H:%M", "name year, month and day"),
        ("yesterday", "name year, month and day"),
        ("2010-12-31", "name year, month and day"),
        ("", "name year, month and day"),
        ("%d/%m/%Y %H", "minutes with the hour"),
        ("%d/%m/%Y %I:%M", "%p with %I"),
        ("%Q", "name year, month and day"),
        ("%d/%m/%Y%", "name year, month and day"),
        ("%Y-%m-%d %H:%M:%S %Z", "a zone's name cannot be read"),
        ("%Y%m%d%H%M%S%f", "write %.f for a fraction of a second"),
        ("%-s", "numbers of seconds since 1970 are read without any time_formats"),
    ],
)
def test_what_is_no_format_of_times(format_: str, words: str) -> None:
    assert words in format_mistake(format_)
