"""Where it runs and what the shop wants: `everstay.toml`, overridden by `EVERSTAY_*` variables (`__` between levels).

Secrets (a database password, an object store's key) come from the environment only and are never a field here.
"""

import os
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from everstay.errors import SettingsError
from everstay.recommender_settings import AlreadyBought, Lists, Recommender, RecommenderCandidate
from everstay.settings_mistakes import explain_mistakes, refuse_unknown_variables
from everstay.source_settings import (
    DatabaseSource,
    Days,
    FilesSource,
    MappedSource,
    Names,
    Place,
    Section,
    Source,
    StoreTwinSource,
    UserAttribute,
)
from everstay.value_settings import Fairness, Value

__all__ = [
    "DATABASE_VARIABLE",
    "AlreadyBought",
    "Churn",
    "Dask",
    "Data",
    "DatabaseSource",
    "Fairness",
    "FilesSource",
    "Lists",
    "MappedSource",
    "Mlflow",
    "PeriodUnit",
    "Prefect",
    "Promotion",
    "Recommender",
    "RecommenderCandidate",
    "Retention",
    "Settings",
    "Source",
    "StoreTwinSource",
    "Training",
    "UserAttribute",
    "Value",
    "load_settings",
]

ENV_PREFIX = "EVERSTAY_"
FILE_VARIABLE = "EVERSTAY_SETTINGS"
PeriodUnit = Literal["week", "month"]
AsOf = Annotated[date, Field(ge=date(1990, 1, 1))]  # no event is older
BLENDED = ("boosting", "network", "purchase_process")  # the churn candidate `blend` averages those that are named
DATABASE_VARIABLE = "EVERSTAY_DATABASE_URL"  # a secret: read where it is used, never part of the settings


class Data(Section):
    """The lake."""

    folder: Place = Field(default="data", min_length=1)
    """Folder or URI of the lake's Delta tables."""
    buckets: int = Field(default=16, gt=0, le=100_000)
    """User buckets; fixed once data is stored."""
    keep_days: Days | None = None
    """Files that no version younger than this references are deleted after an ingestion; none: all are kept."""


class Churn(Section):
    """What leaving means, and how it is learned."""

    look_back_days: Days = 84
    """Population: users with a net purchase in this many days before the as-of."""
    gap_days: int = Field(default=0, ge=0, le=36_500)
    """Days between the as-of and the start of the label window: the time a campaign needs."""
    horizon_days: int = Field(default=28, gt=0, le=731)
    """Churned: no net purchase in this many days after the gap; two years at most."""
    allowed_lateness_days: int = Field(default=2, ge=0, le=36_500)
    """Days after the window's end until its events are all recorded and the label counts as known."""
    slice_step_days: Days = 7
    """Days between two training as-ofs."""
    training_slices: int = Field(default=26, gt=0)
    """At most this many training as-ofs while candidates are chosen; the model that serves is refitted on these and all
    later ones up to the last validation as-of."""
    validation_slices: int = Field(default=3, gt=0)
    """At most this many validation as-ofs, two steps apart: a single one is too noisy."""
    max_users: int = Field(default=10_000, gt=0)
    """Most users for training and evaluation; a fixed sample if the shop has more. All are scored."""
    candidates: Names[
        Literal[
            "recency", "purchase_process", "logistic", "lasso", "tree", "svm",
            "boosting", "lightgbm", "network", "hazard", "transformer", "blend",
        ]
    ] = ("recency", "logistic", "boosting", "network", "blend")  # fmt: skip
    """In the order in which they are judged. The blend comes after its members: boosting, network and purchase_process,
    those of them that are named; the last pays off where users visit much more often than they order."""
    tiers_by: Literal["value_at_risk", "probability"] = "value_at_risk"
    """What the warning list is ordered by; where no value is known it is the probability."""
    high_risk_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the users, from the top of the list, in tier `high`; a `budget` in `[value]` decides instead."""
    medium_risk_share: float = Field(default=0.3, gt=0, lt=1)
    """Share of the users, from the top of the list, in tier `medium` or above."""

    @property
    def definition(self) -> tuple[int, ...]:
        """What decides a label: look-back, gap, horizon and allowed lateness in days."""
        return self.look_back_days, self.gap_days, self.horizon_days, self.allowed_lateness_days

    @property
    def tiers(self) -> tuple[float, float]:
        """Shares of users in tier `high`, and in `medium` or above."""
        return self.high_risk_share, self.medium_risk_share

    @model_validator(mode="after")
    def _blend_has_members(self) -> Self:
        order = self.candidates
        members = [name for name in BLENDED if name in order] or BLENDED
        if "blend" in order and not set(members) < set(order[: order.index("blend") + 1]):
            raise ValueError(
                f"blend averages those of {', '.join(BLENDED)} that candidates list: list one or more, all before blend"
            )
        return self

    @model_validator(mode="after")
    def _tiers_are_nested(self) -> Self:
        if self.high_risk_share >= self.medium_risk_share:
            raise ValueError("high_risk_share must be below medium_risk_share, which includes tier high")
        return self


class Retention(Section):
    """Retention by cohort, measured and forecast."""

    period: PeriodUnit = "month"
    """Users are followed from the calendar week (from Monday) or month of their first order."""
    ahead: int = Field(default=3, gt=0, le=12)
    """Periods that are forecast."""
    min_cohort_users: int = Field(default=20, gt=0)
    """Smaller cohorts are counted, but not forecast on their own."""


class Promotion(Section):
    """The gate between challenger and champion."""

    churn_metric: Literal["roc_auc", "average_precision"] = "average_precision"
    """Figure by which churn candidates are chosen and promoted."""
    recommender_metric: Literal["ndcg", "recall", "mrr", "hit_rate"] = "ndcg"
    """Figure by which recommender candidates are chosen and promoted."""
    minimum_effect: float = Field(default=0.0, ge=0)
    """The interval's lower bound must be above this."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Of every interval: 0.95 leaves 2.5% outside on either side."""
    resamples: int = Field(default=1_000, ge=100)
    """Bootstrap resamples of the users behind every interval."""
    max_calibration_error: float = Field(default=0.05, gt=0, le=1)
    """Guard: a churn challenger with a larger expected calibration error is never promoted."""
    min_coverage: float = Field(default=0.0, ge=0, le=1)
    """Guard: a recommender challenger that shows a smaller share of the catalogue is never promoted."""


