"""Sections of a run's page: data, validation, models with decisions, and the warning list."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from everstay import tables as t
from everstay.lake import Lake
from everstay.registry.promotion import Decision
from everstay.report import Badge, Column, Picture, Section, Table, with_bounds
from everstay.scoring import lacking_change, list_order
from everstay.scoring.back_test import label_clock
from everstay.scoring.leaving import published_definition
from everstay.settings import Settings
from flows.build_features import FeatureSet
from flows.candidates import Training, evidence_clock
from flows.ingest_events import Ingestion

_TITLES = {"churn": "Churn models", "recommender": "Recommender models"}
_FIGURES = {
    "churn": ("roc_auc", "average_precision", "lift_top_decile", "expected_calibration_error", "calibration_slope"),
    "recommender": ("ndcg", "recall", "mrr", "hit_rate", "coverage"),
}
_CAPTIONS = {
    "calibration": "Calibration: share that left against predicted probability, by decile",
    "lift": "Lift: leavers among the riskiest users, relative to a random sample",
    "profit": "Campaign profit, at the costs in the settings",
    "importance": "Feature importance: mean absolute contribution to the log-odds, by feature group",
    "partial_dependence": "Partial dependence: mean predicted probability if every user had this feature value",
    "roc": "ROC: share of leavers against share of stayers above the threshold",
    "precision_recall": "Precision against recall",
}
_HEAD = 15


def data_section(ingestion: Ingestion, features: FeatureSet, currency: str) -> Section:
    """Counts, data version, and the as-ofs that models are trained and judged at."""
    result, snapshot, split = ingestion.result, features.snapshot, features.split
    counts = (
        ("events in the lake", f"{snapshot.event_count:,}"),
        ("from", f"{snapshot.first_event_at:%Y-%m-%d %H:%M}"),
        ("until", f"{snapshot.recorded_until:%Y-%m-%d %H:%M}"),
        ("rows read in this run", f"{result.rows_read:,}"),
        ("new", f"{result.rows_added:,}"),
        ("already stored", f"{result.rows_duplicate:,}"),
        ("quarantined", f"{result.rows_quarantined:,}"),
        ("data version", snapshot.data_version),
        ("amounts in", currency or "the shop's currency"),
    )
    table = Table("Overview", (Column("figure"), Column("value")), counts)
    return Section("Data", (f"Models {split.in_words()}.",), tables=(table,))


def validation_section(ingestion: Ingestion) -> Section:
    """Which expectations held."""
    if ingestion.report is None:
        return Section("Validation", ("No new data, so there was nothing to validate.",))
    held = ingestion.expectations - len(ingestion.warnings)
    badge = Badge("expectations met", f"{held} of {ingestion.expectations}", "look" if ingestion.warnings else "good")
    table = Table("Warnings", (Column("expectation"),), [(warning,) for warning in ingestion.warnings])
    words = (f"All expectations, with examples: {ingestion.report}",)
    return Section("Validation", words, (badge,), (table,) if ingestion.warnings else ())


def model_section(
    training: Training, decision: Decision, features: FeatureSet, settings: Settings, plots: Mapping[str, bytes]
) -> Section:
    """Candidates side by side, the chosen one's pictures, and what was decided."""
    figures, chosen = _FIGURES[training.model], training.challenger.candidate
    runs = sorted(training.runs, key=lambda run: -run.metrics[f"validation_{training.metric}"].value)
    first = f"validation {training.metric}".replace("_", " ")
    columns = [Column("candidate"), Column(first), *(Column(f"test {name}".replace("_", " ")) for name in figures)]
    names = [f"validation_{training.metric}", *(f"test_{name}" for name in figures)]
    rows = [[run.candidate, *(with_bounds(run.metrics.get(name)) for name in names)] for run in runs]
    marked = frozenset(place for place, run in enumerate(runs) if run.candidate == chosen)
    known_until = features.snapshot.recorded_until
    clock = evidence_clock(training.model, features.split.test, known_until, settings)
    test = f"{features.split.test:%Y-%m-%d}"
    caption = f"Candidates, best on validation first; challenger: {chosen}. Test as of {test}: {clock}"
    words = (
        f"In brackets: {settings.promotion.confidence:.0%} confidence intervals over users. "
        "Candidates are chosen on validation; test figures are only reported.",
        *([f"All candidates were {training.sample}."] if training.sample else []),
        f"Decision on {chosen}: {verdict(decision)}.",
        *(f"Reason: {reason}" for reason in decision.reasons),
    )
    known = [name for name in _CAPTIONS if name in plots]
    ordered = [*known, *(name for name in plots if name not in _CAPTIONS)]
    pictures = tuple(
        Picture(f"{chosen}: {_CAPTIONS.get(name, name.replace('_', ' '))}", plots[name]) for name in ordered
    )
    return Section(
        _TITLES[training.model], words, tables=(Table(caption, columns, rows, marked=marked),), pictures=pictures
    )


