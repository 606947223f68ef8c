"""One pass over a source: what would be stored and what refused, with counts of users, items and times."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from everstay import tables as t
from everstay.event_ids import with_ids
from everstay.lake.entities import ENTITY_TABLES
from everstay.lake.refusal import split_refused
from everstay.partitions import IN_PROCESS
from everstay.preview.sample import Distinct, UserSample
from everstay.sources import Chunk, Source
from everstay.validation import ValidationReport, validate

_FIRST_ROWS = 5
_VALUES = r"'[^']*'|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|NaN|\binf\b"


@dataclass(frozen=True)
class Problem:
    """Rows that would be refused for one reason.

    Attributes:
        words: the reason, with … for the values.
        rows: how many.
        place: file and row of the first.
        example: what was wrong with it.
    """

    words: str
    rows: int
    place: str
    example: str


@dataclass(frozen=True)
class Survey:
    """What a source would bring.

    Attributes:
        first_rows: the first events that would be stored.
        rows_read: rows of the source.
        rows_refused: those that would go to the quarantine.
        rows_anonymous: anonymous events.
        rows_by_type: event type to events.
        filled: our column to the number of events that have a value there.
        purchases_with_item: purchases that name what was bought.
        paid: total amount of the purchases.
        first_at: when the first event occurred; None without events.
        last_at: when the last event occurred.
        recorded_until: when the last event was recorded.
        users: number of distinct users.
        items: number of distinct items.
        problems: the most common first.
        sample: events of all users, or of one in `sample_of`, each event once.
        sample_of: one in how many users is in the sample.
        repeated_share: share of the sample's rows that repeat another one in all that tells events apart.
        conflict_share: share of them that have the id of another one and differ in that.
        entities: what validation finds in the items, users and treatments tables.
    """

    first_rows: pl.DataFrame
    rows_read: int
    rows_refused: int
    rows_anonymous: int
    rows_by_type: dict[str, int]
    filled: dict[str, int]
    purchases_with_item: int
    paid: float
    first_at: datetime | None
    last_at: datetime | None
    recorded_until: datetime | None
    users: int
    items: int
    problems: tuple[Problem, ...]
    sample: pl.DataFrame
    sample_of: int
    repeated_share: float
    conflict_share: float
    entities: tuple[ValidationReport, ...]

    @property
    def rows_kept(self) -> int:
        """Rows that would be stored, before repeated ones are dropped."""
        return self.rows_read - self.rows_refused


def survey_source(source: Source, expectations: Path) -> Survey:
    """Read everything that a source has, keep counts, and validate all but the events as an ingestion would.

    Args:
        source: to read.
        expectations: folder of the suites.

    Raises:
        SourceError: the source cannot be read.
        SettingsError: there is no suite, or it cannot be evaluated.
    """
    frames = (source.items(), source.users(), source.treatments())
    reports = [_judge(table, frame, expectations) for table, frame in zip(ENTITY_TABLES, frames, strict=True)]
    return survey_events(source.event_chunks(), tuple(reports))


def _judge(table: t.Table, frame: pl.DataFrame, expectations: Path) -> ValidationReport:
    return validate(table, lambda _: table.conform(frame), (0,), IN_PROCESS, expectations=expectations)


def survey_events(chunks: Iterable[Chunk], entities: tuple[ValidationReport, ...]) -> Survey:
    """Read all chunks, one block after another; memory holds counts, hashes of users and items, and a sample."""
    counts: Counter[str] = Counter()
    types: Counter[str] = Counter()
    filled: Counter[str] = Counter()
    users, items, sample = Distinct(), Distinct(), UserSample()
    first_rows, times, problems, paid = t.EVENTS.empty(), list[dict[str, datetime]](), dict[str, Problem](), 0.0
    for chunk in chunks:
        for staged in chunk.read():
            good, refused = split_refused(staged)
            events = with_ids(good)
            counts.update(_counts(staged, events, refused))
            types.update(dict(events.group_by(t.EVENT_TYPE).len().iter_rows()))
            filled.update(events.select(pl.col(*t.EVENTS.columns).count()).row(0, named=True))
            paid += events.select(pl.col(t.AMOUNT).filter(pl.col(t.EVENT_TYPE) == t.PURCHASE).sum()).item()
            times += _times(events)
            users.add(events.filter(~t.is_anonymous())[t.USER_ID])
            items.add(events[t.ITEM_ID])
            sample.add(events)
            first_rows = pl.concat([first_rows, events.select(first_rows.columns).head(_FIRST_ROWS - len(first_rows))])
            _add_problems(problems, refused)
    return Survey(
        first_rows=first_rows,
        rows_read=counts["read"],
        rows_refused=counts["refused"],
        rows_anonymous=counts["anonymous"],
        rows_by_type=dict(types.most_common()),
        filled={**filled, t.USER_ID: filled[t.USER_ID] - counts["anonymous"]},
        purchases_with_item=counts["with_item"],
        paid=paid,
        first_at=min((each["first"] for each in times), default=None),
        last_at=max((each["last"] for each in times), default=None),
        recorded_until=max((each["recorded"] for each in times), default=None),
        users=users.count,
        items=items.count,
        problems=tuple(sorted(problems.values(), key=lambda problem: -problem.rows)),
        sample=sample.events(),
        sample_of=sample.one_in,
        repeated_share=sample.repeated_share,
        conflict_share=sample.conflict_share,
        entities=entities,
    )


def _counts(staged: pl.DataFrame, events: pl.DataFrame, refused: pl.DataFrame) -> dict[str, int]:
    has_item = (pl.col(t.EVENT_TYPE) == t.PURCHASE) & pl.col(t.ITEM_ID).is_not_null()
    anonymous, with_item = events.select(t.is_anonymous().sum(), has_item.sum().alias("with_item")).row(0)
    return {"read": len(staged), "refused": len(refused), "anonymous": anonymous, "with_item": with_item}


def _times(events: pl.DataFrame) -> list[dict[str, datetime]]:
    if events.is_empty():
        return []
    occurred, recorded = pl.col(t.OCCURRED_AT), pl.col(t.RECORDED_AT)
    return [events.select(first=occurred.min(), last=occurred.max(), recorded=recorded.max()).row(0, named=True)]


def _add_problems(problems: dict[str, Problem], refused: pl.DataFrame) -> None:
    """Count refused rows by reason; the first of each is the example."""
    kinds = refused.with_columns(pl.col(t.PROBLEM).str.replace_all(_VALUES, "…").alias("words"))
    by_words = kinds.group_by("words", maintain_order=True).agg(
        pl.len().alias("rows"), pl.col(t.SOURCE_FILE, t.SOURCE_ROW, t.PROBLEM).first()
    )
    for words, rows, file, row, problem in by_words.iter_rows():
        known = problems.get(words)
        if known is None:
            problems[words] = Problem(words, rows, f"{file}, row {row}", problem)
        else:
            problems[words] = Problem(words, known.rows + rows, known.place, known.example)