class Training(Section):
    """How networks are trained; what is trained is the models' own configuration."""

    seed: int = Field(default=17, ge=0, lt=1 << 32)
    """Of everything random in training and in intervals."""
    accelerator: str = "auto"
    """Lightning accelerator: `cpu`, `gpu` or another; `auto` takes the best that this machine has."""
    devices: int | Literal["auto"] = 1
    """How many of them one model trains on; `auto`: all."""
    strategy: str = "auto"
    """Lightning strategy, for example `ddp` with several devices."""
    max_epochs: int = Field(default=30, gt=0)
    """Most passes over the rows; training ends earlier where validation no longer improves."""


class Dask(Section):
    """Where per-bucket work runs, and training."""

    scheduler: str = ""
    """`tcp://host:port` of a running scheduler; empty starts local worker processes."""
    workers: int = Field(default=2, ge=0)
    """Local worker processes, which also train the candidates, one each at a time; 0 computes in this process."""


class Mlflow(Section):
    """The experiment store."""

    tracking_uri: Place = Field(default="sqlite:///mlruns/mlflow.db", min_length=1)
    """Database of runs and versions: `sqlite:///file`, `postgresql://...`, or the `http://` address of a server."""
    artifacts: Place = Field(default="mlruns/artifacts", min_length=1)
    """Folder or URI of the models' files and of pages."""
    port: int = Field(default=5000, gt=0, lt=65536)
    """Of `make ui`, on this machine."""


class Prefect(Section):
    """The orchestrator and its schedules."""

    api_url: str = "http://127.0.0.1:4200/api"
    """Address of the server; `make deploy` starts one when none answers there."""
    daily_cron: str = "0 3 * * *"
    """Ingest and score."""
    weekly_cron: str = "0 4 * * 1"
    """Train and promote."""
    time_zone: str = "UTC"
    """Zone of both schedules, for example `Europe/Berlin`."""


class _Variables(EnvSettingsSource):
    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Keep invalid JSON as text, so that validation refuses it with the key's name and expected type."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


class Settings(BaseSettings):
    """Everything that can be set. Unknown keys are errors."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        toml_file="everstay.toml",
    )

    as_of: AsOf | None = None
    """The date models are judged at; none: the last midnight for which churn and next purchases are known."""
    score_as_of: AsOf | None = None
    """The date users are scored at; none: the last midnight that the data covers."""
    report_folder: Place = "reports"
    """Where pages and other files for people are written."""
    expectations_folder: Place = "expectations"
    """Expectation suites for the data, one per table."""
    source: Source = Source()
    data: Data = Data()
    churn: Churn = Churn()
    recommender: Recommender = Recommender()
    retention: Retention = Retention()
    value: Value = Value()
    fairness: Fairness = Fairness()
    promotion: Promotion = Promotion()
    training: Training = Training()
    dask: Dask = Dask()
    mlflow: Mlflow = Mlflow()
    prefect: Prefect = Prefect()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic-settings'
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then variables, then the file."""
        return init_settings, _Variables(settings_cls), TomlConfigSettingsSource(settings_cls, _settings_file())


def load_settings(**overrides: Any) -> Settings:
    """Read `everstay.toml` (or the file named by `EVERSTAY_SETTINGS`) and the environment.

    Raises:
        SettingsError: a key is unknown or a value does not fit; names the key and, where there is one, the nearest.
    """
    file = _settings_file()
    if FILE_VARIABLE in os.environ and (file.is_dir() or not file.exists()):
        what = "is a folder" if file.is_dir() else "does not exist"
        raise SettingsError(f"{FILE_VARIABLE} names {file}, which {what}")
    try:
        refuse_unknown_variables(ENV_PREFIX, (FILE_VARIABLE, DATABASE_VARIABLE), Settings)
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(explain_mistakes(error, file, Settings)) from None
    except ValueError as error:  # TOML syntax
        raise SettingsError(f"{file}: {error}") from None


def _settings_file() -> Path:
    return Path(os.environ.get(FILE_VARIABLE, "everstay.toml"))
