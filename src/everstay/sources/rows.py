"""Raw rows as staged events: columns in our dtypes, interpreted as the settings say."""

import polars as pl

from everstay import tables as t
from everstay.event_ids import content_ids
from everstay.settings import MappedSource
from everstay.sources.blocks import Block
from everstay.sources.contract import stage
from everstay.sources.values import IDS, printable, read_column

_ONE_LINE = (*IDS, t.PLATFORM)
_SHOWN_CHARACTERS = 80
_NEEDS_VALUE = (t.PURCHASE, t.RETURN)
# Default quantity where a shop gives none: one piece for these types; zero for others, such as a view or a message.
_ONE_PIECE = (t.CART, *_NEEDS_VALUE)


def staged_rows(block: Block, columns: dict[str, str], settings: MappedSource, origin: str) -> pl.DataFrame:
    """Rows of an event table as staged events.

    Args:
        block: raw rows.
        columns: ours to theirs; `PRICE` is the unit price.
        settings: what rows mean.
        origin: name of the file or table.
    """
    events = typed_rows(block, columns, settings)
    events = _with_quantities(_with_types(events, settings))
    events = _with_whole_quantities(_with_amounts(_with_returns(events, settings)))
    return stage(_with_users(events, settings), origin)


def typed_rows(block: Block, columns: dict[str, str], settings: MappedSource) -> pl.DataFrame:
    """Our columns in our dtypes with `SOURCE_ROW`, `PROBLEM` and `CONTENT`; unreadable rows come last, all null."""
    read = [read_column(block.raw[theirs], ours, settings, block.decimal) for ours, theirs in columns.items()]
    if block.is_quoted:
        read = [_without_line_breaks(*one) if one[0].name in _ONE_LINE else one for one in read]
    words = pl.DataFrame([problem.alias(value.name) for value, problem in read])
    is_bad = pl.any_horizontal(pl.all().is_not_null())
    typed = pl.DataFrame([block.rows.alias(t.SOURCE_ROW), *(value for value, _ in read)])
    if not words.select(is_bad.any()).item():
        return pl.concat([typed, block.unread], how="diagonal")
    problem = words.select(pl.when(is_bad).then(pl.concat_str(pl.all(), separator="; ", ignore_nulls=True))).to_series()
    bad = problem.is_not_null().arg_true()
    rows_as_json = _writable(block.raw[bad]).select(pl.struct(pl.all()).struct.json_encode()).to_series()
    content = pl.Series([None], dtype=pl.String).new_from_index(0, len(problem)).scatter(bad, rows_as_json)
    typed = typed.with_columns(problem.alias(t.PROBLEM), content.alias(t.CONTENT))
    return pl.concat([typed, block.unread], how="diagonal")


def _writable(raw: pl.DataFrame) -> pl.DataFrame:
    """Values that JSON can hold: no bytes, not even within lists, and no times outside the calendar."""
    return pl.DataFrame([_as_plain(column) for column in raw])


