"""The back-test as a page section: publications, tiers of mature ones, calibration of those not learned from."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from everstay.metrics.warned import Outcome, calibration_points
from everstay.report import Badge, Column, Picture, Section, Table, with_bounds
from everstay.report.charts import draw_calibration
from everstay.report.document import Cell
from everstay.scoring.back_test import PastPublication
from everstay.settings import Churn

Judged = tuple[PastPublication, Outcome]
"""A publication whose labels are mature."""


def back_test_section(past: Sequence[PastPublication], confidence: float) -> Section:
    """What was warned and what happened.

    Args:
        past: from `back_test`, newest first.
        confidence: of the intervals.
    """
    mature = [(one, one.outcome) for one in past if one.outcome]
    honest = [(one, outcome) for one, outcome in mature if not one.learned_later]
    words = [
        "Every publication of churn_scores compared with what happened since, by the churn definition it was made "
        "with. Precision: share of warned users that left; "
        "recall: share of leavers that were warned; lift: precision over the share of all users that left; "
        "lost value: the published value of the users who left.",
        f"In brackets: {confidence:.0%} confidence intervals. A publication is evaluated once its labels are mature.",
    ]
    if not mature:
        words.append("No publication is old enough yet.")
    if len(honest) < len(mature):
        words.append(
            "Marked with *: the model was trained on data from after the as-of, or is no longer in the registry; "
            "the row is not a fair test of it."
        )
    badges = list(_badges(honest))
    pictures = list(_pictures(honest, confidence))
    return Section("Back-test of the warnings", words, badges, (_publications(past), _tiers(mature)), pictures)


def _badges(honest: Sequence[Judged]) -> Iterator[Badge]:
    for one, outcome in honest[:1]:
        high, everybody = outcome.groups["high"], outcome.groups["all"]
        yield Badge(f"left, of {high.users:,} warned (tier high) on {one.as_of:%Y-%m-%d}", f"{high.left:,}")
        yield Badge("expected to leave, of all", f"{everybody.expected:,.0f}")
        yield Badge("left, of all", f"{everybody.left:,}")


def _publications(past: Sequence[PastPublication]) -> Table:
    rows: list[list[Cell]] = []
    for one in past:
        everybody = one.outcome.groups["all"] if one.outcome else None
        rows.append(
            [
                f"{one.as_of:%Y-%m-%d}{' *' if one.learned_later else ''}",
                one.model_version,
                one.users,
                _meaning(one.churn),
                everybody.expected if everybody else None,
                everybody.left if everybody else None,
                with_bounds(one.outcome.roc_auc if one.outcome else None),
                with_bounds(one.outcome.calibration_error if one.outcome else None),
                str(one.clock),
            ]
        )
    columns = (
        Column("as of"), Column("model version"), Column("users", ",d"), Column("left: no order for"),
        Column("expected to leave", ",.0f"), Column("left", ",d"), Column("ROC-AUC"), Column("calibration error"),
        Column("maturity"),
    )  # fmt: skip
    return Table("Publications", columns, rows)


def _meaning(churn: Churn) -> str:
    """What leaving meant."""
    return f"{churn.horizon_days} days" + (f" after a gap of {churn.gap_days} days" if churn.gap_days else "")


def _tiers(mature: Sequence[Judged]) -> Table:
    rows: list[list[Cell]] = []
    for one, outcome in mature:
        for name, group in outcome.groups.items():
            rows.append(
                [
                    f"{one.as_of:%Y-%m-%d}{' *' if one.learned_later else ''}",
                    name,
                    group.users,
                    group.left,
                    group.expected,
                    with_bounds(group.precision, ".1%") if group.users else "",
                    with_bounds(group.recall, ".1%") if name != "all" else "",
                    group.lift,
                    group.lost_value,
                ]
            )
    columns = (
        Column("as of"), Column("tiers"), Column("users", ",d"), Column("left", ",d"), Column("expected", ",.1f"),
        Column("precision"), Column("recall"), Column("lift", ".2f"), Column("share of the lost value", ".1%"),
    )  # fmt: skip
    return Table("Warnings and outcomes", columns, rows)


def apart(honest: Sequence[Judged]) -> list[Judged]:
    """The newest publication, then each older one whose label window ends before that of the one taken last begins.

    Of publications night by night the labels are nearly the same: counted together, users would be counted many times.

    Args:
        honest: newest first.
    """
    taken: list[Judged] = []
    for one, outcome in honest:
        end = one.as_of + timedelta(days=one.churn.gap_days + one.churn.horizon_days)
        if not taken or end <= taken[-1][0].as_of + timedelta(days=taken[-1][0].churn.gap_days):
            taken.append((one, outcome))
    return taken


def _pictures(honest: Sequence[Judged], confidence: float) -> Iterator[Picture]:
    drawn = apart(honest)
    if drawn:
        means, shares = calibration_points((outcome.cells for _, outcome in drawn), confidence)
        chart = draw_calibration(means, [s.value for s in shares], [s.low for s in shares], [s.high for s in shares])
        count = f"{len(drawn)} mature publication{'s' if len(drawn) > 1 else ''}"
        if len(drawn) < len(honest):
            count += f" of {len(honest)}, whose label windows do not overlap"
        yield Picture(f"Calibration of {count}: share that left, by decile", chart)
