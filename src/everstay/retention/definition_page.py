"""The advice on what churn should mean, as a section: the gaps, the horizons, and the arithmetic behind the minimum."""

import numpy as np

from everstay.report import Badge, Column, Picture, Section, Table, with_bounds
from everstay.report.charts import draw_bars
from everstay.report.document import Cell
from everstay.retention.definition import DEFAULT_QUANTILE, QUANTILES, Definition, HorizonAdvice
from everstay.retention.sample_size import ASSUMED_AUC, EVENTS_PER_FEATURE, WANTED_HALF_WIDTH
from everstay.settings import Churn

_DRAWN_QUANTILE = 0.99
_BARS = 60


def definition_section(found: Definition, churn: Churn, features: int) -> Section:
    """What to set `[churn] horizon_days` to, and why.

    Args:
        found: from `advise_definition`.
        churn: as it is set.
        features: that candidates learn from.
    """
    gaps = found.gaps
    now = next(one for one in found.advice if one.horizon_days == churn.horizon_days)
    badges = (
        Badge("suggested horizon", f"{found.suggested_days} days"),
        Badge("current setting", f"{churn.horizon_days} days", "good" if verdict(now) == "enough" else "look"),
        Badge("repeat buyers, of all buyers", f"{gaps.repeaters:,} of {gaps.buyers:,}"),
    )
    words = (
        f"The suggestion is the {DEFAULT_QUANTILE:.0%} quantile of the gaps between a user's order days, each repeat "
        "buyer weighted equally: a longer silence is unusual. Open gaps are not included, so a young log makes it too "
        "short.",
        f"Population: a net purchase in the {churn.look_back_days} days before the as-of. Left: none in the horizon, "
        f"which begins {churn.gap_days} days after it. Each horizon is counted at its last as-of with mature labels.",
        f"The minimum: with L leavers and S stayers a 95% interval on ROC-AUC (Hanley and McNeil 1982, at "
        f"{ASSUMED_AUC}) is ± 1.96 √((A(1-A) + (L-1)(A/(2-A)-A²) + (S-1)(2A²/(1+A)-A²)) / LS); leavers needed "
        f"are the fewest that make it ± {WANTED_HALF_WIDTH}. An unpenalised regression also needs {EVENTS_PER_FEATURE} "
        f"leavers per feature: {EVENTS_PER_FEATURE} × {features} = {EVENTS_PER_FEATURE * features:,}; penalised models "
        "and trees need fewer, as does training on several as-ofs.",
    )
    picture = Picture("Gaps between order days, each repeat buyer weighted equally", _histogram(found))
    return Section(
        "Definition of churn", words, badges, (_horizons(found, churn, features), _quantiles(found)), (picture,)
    )


def verdict(one: HorizonAdvice) -> str:
    """Whether a horizon yields enough to learn from and to judge by, in a word."""
    if one.problem or one.fewest_leavers is None or one.auc_half_width is None:
        return "not knowable"
    if one.auc_half_width <= WANTED_HALF_WIDTH:
        return "enough"
    return "thin" if one.auc_half_width <= 2 * WANTED_HALF_WIDTH else "too few"


def _horizons(found: Definition, churn: Churn, features: int) -> Table:
    rows: list[list[Cell]] = []
    for one in found.advice:
        marks = [name for name, days in (("suggested", found.suggested_days), ("set", churn.horizon_days))
                 if days == one.horizon_days]  # fmt: skip
        rows.append(
            [
                f"{one.horizon_days} days" + (f" ({', '.join(marks)})" if marks else ""),
                f"{one.as_of:%Y-%m-%d}",
                one.users,
                one.leavers,
                with_bounds(one.base_rate, ".1%"),
                one.auc_half_width,
                one.fewest_leavers,
                one.leavers / features,
                one.problem or verdict(one),
            ]
        )
    columns = (
        Column("horizon"), Column("as of"), Column("users", ",d"), Column("leavers", ",d"),
        Column("base rate (95% interval)"), Column("AUC interval ±", ".3f"), Column("leavers needed", ",d"),
        Column("leavers per feature", ".1f"), Column("verdict"),
    )  # fmt: skip
    return Table("Horizons: users, leavers, and whether they are enough", columns, rows)


def _quantiles(found: Definition) -> Table:
    gaps = found.gaps
    rows: list[list[Cell]] = [
        [f"{share:.0%}", gaps.quantile(share, by_user=True), gaps.quantile(share, by_user=False)] for share in QUANTILES
    ]
    columns = (Column("quantile"), Column("days, by repeat buyer", ",d"), Column("days, by gap", ",d"))
    marked = frozenset({QUANTILES.index(DEFAULT_QUANTILE)})
    return Table("Quantiles of the days between two order days", columns, rows, marked=marked)


def _histogram(found: Definition) -> str:
    gaps = found.gaps
    end = gaps.quantile(_DRAWN_QUANTILE, by_user=True) + 1
    step = max(1, -(-end // _BARS))
    starts = np.arange(1, end + 1, step)
    mass = gaps.weights / gaps.weights.sum()
    heights = [float(mass[start : start + step].sum()) for start in starts]
    marks = [(gaps.quantile(share, by_user=True), f"{share:.0%}") for share in (0.5, 0.8, DEFAULT_QUANTILE)]
    return draw_bars([float(start) for start in starts], heights, marks, ("days", "share of gaps"))