def _as_plain(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Binary:
        return column.bin.encode("base64")
    if column.dtype == pl.Duration or (column.dtype.is_nested() and "Binary" in str(column.dtype)):
        return pl.Series(column.name, [str(value) for value in column.to_list()], pl.String)
    return printable(column)


def _without_line_breaks(value: pl.Series, problem: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Refuse ids of several lines: an unmatched quotation mark has merged everything up to the next one."""
    is_broken = value.str.contains("\n", literal=True).fill_null(value=False)
    if not is_broken.any():
        return value, problem
    shown = value.str.replace("(?s)\n.*", "").str.slice(0, _SHOWN_CHARACTERS)
    words = pl.format("{}: '{}' continues on the next line; is a quotation mark unmatched?", pl.lit(value.name), shown)
    told = pl.select(pl.when(is_broken).then(words).otherwise(problem)).to_series()
    return pl.select(pl.when(~is_broken).then(value)).to_series(), told


def _with_types(events: pl.DataFrame, settings: MappedSource) -> pl.DataFrame:
    if t.EVENT_TYPE in events.columns:
        return events.with_columns(pl.col(t.EVENT_TYPE).replace(settings.event_types))
    return events.with_columns(pl.lit(settings.default_event_type).alias(t.EVENT_TYPE))


def _with_quantities(events: pl.DataFrame) -> pl.DataFrame:
    """Fill in quantities that the shop does not give; an empty cell of a purchase or return stays null."""
    pieces = pl.when(pl.col(t.EVENT_TYPE).is_in(_ONE_PIECE)).then(1).otherwise(0)
    return _filled(events, t.QUANTITY, pieces, ~_needs_value())


def _with_returns(events: pl.DataFrame, settings: MappedSource) -> pl.DataFrame:
    """Cancelled orders and negative quantities as returns; their quantities, amounts and discounts become positive."""
    signs = []
    if settings.negative_quantity == "return":
        signs.append(pl.col(t.QUANTITY) < 0)
    if settings.cancelled_order_prefix:
        signs.append(pl.col(t.ORDER_ID).str.starts_with(settings.cancelled_order_prefix))
    if not signs:
        return events
    is_return = pl.any_horizontal(sign.fill_null(value=False) for sign in signs) & _needs_value()
    is_return = is_return.fill_null(value=False)
    signed = [name for name in (t.QUANTITY, t.AMOUNT, t.DISCOUNT) if name in events.columns]
    return events.with_columns(
        pl.when(is_return).then(pl.lit(t.RETURN)).otherwise(t.EVENT_TYPE).alias(t.EVENT_TYPE),
        *(pl.when(is_return).then(pl.col(name).abs()).otherwise(name).alias(name) for name in signed),
    )


def _with_amounts(events: pl.DataFrame) -> pl.DataFrame:
    """Fill in absent money (quantity times price, else 0) and `RECORDED_AT`; an empty amount of a sale stays null."""
    if t.PRICE in events.columns:
        money = (pl.col(t.PRICE) * pl.col(t.QUANTITY)).round(6)
        amount = pl.when(_needs_value()).then(money).otherwise(0.0)
        events = events.with_columns(amount.alias(t.AMOUNT)).drop(t.PRICE)
    events = _filled(events, t.AMOUNT, pl.lit(0.0), ~_needs_value())
    events = _filled(events, t.DISCOUNT, pl.lit(0.0), pl.lit(True))
    return _filled(events, t.RECORDED_AT, pl.col(t.OCCURRED_AT), pl.lit(True))


def _with_whole_quantities(events: pl.DataFrame) -> pl.DataFrame:
    """A quantity with a fraction is one piece, to give or to take; it is read so only where the settings allow it."""
    if events[t.QUANTITY].dtype.is_integer():
        return events
    quantity = pl.col(t.QUANTITY)
    pieces = pl.when(quantity == quantity.round()).then(quantity).otherwise(quantity.sign())
    return events.with_columns(pieces.cast(t.EVENTS.columns[t.QUANTITY]))


def _with_users(events: pl.DataFrame, settings: MappedSource) -> pl.DataFrame:
    """Anonymous rows, if kept, get an id from their order, visit or content; see decision 8."""
    if t.PROBLEM not in events.columns:
        events = events.with_columns(pl.lit(None, pl.String).alias(t.PROBLEM))
    if events.select(t.is_anonymous().any()).item():
        taken = pl.lit(f"user_id: begins with '{t.ANONYMOUS}', which is reserved for anonymous events: rename it")
        told = pl.when(t.is_anonymous()).then(pl.concat_str(t.PROBLEM, taken, separator="; ", ignore_nulls=True))
        events = events.with_columns(told.otherwise(t.PROBLEM).alias(t.PROBLEM))
    if settings.without_user == "refuse":
        return events
    is_nobody = pl.col(t.USER_ID).is_null() & pl.col(t.PROBLEM).is_null()
    if not events.select(is_nobody.any()).item():
        return events
    names = [pl.col(name) for name in (t.ORDER_ID, t.SESSION_ID) if name in events.columns]
    nobody = pl.concat_str(pl.lit(t.ANONYMOUS), pl.coalesce(*names, pl.lit(content_ids(events))))
    return events.with_columns(pl.when(is_nobody).then(nobody).otherwise(t.USER_ID).alias(t.USER_ID))


def _needs_value() -> pl.Expr:
    return pl.col(t.EVENT_TYPE).is_in(_NEEDS_VALUE)


def _filled(events: pl.DataFrame, name: str, value: pl.Expr, condition: pl.Expr) -> pl.DataFrame:
    """Fill a column with `value`: everywhere when it is absent, else its nulls where `condition` holds.

    Nulls of rows with a problem stay.
    """
    if name not in events.columns:
        return events.with_columns(value.alias(name))
    is_unsaid = pl.col(name).is_null() & condition
    if t.PROBLEM in events.columns:
        is_unsaid &= pl.col(t.PROBLEM).is_null()
    return events.with_columns(pl.when(is_unsaid).then(value).otherwise(name).alias(name))
