"""Compare challenger with champion on the same matured rows, decide, and carry the decision out."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, time

from prefect import flow

from everstay.churn.evaluate import RIGHT_SCORES_ERROR
from everstay.errors import SettingsError
from everstay.metrics.comparison import Interval, JudgedUsers
from everstay.recommender import load_artifact
from everstay.registry import rollout
from everstay.registry.artifact import ArtifactRefused
from everstay.registry.promotion import Decision, Evidence, decide
from everstay.registry.refs import ModelName, ModelRef, RunRef
from everstay.registry.store import Registry
from everstay.registry.tracking import logged_settings
from everstay.registry.versions import champion
from everstay.scoring.leaving import other_definition
from everstay.settings import Settings, load_settings
from flows import runtime, tasks
from flows.build_features import choose_split
from flows.candidates import Training, best_on_validation
from flows.train_churn import train_churn
from flows.train_recommender import train_recommender

BASELINES: Mapping[ModelName, tuple[str, ...]] = {
    "churn": ("recency",),
    "recommender": ("popularity", "personal_frequency"),
}
"""Rules that need no training: what the first model must beat, and what serves when it does not."""

_TRAIN: Mapping[ModelName, Callable[..., Training]] = {"churn": train_churn, "recommender": train_recommender}
_CALIBRATION = "test_expected_calibration_error"
_COVERAGE = "test_coverage"


@flow(name="promote-model", flow_run_name="promote-{model}")
def promote_model(model: ModelName, scheduler: str | None = None) -> Decision:
    """Judge the challenger of `model`; runs that do not exist yet are trained.

    Args:
        model: "churn" or "recommender".
        scheduler: Dask scheduler of a calling flow.

    Raises:
        SettingsError: there is no champion that competes, and no baseline among the candidates; nothing was trained.
        ChampionChanged: somebody moved the champion alias meanwhile.
    """
    settings = load_settings()
    require_baseline(model, settings, choose_split(runtime.open_lake(settings).snapshot(), settings).test)
    return promote(_TRAIN[model](scheduler=scheduler), settings)


def promote(training: Training, settings: Settings) -> Decision:
    """Judge the challenger of a training.

    Without a champion, or with one that counts as none (see `why_none`), a challenger that is not promoted is set
    aside, and the best baseline put forward.

    Raises:
        ChampionChanged: somebody moved the champion alias meanwhile.
    """
    registry, lake = Registry(settings.mlflow), runtime.open_lake(settings)
    current = champion(registry, training.model)
    test_as_of = datetime.fromisoformat(training.challenger.as_of)
    lost = "" if current is None else why_none(current, registry, settings, test_as_of)
    rival = None if lost else current
    decision = _judge(training, training.challenger, rival, registry, settings)
    if rival is None and not decision.is_promoted and training.challenger.candidate not in BASELINES[training.model]:
        tasks.apply_decision(registry, lake, _told_of(current, lost, decision))
        decision = _put_baseline_forward(training, decision, registry, settings)
    decision = _told_of(current, lost, decision)
    tasks.apply_decision(registry, lake, decision)
    return decision


def why_none(current: ModelRef, registry: Registry, settings: Settings, test_as_of: datetime | None) -> str:
    """Why a champion counts as none, in words; empty when it competes.

    Its files are lost, it predicts something else than the settings ask for, or it knows the answers of the test.

    Args:
        current: the champion.
        registry: the store.
        settings: the present ones.
        test_as_of: of the comparison; None: not known yet.
    """
    if lost := tasks.why_lost(registry, current):
        return f"cannot be loaded and is disregarded: {lost}"
    if current.model == "churn":
        try:
            logged = logged_settings(registry, current.run_id).get("churn", {})
        except ArtifactRefused as gone:
            return f"cannot be judged and is disregarded: {gone}"
        if others := other_definition(logged, settings.churn):
            return f"was trained with {others} and counts as none: it predicts another leaving"
    else:
        own = load_artifact(tasks.download_artifact(registry, current)).segment_by
        if own != settings.recommender.segment_by:
            said = f"recommender.segment_by says {settings.recommender.segment_by or 'none'}"
            return f"segments by {own or 'no attribute'} and counts as none: {said}"
    known_until = datetime.fromisoformat(current.as_of)  # it was refitted on all that was known then
    if test_as_of is not None and known_until > test_as_of:
        known = f"learned from all that was known as of {known_until:%Y-%m-%d}"
        return f"{known} and counts as none: the test begins at {test_as_of:%Y-%m-%d}"
    return ""


def _told_of(current: ModelRef | None, lost: str, decision: Decision) -> Decision:
    """Turn a decision made as if there were no champion into one that replaces the disregarded champion."""
    if current is None or not lost:
        return decision
    told = f"champion version {current.version} {lost}"
    return replace(decision, champion_version=current.version, reasons=(told, *decision.reasons))


def require_baseline(model: ModelName, settings: Settings, test_as_of: datetime | None = None) -> None:
    """Make sure that a first model can be judged; the registry is asked only when the settings name no baseline.

    Args:
        model: "churn" or "recommender".
        settings: the present ones.
        test_as_of: of the comparison; None: that of the settings, if they have one.

    Raises:
        SettingsError: there is no champion that competes, and no baseline among the candidates.
    """
    named = settings.churn.candidates if model == "churn" else settings.recommender.candidates
    if set(BASELINES[model]).intersection(named):
        return
    if test_as_of is None and settings.as_of is not None:
        test_as_of = datetime.combine(settings.as_of, time(), UTC)
    registry = Registry(settings.mlflow)
    current, why = champion(registry, model), "there is no champion yet"
    if current is not None and (lost := why_none(current, registry, settings, test_as_of)):
        why = f"champion version {current.version} {lost}"
    elif current is not None:
        return
    names = " or ".join(BASELINES[model])
    raise SettingsError(
        f"{model}.candidates names no baseline, and {why}: the first model is judged against {names}; add it to "
        f"candidates in [{model}]"
    )


def _put_baseline_forward(training: Training, refused: Decision, registry: Registry, settings: Settings) -> Decision:
    """Judge the best baseline instead of the refused challenger; the decision has the reasons of both."""
    baselines = [run for run in training.runs if run.candidate in BASELINES[training.model]]
    best = best_on_validation(baselines, training.metric)
    challenger = tasks.register_challenger(registry, training.model, best, metric=f"test_{training.metric}")
    decision = _judge(training, challenger, None, registry, settings)
    told = f"{training.challenger.candidate} (version {refused.challenger_version}) is set aside: "
    return replace(decision, reasons=(told + "; ".join(refused.reasons), *decision.reasons))


def _judge(
    training: Training, challenger: ModelRef, current: ModelRef | None, registry: Registry, settings: Settings
) -> Decision:
    """Measure the evidence and decide."""
    run = training.run_of(challenger.candidate)
    calibration, chance, coverage = (run.metrics.get(name) for name in (_CALIBRATION, RIGHT_SCORES_ERROR, _COVERAGE))
    is_champion = current is not None and challenger.artifact_digest == current.artifact_digest
    difference = None
    if current is not None and not is_champion:
        difference = _compare(training, challenger, current, registry, settings)
    evidence = Evidence(
        metric=training.metric,
        data_version=run.data_version,
        difference=difference,
        baselines=_against_baselines(training, run, registry, settings) if current is None else {},
        is_baseline=challenger.candidate in BASELINES[training.model],
        calibration_error=calibration.value if calibration else None,
        chance_error=chance.high if chance else None,
        coverage=coverage.value if coverage else None,
        was_rolled_back=rollout.was_rolled_back(registry, runtime.open_lake(settings), challenger),
        judged=_count_judged(training),
    )
    return decide(current, challenger, evidence, settings.promotion)


def _count_judged(training: Training) -> JudgedUsers:
    count = tasks.count_judged_churn if training.model == "churn" else tasks.count_judged_recommender
    return count(training.rows)


def _against_baselines(training: Training, run: RunRef, registry: Registry, settings: Settings) -> dict[str, Interval]:
    return {
        rival.candidate: _compare(training, run, rival, registry, settings)
        for rival in training.runs
        if rival.candidate in BASELINES[training.model] and rival.candidate != run.candidate
    }


def _compare(
    training: Training,
    challenger: ModelRef | RunRef,
    rival: ModelRef | RunRef,
    registry: Registry,
    settings: Settings,
) -> Interval:
    """Load both from the registry and compare them on the same rows."""
    compare = tasks.compare_churn if training.model == "churn" else tasks.compare_recommender
    ours, theirs = (tasks.download_artifact(registry, ref) for ref in (challenger, rival))
    return compare(ours, theirs, training.rows, settings)


if __name__ == "__main__":
    for name in BASELINES:
        runtime.run(promote_model, model=name)
