"""What a person reads at the end of a run: what the data was, which model won and why, whom to keep."""

from datetime import datetime
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from everstay import tables as t
from everstay.lake import Lake
from everstay.metrics.comparison import Interval
from everstay.registry.promotion import Decision
from everstay.report import Section
from everstay.report.page import alignments, cell
from everstay.scoring import lacking_change, list_order, served_by_popularity
from everstay.scoring.back_test import label_clock
from everstay.scoring.leaving import published_definition
from everstay.scoring.proof import Proof
from everstay.settings import Churn, Settings
from flows.build_features import FeatureSet
from flows.candidates import Training
from flows.ingest_events import Ingestion

_CONSOLE = Console(highlight=False, markup=False, emoji=False, width=120)  # a shop's ids may hold [brackets]
_SAMPLE_USERS = 5
_SHOWN_ITEMS = 3
_SOME_CURRENCY = "the shop's currency"
_TIERS = ("high", "medium", "low")
_EVIDENCE = {"churn": "who left", "recommender": "the next basket"}
_SHOWN = {"churn": ("roc_auc", "average_precision"), "recommender": ("ndcg", "recall")}
"""Figures of each model that are shown, after the one that decides."""


def print_data(ingestion: Ingestion, features: FeatureSet, settings: Settings) -> None:
    """Counts, validation outcome, the as-ofs of the split, and whether the labels they are judged by are mature."""
    currency = settings.source.currency
    result, snapshot, split = ingestion.result, features.snapshot, features.split
    _CONSOLE.rule("Data")
    _CONSOLE.print(
        f"{result.rows_read:,} rows read: {result.rows_added:,} new, {result.rows_duplicate:,} already stored, "
        f"{result.rows_quarantined:,} quarantined. The lake holds {snapshot.event_count:,} events "
        f"from {snapshot.first_event_at:%Y-%m-%d} to {snapshot.recorded_until:%Y-%m-%d} ({snapshot.data_version})."
    )
    if currency:
        _CONSOLE.print(f"Amounts are in {currency}.")
    if ingestion.report is None:
        _CONSOLE.print("Validation: no new data.")
    else:
        held = ingestion.expectations - len(ingestion.warnings)
        _CONSOLE.print(f"Validation: {held} of {ingestion.expectations} expectations met; {ingestion.report}")
        for warning in ingestion.warnings:
            _CONSOLE.print(f"  warning: {warning}")
    _CONSOLE.print(
        f"Models {split.in_words()}. Churn labels: {label_clock(split.test, settings.churn, snapshot.recorded_until)}."
    )


def print_training(training: Training) -> None:
    """One row per candidate, best first, the chosen one marked: the deciding figure, then others, with intervals."""
    table = Table(title=f"{training.model}: candidates, tested on {_EVIDENCE[training.model]}", title_justify="left")
    table.add_column("candidate", overflow="fold")
    shown = dict.fromkeys((training.metric, *_SHOWN[training.model]))
    metrics = [f"{part}_{name}" for name in shown for part in ("validation", "test")]
    for metric in metrics:
        table.add_column(metric.replace("_", " "), justify="right")
    chosen = training.challenger.candidate
    for run in sorted(training.runs, key=lambda run: -run.metrics[f"validation_{training.metric}"].value):
        name = f"{run.candidate} (chosen)" if run.candidate == chosen else run.candidate
        table.add_row(name, *(_cell(run.metrics.get(metric)) for metric in metrics))
    _CONSOLE.print(table)
    if training.sample:
        _CONSOLE.print(f"All candidates were {training.sample}.")
    told = training.run_of(chosen).metrics
    users, items, placed = (told.get(f"test_cold_{kind}_share") for kind in ("user", "item", "user_segment"))
    if users is not None and items is not None:
        segment = f" ({placed.value:.1%} in their segment)" if placed is not None and placed.value else ""
        _CONSOLE.print(
            f"{chosen}, cold start: {users.value:.1%} of the users bought no item it knows and get popular "
            f"items{segment}; {items.value:.1%} of the next purchases are of items it does not know."
        )
    if not training.trained:
        _CONSOLE.print("Nothing new: every candidate was found in the registry, none was trained.")


def print_decision(decision: Decision) -> None:
    """What was decided and why."""
    if not decision.is_new:
        verdict = f"champion remains version {decision.champion_version}"
    elif decision.is_promoted:
        verdict = f"version {decision.challenger_version} is the new champion"
    else:
        verdict = (
            f"version {decision.challenger_version} is not promoted; champion: {decision.champion_version or 'none'}"
        )
    _CONSOLE.print(f"{decision.model}: {verdict}", style="bold")
    for reason in decision.reasons:
        _CONSOLE.print(f"  {reason}")


