"""Where a shop's events come from: the section `[source]` of the settings."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

Name = TypeVar("Name", bound=str)
Days = Annotated[int, Field(gt=0, le=36_500)]
"""Whole days, at most a century, so that dates stay within the calendar."""


def _each_once(names: tuple[Name, ...]) -> tuple[Name, ...]:
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise ValueError(f"'{twice[0]}' is listed twice")
    return names


def _expanded(place: str) -> str:
    """A path with `~/` as the account's own folder, as some libraries read it and others do not; URIs stay."""
    scheme = "sqlite:///" if place.startswith("sqlite:///") else ""
    path = place.removeprefix(scheme)
    return f"{scheme}{Path(path).expanduser()}" if path == "~" or path.startswith("~/") else place


Place = Annotated[str, AfterValidator(_expanded)]
"""A path, which may begin with `~/`, or a URI."""
AnyNames = Annotated[tuple[Name, ...], AfterValidator(_each_once)]
"""Names, or none; each once."""
Names = Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(_each_once)]
"""Some names, each once."""

UserAttribute = Literal["age_band", "income_band", "household_size"]
"""What users may declare about themselves; no model reads it unless a setting names it."""


class Section(BaseModel):
    """A section of the settings: unknown keys are errors, numbers are finite, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class MappedSource(Section):
    """What a shop's own tables are called, and what their rows mean."""

    section: ClassVar[str]
    """The section of the settings, for messages."""
    events: str = ""
    """Where the events are: what users did."""
    items: str = ""
    """Where the catalogue is; may be empty."""
    users: str = ""
    """Where the user table is, with what users declare; may be empty."""
    treatments: str = ""
    """Where the treatments are: what was offered to whom; may be empty."""
    columns: dict[str, str] = {}
    """Ours to theirs, for example `{user_id = "CustomerID"}`; a column not named here keeps its name."""
    event_types: dict[str, str] = {}
    """Theirs to ours, for example `{add_to_cart = "cart"}`; a type not named here keeps its name."""
    default_event_type: str = ""
    """The type of every row when there is no such column, for example `purchase`."""
    time_zone: str = "UTC"
    """Zone of times written without one."""
    time_formats: AnyNames[str] = ()
    """How text writes times, for example `["%m/%d/%Y %H:%M"]`: only so, the first that fits; none: as ISO 8601
    (`2017-01-31 18:05:00`), or numbers since 1970."""
    unit_price: str = ""
    """Their column of the unit price; the amount of a purchase or return is then this times the quantity."""
    negative_quantity: Literal["refuse", "return"] = "refuse"
    """What a purchase of negative quantity is: a mistake, or a return of as many pieces."""
    fractional_quantity: Literal["refuse", "one_piece"] = "refuse"
    """What a quantity such as `0.75` is: a mistake, or one piece, as goods by weight are counted; by `unit_price` it is
    paid for as it is."""
    cancelled_order_prefix: str = ""
    """Purchases whose order id begins with this are returns, for example `C` of the invoice `C536379`."""
    without_user: Literal["refuse", "keep"] = "refuse"
    """A row without user is a mistake, or an anonymous event: it counts for items, but for no user."""
    chunk_rows: int = Field(default=250_000, gt=0)
    """Rows read at a time, which bounds memory whatever the number of rows."""


class FilesSource(MappedSource):
    """A shop's own exports, on disk or in object storage (`s3://bucket/...`): Parquet, CSV and JSON lines.

    `events`, `items`, `users` and `treatments` are paths or globs, for example `exports/events-*.csv.gz`; all but the
    first may be empty. Credentials and endpoint of the object storage are the standard `AWS_*` variables.
    """

    section: ClassVar[str] = "source.files"
    encoding: str = "utf-8"
    """Of CSV files, by a name that Python knows, for example `cp1252`."""
    decimal: Literal[".", ","] = "."
    """The mark of fractions in CSV files; with `,` a point parts thousands (`1.234,50`)."""

    _paths = field_validator("events", "items", "users", "treatments")(_expanded)


class DatabaseSource(MappedSource):
    """A shop's own PostgreSQL, MySQL or MariaDB database, at the URL in the variable `EVERSTAY_DATABASE_URL`.

    `events`, `items`, `users` and `treatments` are names of tables (`shop.orders`) or SELECTs; all but the first may be
    empty.
    """

    section: ClassVar[str] = "source.database"
    key: str = "id"
    """A unique column of whole numbers (`bigint`, `numeric`) of the events, such as the primary key; ranges of it are
    read in parallel."""
    incremental: bool = True
    """Whether a later ingestion reads only rows whose `recorded_at` is not older than the lake's newest; without a
    column for `recorded_at` everything is always read."""
    overlap_hours: int = Field(default=24, ge=0, le=876_000)
    """How far before the lake's newest `recorded_at` an incremental read begins, for rows that were written late; a
    century at most."""


class StoreTwinSource(Section):
    """The simulated shop, whose truth is known."""

    users: int = Field(default=2_000, gt=0)
    """How many users the shop has."""
    items: int = Field(default=300, gt=0)
    """How many items it sells."""
    days: int = Field(default=364, gt=0)
    """Length of its history."""
    seed: int = Field(default=7, ge=0)
    """Another seed is another shop."""
    fault_share: float = Field(default=0.0, ge=0, le=1)
    """Share of rows that are made faulty on purpose."""


class Source(Section):
    """Where events come from."""

    kind: Literal["complete_journey", "files", "database", "store_twin"] = "complete_journey"
    """The public data of the Complete Journey, the shop's own files or database, or the simulated shop."""
    currency: str = Field(default="", pattern="^([A-Z]{3})?$")
    """ISO 4217 code of all amounts, for example `EUR`. It is only shown, never converted: one shop, one currency."""
    files: FilesSource = FilesSource()
    database: DatabaseSource = DatabaseSource()
    store_twin: StoreTwinSource = StoreTwinSource()
    max_quarantined_share: float = Field(default=0.05, ge=0, le=1)
    """A larger share of unusable rows than this rejects the whole delivery."""

    @property
    def shop(self) -> str:
        """The shop's name, in words: events of two shops do not belong in one lake."""
        if self.kind == "store_twin":
            twin = self.store_twin
            return f"a simulated shop (store_twin, {twin.users:,} users, {twin.items:,} items, seed {twin.seed})"
        return "the Complete Journey" if self.kind == "complete_journey" else "your own shop"