def verdict(decision: Decision) -> str:
    """What was decided, in a few words."""
    if not decision.is_new:
        return f"champion remains version {decision.champion_version}"
    if decision.is_promoted:
        return f"version {decision.challenger_version} is the new champion"
    return f"version {decision.challenger_version} is not promoted; champion: {decision.champion_version or 'none'}"


def warning_section(lake: Lake, as_of: datetime, settings: Settings, known_until: datetime) -> Section:
    """The head of the published warning list."""
    scores = lake.read_publication(t.CHURN_SCORES, as_of)
    if scores.is_empty():
        return Section("Warning list", (f"No churn scores are published as of {as_of:%Y-%m-%d}.",))
    clock = label_clock(as_of, published_definition(scores, settings.churn), known_until)
    tiers = dict(scores.group_by(t.RISK_TIER).len().iter_rows())
    badges = [Badge(f"users in tier {tier}", f"{tiers.get(tier, 0):,}") for tier in ("high", "medium", "low")]
    badges.append(Badge("expected to leave", f"{scores[t.CHURN_PROBABILITY].sum():,.0f} of {len(scores):,}"))
    rows = [
        (row[t.USER_ID], row[t.CHURN_PROBABILITY], row[t.PROBABILITY_CHANGE], row[t.VALUE_AT_RISK], row[t.RISK_TIER],
         _day(row[t.EXPECTED_ORDER_AT]), _day(row[t.EXPECTED_ALARM_AT]), "; ".join(row[t.REASONS]))
        for row in list_order(scores, settings.churn).head(_HEAD).iter_rows(named=True)
    ]  # fmt: skip
    columns = (
        Column("user"), Column("probability", ".3f"), Column("change", "+.3f"), Column("value at risk", ",.2f"),
        Column("tier"), Column("next order, if active"), Column("alarm due"), Column("why"),
    )  # fmt: skip
    words = tuple(filter(None, (f"Published as of {as_of:%Y-%m-%d}; churn labels: {clock}.", lacking_change(scores))))
    return Section("Warning list", words, badges, (Table("Top of the list", columns, rows),))


def _day(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d}"


def overview(
    features: FeatureSet, ingestion: Ingestion, trainings: Sequence[Training], decisions: Sequence[Decision]
) -> list[Badge]:
    """The run in a few figures."""
    badges = [
        Badge("events", f"{features.snapshot.event_count:,}"),
        Badge("new in this run", f"{ingestion.result.rows_added:,}"),
    ]
    for training, decision in zip(trainings, decisions, strict=True):
        figure = training.run_of(training.challenger.candidate).metrics[f"test_{training.metric}"]
        serves = decision.is_promoted or not decision.is_new
        whose = training.challenger.candidate if serves else f"{training.challenger.candidate}, not promoted"
        name = f"{training.model}: {whose}, {training.metric.replace('_', ' ')}"
        badges.append(Badge(name, with_bounds(figure), "good" if serves else "look"))
    return badges
