"""The strongest parts of each row's log-odds in words: true to the served model, associations and not causes."""

from collections.abc import Mapping

import polars as pl

from everstay.churn.encoding import FEATURE_COLUMNS
from everstay.churn.reasons.attribution import Attribution
from everstay.churn.reasons.groups import GROUP_NAMES, group_parts
from everstay.churn.reasons.words import WORDS

REASONS = 3
SMALLEST = 0.02
"""Log-odds; a smaller part is not a reason."""


def usual_values(rows: pl.DataFrame) -> dict[str, float | None]:
    """Median of each feature over training rows; null where it is always undefined."""
    return rows.select(pl.col(FEATURE_COLUMNS).median()).row(0, named=True)


def tell_reasons(attribution: Attribution, rows: pl.DataFrame, usual: Mapping[str, float | None]) -> list[list[str]]:
    """Up to three reasons per row, the strongest first: `raises the risk: no order for 41 days, usually every 9`.

    Args:
        attribution: of the rows' log-odds.
        rows: one user and as-of each, N of them.
        usual: from `usual_values`.
    """
    if rows.is_empty():
        return []
    effects = pl.DataFrame(group_parts(attribution), schema=list(GROUP_NAMES)).with_row_index("row")
    words = rows.select(WORDS[name](usual).alias(name) for name in WORDS).with_row_index("row")
    strongest = (
        effects.unpivot(index="row", on=list(WORDS), variable_name="group", value_name="effect")
        .filter(pl.col("effect").abs() >= SMALLEST)
        .sort(pl.col("effect").abs(), descending=True, maintain_order=True)
        .group_by("row", maintain_order=True)
        .head(REASONS)
    )
    texts = words.unpivot(index="row", variable_name="group", value_name="text")
    told = strongest.join(texts, on=["row", "group"], how="left", maintain_order="left")
    direction = pl.when(pl.col("effect") > 0).then(pl.lit("raises the risk: ")).otherwise(pl.lit("lowers the risk: "))
    by_row = told.group_by("row", maintain_order=True).agg(pl.concat_str(direction, "text").alias("reasons"))
    listed = effects.select("row").join(by_row, on="row", how="left", maintain_order="left")
    reasons: list[list[str]] = listed["reasons"].fill_null([]).to_list()
    return reasons
