"""The rows that churn candidates learn from and are judged on: one per user and as-of, in four parts by time.

Where the history is too short, train and validation are of the same as-ofs and of different users.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
import polars_hash
from numpy.typing import NDArray

from everstay import tables as t
from everstay.churn.encoding import FEATURE_COLUMNS, HISTORY_COLUMNS, STATE_COLUMN, TOKEN_COLUMNS
from everstay.errors import NotReady
from everstay.features import TimeSplit

_ATTRIBUTES, _UNLABELLED, _SHARE = "attributes.parquet", "unlabelled.parquet", "share.json"
_JUDGES = polars_hash.concat_str(t.USER_ID, pl.lit(" judges")).nchash.xxh3_64() % 3 == 0
PARTS = ("train", "between", "validation", "test")
LABEL_COLUMNS = (t.CHURNED, t.RETURN_DAYS, t.ORDER_DAYS, t.HORIZON_DAYS)
"""What is known only afterwards: whether a user left, and how those who stayed came back."""


def join_rows(features: pl.DataFrame, tokens: pl.DataFrame, labels: pl.DataFrame | None = None) -> pl.DataFrame:
    """Put features, day tokens and, where given, labels of the same users and as-ofs side by side.

    Args:
        features: `tables.USER_FEATURES`.
        tokens: from `everstay.features.day_tokens`; a user without tokens gets null lists.
        labels: `tables.CHURN_LABELS`; only users that have one (the churn population) are kept.

    Returns:
        `USER_ID`, `AS_OF`, the features, the token lists[, `LABEL_COLUMNS`], sorted by as-of and user.
    """
    key = [t.USER_ID, t.AS_OF]
    rows = features.join(tokens, on=key, how="left")
    if labels is not None:
        rows = rows.join(labels.select(*key, *LABEL_COLUMNS), on=key, how="inner")
    return rows.sort(t.AS_OF, t.USER_ID)


@dataclass(frozen=True)
class ChurnRows:
    """Rows with `LABEL_COLUMNS`, in the parts of `features.TimeSplit`; one as-of in `test`.

    Attributes:
        train: what candidates learn from while settings are chosen.
        between: later than that; their labels are known too late for the (first) validation as-of.
        validation: what settings are chosen and probabilities calibrated on; of one as-of or several.
        test: what the final models are judged on, and nothing else.
        unlabelled: users outside the churn population as of the last of `train` and the last before `test`, without
            `LABEL_COLUMNS`: networks are pre-trained on them too.
        share: of the shop's users that are in the rows.
    """

    train: pl.DataFrame
    between: pl.DataFrame
    validation: pl.DataFrame
    test: pl.DataFrame
    unlabelled: pl.DataFrame = field(default_factory=pl.DataFrame)
    share: float = 1.0

    @classmethod
    def split(cls, rows: pl.DataFrame, split: TimeSplit, everybody: pl.DataFrame | None = None) -> Self:
        """Sort rows into the parts of `split`; rows of other as-ofs are left out.

        Where `split` is by user, a third of the users, always the same ones, is the validation.

        Args:
            rows: from `join_rows` with labels.
            split: by time.
            everybody: from `join_rows` without labels.
        """
        moments = {
            "train": split.train,
            "between": split.between,
            "validation": split.validation,
            "test": (split.test,),
        }
        parts = {part: _at(rows, as_ofs) for part, as_ofs in moments.items()}
        if split.is_by_user:
            parts["train"], parts["validation"] = (parts["train"].filter(one) for one in (~_JUDGES, _JUDGES))
        labelled = cls(parts["train"], parts["between"], parts["validation"], parts["test"])
        if everybody is None:
            return labelled
        last = _at(everybody, (split.train[-1], split.refit[-1]))
        if split.is_by_user:
            last = last.filter(~_JUDGES)  # what they did until the last as-of decides their labels at earlier ones
        return replace(labelled, unlabelled=last.join(rows, on=[t.USER_ID, t.AS_OF], how="anti"))

    @property
    def is_by_user(self) -> bool:
        """Whether train and validation differ by users and not by time."""
        return not _is_before(self.train, self.validation)

    @property
    def refit(self) -> pl.DataFrame:
        """All rows whose labels are known at the test as-of."""
        return pl.concat([self.train, self.between, self.validation])

    def write(self, folder: Path) -> Path:
        """Store the parts in `folder`, for the tasks that fit one candidate each."""
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            getattr(self, part).write_parquet(folder / f"{part}.parquet")
        self.unlabelled.write_parquet(folder / _UNLABELLED)
        (folder / _SHARE).write_text(json.dumps(self.share), encoding="utf-8")
        return folder

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what `write` stored."""
        train, between, validation, test = (pl.read_parquet(folder / f"{part}.parquet") for part in PARTS)
        share = json.loads((folder / _SHARE).read_text(encoding="utf-8"))
        return cls(train, between, validation, test, pl.read_parquet(folder / _UNLABELLED), share)

    @classmethod
    def read_early(cls, folder: Path) -> Self:
        """Read only what settings are chosen by: train and validation; the other parts are not read, and empty.

        Raises:
            NotReady, ValueError: as `check`, of these two parts.
        """
        train, validation = (pl.read_parquet(folder / f"{part}.parquet") for part in ("train", "validation"))
        rows = cls(train, train.clear(), validation, validation.clear(), pl.read_parquet(folder / _UNLABELLED))
        rows.check(("train", "validation"))
        return rows

    def check(self, parts: Sequence[str] = ("train", "validation", "test")) -> None:
        """Reject parts that nothing can be learned from or evaluated on.

        Raises:
            NotReady: one of the parts has no user that left, or none that stayed.
            ValueError: a column is missing, or the parts are not in the order of time; train and validation may be of
                the same time if they are of different users.
        """
        frames: list[pl.DataFrame] = [getattr(self, name) for name in parts]
        for name, part in zip(parts, frames, strict=True):
            absent = sorted(
                {*LABEL_COLUMNS, t.AS_OF, *FEATURE_COLUMNS, *HISTORY_COLUMNS, STATE_COLUMN, *TOKEN_COLUMNS}.difference(
                    part.columns
                )
            )
            if absent:
                raise ValueError(f"{name} rows lack {', '.join(absent)}")
            if part[t.CHURNED].n_unique() < 2:
                raise NotReady(
                    f"{part.height} {name} users, {part[t.CHURNED].sum()} of them left: both leavers and stayers "
                    "are needed; change look_back_days or horizon_days in [churn], or bring more history"
                )
        for (one, earlier), (other, later) in combinations(zip(parts, frames, strict=True), 2):
            may_share = (one, other) == ("train", "validation")
            if not (_is_before(earlier, later) or (may_share and _are_others(earlier, later))):
                raise ValueError(f"{one} and {other} rows are not in order of time")


def write_attributes(users: pl.DataFrame | None, folder: Path) -> None:
    """Store the declared user attributes (`tables.USERS`) beside the rows, for evaluation by group."""
    if users is not None:
        users.write_parquet(folder / _ATTRIBUTES)


def read_attributes(folder: Path) -> pl.DataFrame | None:
    """What `write_attributes` wrote; None where the shop declares nothing."""
    file = folder / _ATTRIBUTES
    return pl.read_parquet(file) if file.exists() else None


def outcomes(rows: pl.DataFrame) -> NDArray[np.float64]:
    """Who left: (N,) of 0 and 1."""
    return rows[t.CHURNED].cast(pl.Float64).to_numpy()


def _is_before(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    return bool(one[t.AS_OF].max() < other[t.AS_OF].min())  # type: ignore[operator]


def _are_others(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    """Whether no user is in both."""
    return one.join(other, on=t.USER_ID, how="semi").is_empty()


def _at(rows: pl.DataFrame, as_ofs: Collection[object]) -> pl.DataFrame:
    return rows.filter(pl.col(t.AS_OF).is_in(list(as_ofs)))
