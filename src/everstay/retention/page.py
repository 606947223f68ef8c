"""Report sections on retention: the cohort table and its forecast, the back-test, rhythm, and segments."""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay.metrics.maturity import maturity
from everstay.report import Badge, Column, Picture, Section, Table, with_bounds
from everstay.report.charts import AMBER, BLUE, Line, draw_lines, draw_shares
from everstay.report.document import Cell, Tone
from everstay.retention import forecast as f
from everstay.retention import segments as s
from everstay.retention.cohorts import COHORT, ORIGIN, USERS
from everstay.retention.measure import RetentionFigures
from everstay.retention.rhythm import WINDOWS, stickiness
from everstay.retention.survival import share_by

REPEAT_DAYS = (7, 30, 60, 90)

_SHOWN_PERIODS = 14  # of a cohort table; older cohorts are in the sums
_DRAWN_COHORTS = 4


def retention_section(figures: RetentionFigures, lateness: timedelta) -> Section:
    """Cohorts, forecasts, and the back-test of past forecasts.

    Args:
        figures: from `measure_retention`.
        lateness: how much later events may be recorded; the last periods are marked by it.
    """
    unit, periods = figures.periods.unit, figures.periods
    tested = f.mature(figures.forecasts, periods, lateness, figures.as_of)
    clock = maturity(periods.end, lateness, figures.as_of)
    now = figures.forecasts.filter(pl.col(ORIGIN) == periods.count, pl.col(COHORT) == f.ALL)
    last = figures.cohorts.retained[:, -1].sum() / figures.cohorts.retained.diagonal().sum()
    words = (
        f"A user is retained in a {unit} in which they bought; a cohort is all users whose first order fell in the "
        f"same {unit}. The first cohort also includes users acquired before the log begins. Whole {unit}s only: "
        "purchases before the first one count towards it.",
        "The forecast is BG/BB (Fader, Hardie and Shang 2010): every user buys with their own probability until "
        "they leave. Its intervals cover chance and the errors observed in earlier forecasts.",
    )
    badges = (
        Badge(f"bought in {periods.name(periods.count - 1)} ({clock})", f"{last:.1%}"),
        *(Badge(f"next {unit}, forecast", f"{row[f.SHARE]:.1%} ({row[f.LOW]:.1%}–{row[f.HIGH]:.1%})")
          for row in now.filter(pl.col(f.AHEAD) == 1).iter_rows(named=True)),
        *_coverage_badge(tested),
    )  # fmt: skip
    tables = (_cohort_table(figures, lateness), _forecast_table(figures, lateness), _tested_table(tested))
    return Section("Retention", words, badges, tables, tuple(_pictures(figures, tested)))


def rhythm_section(figures: RetentionFigures, lateness: timedelta) -> Section:
    """Stickiness over time, and how soon a first order is followed by a second.

    Args:
        figures: from `measure_retention`.
        lateness: how much later events may be recorded; the last day is marked by it.
    """
    weekly = stickiness(figures.rhythm.active)
    names = ("daily / weekly active", "daily / monthly active", "weekly / monthly active")
    ends = [figures.as_of - timedelta(days=7 * back) for back in reversed(range(len(weekly)))]
    lines = [Line(name, ends, weekly[:, column].tolist()) for column, name in enumerate(names)]
    badges = [
        Badge(f"active users, {window} day{'s' if window > 1 else ''}", f"{users.mean():,.0f}")
        for window, users in zip(WINDOWS, _whole_windows(figures.rhythm.active), strict=True)
        if len(users)
    ]
    if len(weekly) and np.isfinite(weekly[-1]).all():
        badges.append(Badge("stickiness (daily / monthly)", f"{weekly[-1, 1]:.1%}"))
    words = (
        "Active users did something themselves: bought, viewed, searched; messages sent to them do not count. "
        f"Means of the last 28 days (the last of them: {maturity(figures.as_of, lateness, figures.as_of)}), without "
        "those whose week or month begins before the log; a month is 28 days.",
    )
    pictures = (
        Picture("Weekly stickiness, dated by the end of the week", draw_lines(lines, "", "ratio")),
        *_repeat_picture(figures),
    )
    return Section("Activity and repeat rate", words, badges, (_repeat_table(figures),), pictures)


