"""How good are the recommenders on a public sequence file? Leave-one-out, full ranking, seen items removed.

Everything is chosen on the last item but one; the last item is looked at once, by what was chosen. A model is then
refitted with the last item but one, as a shop would; most published figures are of models fitted without it, so these
are shown too: that item is in their history, but not in their weights.
"""

import hashlib
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from benchmarks.result import Row, estimated, measured, show, tell_progress
from everstay.errors import NotReady, SourceError
from everstay.features.sequences import HISTORY_ITEM, TARGET_ITEM
from everstay.metrics.comparison import mean_interval, paired_mean_difference
from everstay.recommender.candidates import load_candidate, train_candidate
from everstay.recommender.evaluate import bootstrap, judge_lists
from everstay.recommender.fitted import Fitted
from everstay.recommender.model import ListModel
from everstay.recommender.rows import BasketRows, with_targets
from everstay.recommender.sequence_file import read_sequence_rows
from everstay.settings import RecommenderCandidate, Settings, load_settings

log = logging.getLogger(__name__)

CANDIDATES: tuple[RecommenderCandidate, ...] = (
    "popularity", "item_item", "ease", "transitions", "ials", "sequential", "blend",
)  # fmt: skip
_METRICS = ("recall", "ndcg")


def judge_sequences(file: Path, folder: Path | None, json_file: Path | None) -> None:
    """Fit and judge every candidate, and show each as soon as it is known.

    Args:
        file: of `user item item ...` lines.
        folder: keeps what is fitted, so that a killed run is continued; none: nothing is kept.
        json_file: also gets the rows.

    Raises:
        SourceError: every last item is a repeat, which no list without seen items holds.
    """
    settings, rows = sequence_settings(), read_sequence_rows(file)
    title = _title(file, rows)
    told: list[Row] = []
    judged: dict[str, pl.DataFrame] = {}
    chosen_by: dict[str, float] = {}
    for name, fitted, seconds in fit_candidates(file, rows, folder):
        log.info("%s: %s", name, dict(fitted.params))
        judged[name] = _judge_lists(fitted.model, rows.test, settings)
        told += _means(name, judged[name], settings)
        told.append(measured(name, "fitting", seconds, "s"))
        early = _judge_lists(fitted.early, rows.test, settings)
        told += _means(f"{name}, fitted without validation", early, settings)
        validated = _judge_lists(fitted.early, rows.validation, settings)
        told += _means(f"{name}, on validation", validated, settings)
        chosen_by[name] = float(validated["ndcg"].to_numpy().mean())
        best = max(chosen_by, key=lambda name: chosen_by[name])
        show(f"{title}; best on validation: {best}", [*told, *_differences(judged, settings)], json_file)


def sequence_settings() -> Settings:
    """Settings of the protocol: every item is known, and none is recommended that the user has."""
    settings = load_settings()
    recommender = settings.recommender.model_copy(update={"min_item_users": 1, "already_bought": "remove"})
    return settings.model_copy(update={"recommender": recommender})


def fit_candidates(file: Path, rows: BasketRows, folder: Path | None) -> Iterator[tuple[str, Fitted, float]]:
    """Fit one candidate after the other; yield its name, the fitted candidate, and the seconds it took.

    A candidate that so little data cannot teach is left out, with a note in the log.

    Args:
        file: what the rows were read from.
        rows: by `read_sequence_rows`.
        folder: keeps what is fitted; none: nothing is kept.
    """
    tell_progress()
    rows.check()
    with tempfile.TemporaryDirectory() as temporary:
        home = folder or Path(temporary)
        version = hashlib.sha256(file.read_bytes()).hexdigest()
        rows_folder = rows.write(home / "rows")
        for name in CANDIDATES:
            started = time.monotonic()
            try:
                fitted = load_candidate(train_candidate(name, rows_folder, sequence_settings(), home, version))
            except NotReady as reason:
                log.warning("%s is left out: %s", name, reason)
                continue
            yield name, fitted, time.monotonic() - started


def _judge_lists(model: ListModel, rows: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Metrics of every user with a next item."""
    asked, k = with_targets(rows), settings.recommender.list_length
    return judge_lists(model.plain_lists(asked, k), asked, k)


def _means(case: str, judged: pl.DataFrame, settings: Settings) -> Iterator[Row]:
    for metric in _METRICS:
        value = mean_interval(judged[metric], **bootstrap(settings))
        yield estimated(case, f"{metric}@{settings.recommender.list_length}", value)


def _differences(judged: Mapping[str, pl.DataFrame], settings: Settings) -> Iterator[Row]:
    """How far the last candidate is ahead of each other one, over the same users."""
    last = list(judged)[-1]
    for name in judged:
        if name != last:
            ahead = paired_mean_difference(judged[last]["ndcg"], judged[name]["ndcg"], **bootstrap(settings))
            yield estimated(name, f"ndcg: {last}'s minus its", ahead)


def _title(file: Path, rows: BasketRows) -> str:
    judged = with_targets(rows.test)
    is_repeat = judged.select(pl.col(HISTORY_ITEM).list.contains(pl.col(TARGET_ITEM).list.first())).to_series()
    if is_repeat.all():
        raise SourceError(f"{file}: every user's last item is a repeat, and lists leave out what a user has")
    title = f"{file.name}: {judged.height:,} users judged by their last item"
    return f"{title}, for {is_repeat.to_numpy().mean():.1%} a repeat that no list holds" if is_repeat.any() else title
