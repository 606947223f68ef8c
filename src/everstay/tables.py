"""The vocabulary: every table, column, dtype, unit and event type. Columns are spelled nowhere else.

All times are UTC with microseconds; all ids are the shop's own, as strings; money is in the shop's currency.

>>> EVENTS.key
('event_id',)
>>> USERS.empty().columns[0]
'user_id'
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import polars as pl

# ---- columns -------------------------------------------------------------------------------------------------------
EVENT_ID = "event_id"
USER_ID = "user_id"
ITEM_ID = "item_id"
EVENT_TYPE = "event_type"
OCCURRED_AT = "occurred_at"  # when it happened at the shop
RECORDED_AT = "recorded_at"  # when the shop's log first knew it; never before occurred_at
ORDER_ID = "order_id"
SESSION_ID = "session_id"
QUANTITY = "quantity"  # pieces
AMOUNT = "amount"  # paid for the whole line, after discount
DISCOUNT = "discount"  # taken off the whole line, >= 0
RATING = "rating"  # 1 to 5
TEXT = "text"
PLATFORM = "platform"
CAMPAIGN_ID = "campaign_id"

CATEGORY = "category"
SUBCATEGORY = "subcategory"
BRAND = "brand"
PRICE = "price"  # of one piece
TITLE = "title"
DESCRIPTION = "description"
AVAILABLE_FROM = "available_from"
AVAILABLE_UNTIL = "available_until"

JOINED_AT = "joined_at"
AGE_BAND = "age_band"
INCOME_BAND = "income_band"
HOUSEHOLD_SIZE = "household_size"
HAS_MARKETING_CONSENT = "has_marketing_consent"

ARM = "arm"
ASSIGNED_AT = "assigned_at"
PROPENSITY = "propensity"
COST = "cost"

USER_BUCKET = "user_bucket"  # stable hash of user_id modulo the lake's bucket count
AS_OF = "as_of"
CHURNED = "churned"
RETURN_DAYS = "return_days"
ORDER_DAYS = "order_days"
GAP_DAYS = "gap_days"
HORIZON_DAYS = "horizon_days"
MATURED_AT = "matured_at"

CHURN_PROBABILITY = "churn_probability"
RISK_TIER = "risk_tier"
REASONS = "reasons"
CUSTOMER_VALUE = "customer_value"  # expected spend of a user who stays, within [value] horizon_days; shop currency
CUSTOMER_VALUE_LOW = "customer_value_low"  # 80% interval of that spend
CUSTOMER_VALUE_HIGH = "customer_value_high"
VALUE_AT_RISK = "value_at_risk"  # churn_probability * customer_value; shop currency
PREVIOUS_PROBABILITY = "previous_probability"  # churn_probability at the as-of published before
PROBABILITY_CHANGE = "probability_change"  # churn_probability - previous_probability, of one gap and horizon
EXPECTED_ORDER_AT = "expected_order_at"  # midnight; median, if the user is still active
EXPECTED_ALARM_AT = "expected_alarm_at"  # midnight from which the user's silence is unusual for them
RANK = "rank"
SCORE = "score"
PLACE = "place"
REASON = "reason"
MODEL_VERSION = "model_version"
DATA_VERSION = "data_version"

DELIVERY = "delivery"  # identifies a file and its content, and after `FILE_DIGITS` digits how it is read
FILE_DIGITS = 32
DELIVERED_AT = "delivered_at"
EVENTS_TABLE = "events_table"  # id of the Delta table that holds its events
EVENT_COUNT = "event_count"  # of that table, including these
SOURCE_FILE = "source_file"
SOURCE_ROW = "source_row"  # 1 = first row of data in the file
PROBLEM = "problem"  # null for a row that can be stored
CONTENT = "content"  # the refused row as JSON

MODEL = "model"
DECIDED_AT = "decided_at"
CHALLENGER_VERSION = "challenger_version"
CHAMPION_VERSION = "champion_version"
IS_PROMOTED = "is_promoted"
METRIC = "metric"
DIFFERENCE = "difference"
DIFFERENCE_LOW = "difference_low"
DIFFERENCE_HIGH = "difference_high"

# ---- event types ---------------------------------------------------------------------------------------------------
VIEW = "view"
CLICK = "click"
SEARCH = "search"
CART = "cart"
PURCHASE = "purchase"
RETURN = "return"
RATE = "rating"
REVIEW = "review"
COUPON_REDEEMED = "coupon_redeemed"
MESSAGE_SENT = "message_sent"
MESSAGE_OPENED = "message_opened"
EVENT_TYPES = (
    VIEW, CLICK, SEARCH, CART, PURCHASE, RETURN, RATE, REVIEW, COUPON_REDEEMED, MESSAGE_SENT, MESSAGE_OPENED,
)  # fmt: skip

TIME = pl.Datetime("us", "UTC")
MADE_ID = "~"
"""Prefix of an event id that was made from the row's content; such an id can recur only at the same time."""