def _whole_windows(active: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Active users of the last 28 days, for each window: the days whose window lies within the log."""
    for column, window in enumerate(WINDOWS):
        yield active[max(window - 1, len(active) - max(WINDOWS)) :, column]


def segment_section(segments: pl.DataFrame, as_of: str, horizon_days: int, min_users: int) -> Section:
    """Shares that left by lifecycle state and declared attribute.

    Args:
        segments: from `churn_by_segment`.
        as_of: of the labels.
        horizon_days: of the labels.
        min_users: smaller groups of a declared attribute are left out.
    """
    words = [f"Users as of {as_of}, whose horizon of {horizon_days} days is over: the labels are mature."]
    first = pl.col(s.SEGMENT).is_in(["everybody", s.LIFECYCLE])
    states, attributes = segments.drop_nulls().filter(first), segments.drop_nulls().filter(~first)
    tables = [_segment_table("Churn by lifecycle state", states, fold=False)]
    if len(attributes):
        words.append(f"For declared attributes, groups of fewer than {min_users} are left out (`fairness.min_users`).")
        tables.append(_segment_table("Churn by declared attribute", attributes, fold=True))
    return Section("Churn by segment", words, tables=tables, pictures=(_segment_picture(states, attributes),))


def _segment_table(caption: str, segments: pl.DataFrame, *, fold: bool) -> Table:
    rows = [
        (row[s.SEGMENT].replace("_", " "), row[s.GROUP], row[s.USERS], row[s.LEFT], row[s.SHARE],
         f"{row[s.LOW]:.1%}–{row[s.HIGH]:.1%}")
        for row in segments.iter_rows(named=True)
    ]  # fmt: skip
    columns = (
        Column("segment"), Column("group"), Column("users", ",d"), Column("left", ",d"),
        Column("share that left", ".1%"), Column("90% interval"),
    )  # fmt: skip
    return Table(caption, columns, rows, marked=frozenset() if fold else frozenset({0}), fold=fold)


def _segment_picture(states: pl.DataFrame, attributes: pl.DataFrame) -> Picture:
    groups = pl.concat([states, attributes]).slice(1)
    names = [f"{row[s.SEGMENT].replace('_', ' ')}: {row[s.GROUP]}" for row in groups.iter_rows(named=True)]
    share, low, high = (groups[column].to_list() for column in (s.SHARE, s.LOW, s.HIGH))
    drawn = draw_shares(names, share, low, high, states[s.SHARE][0])
    return Picture("Share that left by group, with 90% intervals; dashed: all users", drawn)


def _coverage_badge(tested: pl.DataFrame) -> Iterator[Badge]:
    if len(tested):
        held = f.coverage(tested)
        tone: Tone = "good" if 0.85 <= held <= 0.95 else "look"
        yield Badge(f"coverage of {len(tested):,} 90% intervals", f"{held:.1%}", tone)


def _cohort_table(figures: RetentionFigures, lateness: timedelta) -> Table:
    """Share of each cohort that bought, by age; the latest cohorts."""
    periods, retained = figures.periods, figures.cohorts.retained
    first = max(0, periods.count - _SHOWN_PERIODS)
    rows: list[list[Cell]] = []
    shades: dict[tuple[int, int], float] = {}
    for cohort in range(first, periods.count):
        size = int(retained[cohort, cohort])
        shares = [retained[cohort, period] / size for period in range(cohort, periods.count)] if size else []
        row = len(rows)
        shades |= {(row, age + 2): share for age, share in enumerate(shares)}
        blank: list[Cell] = [None] * (periods.count - first - len(shares))
        rows.append([periods.name(cohort), size, *shares, *blank])
    clock = maturity(periods.end, lateness, figures.as_of)
    ages = [Column(str(age), ".0%") for age in range(periods.count - first)]
    caption = (
        f"Share of each cohort that bought, by {periods.unit}s since its first order (last {periods.unit}: {clock})"
    )
    return Table(caption, [Column("cohort"), Column("users", ",d"), *ages], rows, shades)


def _forecast_table(figures: RetentionFigures, lateness: timedelta) -> Table:
    periods = figures.periods
    now = figures.forecasts.filter(pl.col(ORIGIN) == periods.count)
    ahead = sorted(now[f.AHEAD].unique())
    rows: list[list[Cell]] = []
    for (cohort,), shares in now.group_by(COHORT, maintain_order=True):
        name = "all users" if cohort == f.ALL else periods.name(int(str(cohort)))
        cells = [f"{r[f.SHARE]:.1%} ({r[f.LOW]:.1%}–{r[f.HIGH]:.1%})" for r in shares.iter_rows(named=True)]
        rows.append([name, int(shares[USERS][0]), *cells])
    columns = [Column("cohort"), Column("users", ",d")]
    for step in ahead:
        clock = maturity(periods.start(periods.count + step), lateness, figures.as_of, is_estimate=True)
        columns.append(Column(f"{periods.name(periods.count + step - 1)} (mature on {clock.knowable_at:%Y-%m-%d})"))
    caption = f"Forecast share of buyers in the next {periods.unit}s, with 90% intervals (estimated)"
    return Table(caption, columns, rows, marked=frozenset({0}), fold=len(rows) > _SHOWN_PERIODS)


def _tested_table(tested: pl.DataFrame) -> Table:
    """By periods ahead: forecasts, how many held, and how far off they were."""
    rows: list[list[Cell]] = []
    for (step,), part in tested.sort(f.AHEAD).group_by(f.AHEAD, maintain_order=True) if len(tested) else ():
        error = (part[f.BOUGHT] - part[f.SHARE]).abs().mean()
        width = (part[f.HIGH] - part[f.LOW]).mean()
        rows.append([int(str(step)), len(part), f.coverage(part), _number(error), _number(width)])
    columns = (
        Column("periods ahead", "d"), Column("forecasts", ",d"), Column("interval coverage", ".1%"),
        Column("mean absolute error", ".1%"), Column("mean interval width", ".1%"),
    )  # fmt: skip
    caption = "Back-test: past forecasts whose outcomes are mature, each from what was known then"
    return Table(caption, columns, rows)


def _pictures(figures: RetentionFigures, tested: pl.DataFrame) -> Iterator[Picture]:
    periods, retained = figures.periods, figures.cohorts.retained
    sizes = retained.diagonal()
    largest = sorted(np.argsort(-sizes, kind="stable")[:_DRAWN_COHORTS])
    lines = [
        Line(f"{periods.name(one)} ({sizes[one]:,})", range(periods.count - one), retained[one, one:] / sizes[one])
        for one in largest
        if sizes[one]
    ]
    yield Picture(
        "The largest cohorts: share that bought, by age",
        draw_lines(lines, f"{periods.unit}s since the first order", ""),
    )
    came = np.cumsum(sizes)
    with np.errstate(invalid="ignore"):  # a log may begin with views: nobody had come yet, and the line has a gap
        share = retained.sum(axis=0) / came
    now = figures.forecasts.filter(pl.col(ORIGIN) == periods.count, pl.col(COHORT) == f.ALL).sort(f.AHEAD)
    past = tested.filter(pl.col(COHORT) == f.ALL, pl.col(f.AHEAD) == 1).sort(ORIGIN)
    starts = list(periods.starts[:-1])
    lines = [
        Line("bought", starts, share.tolist(), color=BLUE),
        _band(f"past forecasts, one {periods.unit} ahead", [periods.start(o) for o in past[ORIGIN]], past, dashed=True),
        _band("current forecast", [periods.start(periods.count + step - 1) for step in now[f.AHEAD]], now),
    ]
    yield Picture("All users acquired so far: share that bought", draw_lines(lines, "", ""))


def _band(name: str, x: list[object], rows: pl.DataFrame, *, dashed: bool = False) -> Line:
    y, low, high = (rows[column].to_list() for column in (f.SHARE, f.LOW, f.HIGH))
    return Line(name, x, y, low, high, color=None if dashed else AMBER, dashed=dashed)


def _repeat_table(figures: RetentionFigures) -> Table:
    repeated, waiting = figures.rhythm.repeated, figures.rhythm.waiting
    rows = []
    for days in REPEAT_DAYS:
        share = share_by(repeated, waiting, days)
        short = int(waiting[:days].sum())
        state = "mature" if short == 0 else f"estimated: {short:,} users were observed for less"
        rows.append([f"{days} days", with_bounds(share, ".1%") or "–", state if share else "not knowable yet"])
    columns = (Column("second order within"), Column("share of users, 90% interval"), Column("maturity"))
    return Table("Repeat rate: how soon a first order is followed by a second", columns, rows)


def _repeat_picture(figures: RetentionFigures) -> Iterator[Picture]:
    days = range(1, max(REPEAT_DAYS) + 1)
    shares = [share_by(figures.rhythm.repeated, figures.rhythm.waiting, day) for day in days]
    known = [(day, share) for day, share in zip(days, shares, strict=True) if share is not None]
    if known:
        bounds = (
            [share.value for _, share in known],
            [share.low for _, share in known],
            [share.high for _, share in known],
        )
        line = Line("ordered again, 90% interval", [day for day, _ in known], *bounds)
        yield Picture("Repeat rate: how soon a first order is followed by a second", draw_lines([line], "days", ""))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