def print_published(lake: Lake, as_of: datetime, churn: Churn, currency: str) -> None:
    """The riskiest users of an as-of, why, what to offer them, and when it will be known whether they left."""
    scores, lists = (lake.read_publication(table, as_of) for table in (t.CHURN_SCORES, t.RECOMMENDATIONS))
    tiers = dict(scores.group_by(t.RISK_TIER).len().iter_rows())
    _CONSOLE.rule(f"Published as of {as_of:%Y-%m-%d}")
    _CONSOLE.print(
        f"churn_scores: {len(scores):,} users ({', '.join(f'{tiers.get(tier, 0):,} {tier}' for tier in _TIERS)}); "
        f"recommendations: {lists[t.USER_ID].n_unique():,} users, "
        f"{served_by_popularity(lists):,} of them by popularity alone. Tables: {lake.uri}"
    )
    if scores.is_empty():
        return
    clock = label_clock(as_of, published_definition(scores, churn), lake.snapshot().recorded_until)
    _CONSOLE.print(f"Churn labels: {clock}. Value at risk is in {currency or _SOME_CURRENCY}.")
    table = Table(title="Top of the warning list", title_justify="left")
    for name in ("user", "probability", "change", "at risk", "next order", "why", "offer"):
        table.add_column(name, justify="right" if name in ("probability", "change", "at risk") else "left")
    for row in list_order(scores, churn).head(_SAMPLE_USERS).iter_rows(named=True):
        items = lists.filter(pl.col(t.USER_ID) == row[t.USER_ID]).sort(t.RANK)[t.ITEM_ID].head(_SHOWN_ITEMS)
        table.add_row(
            row[t.USER_ID],
            f"{row[t.CHURN_PROBABILITY]:.3f}",
            _told(row[t.PROBABILITY_CHANGE], "+.3f"),
            _told(row[t.VALUE_AT_RISK], ",.2f"),
            _told(row[t.EXPECTED_ORDER_AT], "%Y-%m-%d"),
            "; ".join(row[t.REASONS]),
            ", ".join(items),
        )
    _CONSOLE.print(table)
    if lacking := lacking_change(scores):
        _CONSOLE.print(lacking)


def _told(value: float | datetime | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"


def print_proof(proof: Proof) -> None:
    """Each table's digest in the real future, and in which others it is the same."""
    table = Table(title=f"As of {proof.as_of:%Y-%m-%d}: are tables identical whatever comes later?")
    for heading in ("table", "rows", "actual digest", *list(next(iter(proof.digests.values())))[1:]):
        table.add_column(heading)
    for name, by_future in proof.digests.items():
        first, *others = by_future.values()
        marks = ("same" if digest == first else f"DIFFERS: {digest[:12]}" for digest in others)
        table.add_row(name, f"{proof.rows[name]:,}", first[:12], *marks)
    _CONSOLE.print(table)


def print_section(section: Section) -> None:
    """A section of a page as text: key figures, words, tables."""
    _CONSOLE.rule(section.title)
    for badge in section.badges:
        _CONSOLE.print(f"{badge.label}:", Text(badge.value, style="bold"))
    for paragraph in section.words:
        _CONSOLE.print(paragraph)
    for shown in section.tables:
        table = Table(title=shown.caption, title_justify="left")
        kinds = alignments(shown)
        for column, kind in zip(shown.columns, kinds, strict=True):
            table.add_column(column.name, justify="right" if kind == "number" else "left", overflow="fold")
        for row in shown.rows:
            table.add_row(*(cell(value, column) for value, column in zip(row, shown.columns, strict=True)))
        _CONSOLE.print(table)


def print_report(page: Path) -> None:
    """Where the page of the run lies."""
    _CONSOLE.rule("Report")
    _CONSOLE.print(f"Full report: {page.resolve()}", soft_wrap=True)


def print_next_steps() -> None:
    """Where to look next."""
    _CONSOLE.rule("Next")
    _CONSOLE.print(
        "make score      publish who is about to leave and what each user wants next\n"
        "make back-test  compare past warnings with what happened\n"
        "make ui         compare the models in a browser; it prints the addresses\n"
        "make deploy     run this on a schedule"
    )


def _cell(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.value:.4f} ({interval.low:.3f}–{interval.high:.3f})"