ANONYMOUS = "anonymous:"
"""Prefix of the `user_id` of anonymous events; the rest names the order, visit or event. It is no user."""


def is_anonymous() -> pl.Expr:
    """Condition on `user_id` of anonymous rows, which count for items, but for no user.

    >>> pl.DataFrame({USER_ID: ["ann", "anonymous:17"]}).filter(is_anonymous()).height
    1
    """
    return pl.col(USER_ID).str.starts_with(ANONYMOUS)


@dataclass(frozen=True)
class Table:
    """One table of the lake.

    Attributes:
        name: folder in the lake and file name of its expectation suite.
        key: columns that name a row.
        columns: column to dtype, in order.
        required: columns that are never null.
        is_open: further numeric columns may follow the declared ones (features are declared where they are computed).
    """

    name: str
    key: tuple[str, ...]
    columns: Mapping[str, pl.DataType | type[pl.DataType]]
    required: frozenset[str]
    is_open: bool = False

    def empty(self) -> pl.DataFrame:
        """No rows, all declared columns."""
        return pl.DataFrame(schema=dict(self.columns))

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Give `frame` exactly the declared columns in order and dtype; absent nullable ones become null.

        Raises:
            ValueError: a required column is absent, or a column is neither declared nor allowed by `is_open`.
            polars.exceptions.InvalidOperationError: a value does not fit its dtype.
        """
        absent = [name for name in self.columns if name not in frame.columns]
        if missing := sorted(self.required.intersection(absent)):
            raise ValueError(f"table {self.name}: required column(s) {', '.join(missing)} are missing")
        extra = [name for name in frame.columns if name not in self.columns]
        if extra and not self.is_open:
            raise ValueError(f"table {self.name}: column(s) {', '.join(extra)} are not declared")
        declared = [
            pl.lit(None, dtype).alias(name) if name in absent else pl.col(name).cast(dtype)
            for name, dtype in self.columns.items()
        ]
        return frame.select(*declared, *extra)


def _table(
    name: str,
    key: tuple[str, ...],
    columns: dict[str, pl.DataType | type[pl.DataType]],
    nullable: tuple[str, ...] = (),
    *,
    is_open: bool = False,
) -> Table:
    return Table(name, key, MappingProxyType(columns), frozenset(columns).difference(nullable), is_open)


EVENTS = _table(
    "events",
    (EVENT_ID,),
    {
        EVENT_ID: pl.String,
        USER_ID: pl.String,
        ITEM_ID: pl.String,
        EVENT_TYPE: pl.String,
        OCCURRED_AT: TIME,
        RECORDED_AT: TIME,
        ORDER_ID: pl.String,
        SESSION_ID: pl.String,
        QUANTITY: pl.Int32,
        AMOUNT: pl.Float64,
        DISCOUNT: pl.Float64,
        RATING: pl.Float32,
        TEXT: pl.String,
        PLATFORM: pl.String,
        CAMPAIGN_ID: pl.String,
    },
    (ITEM_ID, ORDER_ID, SESSION_ID, RATING, TEXT, PLATFORM, CAMPAIGN_ID),
)
ITEMS = _table(
    "items",
    (ITEM_ID,),
    {
        ITEM_ID: pl.String,
        CATEGORY: pl.String,
        SUBCATEGORY: pl.String,
        BRAND: pl.String,
        PRICE: pl.Float64,
        TITLE: pl.String,
        DESCRIPTION: pl.String,
        AVAILABLE_FROM: TIME,
        AVAILABLE_UNTIL: TIME,
    },
    (CATEGORY, SUBCATEGORY, BRAND, PRICE, TITLE, DESCRIPTION, AVAILABLE_FROM, AVAILABLE_UNTIL),
)
USERS = _table(
    "users",
    (USER_ID,),
    {
        USER_ID: pl.String,
        JOINED_AT: TIME,
        AGE_BAND: pl.String,
        INCOME_BAND: pl.String,
        HOUSEHOLD_SIZE: pl.String,
        HAS_MARKETING_CONSENT: pl.Boolean,
    },
    (JOINED_AT, AGE_BAND, INCOME_BAND, HOUSEHOLD_SIZE, HAS_MARKETING_CONSENT),
)
TREATMENTS = _table(
    "treatments",
    (CAMPAIGN_ID, USER_ID),
    {
        CAMPAIGN_ID: pl.String,
        USER_ID: pl.String,
        ARM: pl.String,
        ASSIGNED_AT: TIME,
        PROPENSITY: pl.Float64,
        COST: pl.Float64,
    },
    (PROPENSITY, COST),
)
QUARANTINE = _table(
    "quarantine",
    (SOURCE_FILE, SOURCE_ROW, PROBLEM, CONTENT),  # another delivery may come under the same name
    {SOURCE_FILE: pl.String, SOURCE_ROW: pl.Int64, PROBLEM: pl.String, CONTENT: pl.String},
)
DELIVERIES = _table(
    "deliveries",
    (DELIVERY,),
    {DELIVERY: pl.String, SOURCE_FILE: pl.String, DELIVERED_AT: TIME, EVENTS_TABLE: pl.String, EVENT_COUNT: pl.Int64},
)
USER_FEATURES = _table("user_features", (USER_ID, AS_OF), {USER_ID: pl.String, AS_OF: TIME}, is_open=True)
CHURN_LABELS = _table(
    "churn_labels",
    (USER_ID, AS_OF),
    {
        USER_ID: pl.String,
        AS_OF: TIME,
        CHURNED: pl.Boolean,
        RETURN_DAYS: pl.Int32,
        ORDER_DAYS: pl.Int32,
        HORIZON_DAYS: pl.Int32,
        MATURED_AT: TIME,
    },
)
CHURN_SCORES = _table(
    "churn_scores",
    (USER_ID, AS_OF),
    {
        USER_ID: pl.String,
        AS_OF: TIME,
        CHURN_PROBABILITY: pl.Float64,
        RISK_TIER: pl.String,
        REASONS: pl.List(pl.String),
        CUSTOMER_VALUE: pl.Float64,
        CUSTOMER_VALUE_LOW: pl.Float64,
        CUSTOMER_VALUE_HIGH: pl.Float64,
        VALUE_AT_RISK: pl.Float64,
        PREVIOUS_PROBABILITY: pl.Float64,
        PROBABILITY_CHANGE: pl.Float64,
        EXPECTED_ORDER_AT: TIME,
        EXPECTED_ALARM_AT: TIME,
        GAP_DAYS: pl.Int32,
        HORIZON_DAYS: pl.Int32,
        MODEL_VERSION: pl.String,
        DATA_VERSION: pl.String,
    },
    (
        CUSTOMER_VALUE,
        CUSTOMER_VALUE_LOW,
        CUSTOMER_VALUE_HIGH,
        VALUE_AT_RISK,
        PREVIOUS_PROBABILITY,
        PROBABILITY_CHANGE,
        EXPECTED_ORDER_AT,
        EXPECTED_ALARM_AT,
        GAP_DAYS,
        HORIZON_DAYS,
    ),
)
RECOMMENDATIONS = _table(
    "recommendations",
    (USER_ID, AS_OF, RANK),
    {
        USER_ID: pl.String,
        AS_OF: TIME,
        RANK: pl.Int32,
        ITEM_ID: pl.String,
        SCORE: pl.Float64,
        REASON: pl.String,
        MODEL_VERSION: pl.String,
        DATA_VERSION: pl.String,
    },
)
PROMOTIONS = _table(
    "promotions",
    (MODEL, CHALLENGER_VERSION, DECIDED_AT),
    {
        MODEL: pl.String,
        DECIDED_AT: TIME,
        CHALLENGER_VERSION: pl.String,
        CHAMPION_VERSION: pl.String,
        IS_PROMOTED: pl.Boolean,
        METRIC: pl.String,
        DIFFERENCE: pl.Float64,
        DIFFERENCE_LOW: pl.Float64,
        DIFFERENCE_HIGH: pl.Float64,
        REASONS: pl.List(pl.String),
        DATA_VERSION: pl.String,
    },
    (CHAMPION_VERSION, DIFFERENCE, DIFFERENCE_LOW, DIFFERENCE_HIGH),
)
TABLES = (
    EVENTS, ITEMS, USERS, TREATMENTS, QUARANTINE, DELIVERIES,
    USER_FEATURES, CHURN_LABELS, CHURN_SCORES, RECOMMENDATIONS, PROMOTIONS,
)  # fmt: skip
"""All of them."""
