"""Decisions carried out: the ledger's row first, then the champion alias; a rerun completes a killed step.

MLflow's alias has no history and its last writer wins; the ledger is the history, and an alias that was moved since the
decision is left alone.
"""

from datetime import UTC, datetime

import polars as pl

from everstay import tables as t
from everstay.errors import EverstayError, NotReady
from everstay.lake import Lake
from everstay.registry import ledger
from everstay.registry.promotion import Decision
from everstay.registry.refs import ModelName, ModelRef
from everstay.registry.store import Registry
from everstay.registry.versions import (
    CHAMPION,
    champion,
    describe_decision,
    get_version,
    known_versions,
    registered_at,
    why_lost,
)


class ChampionChanged(EverstayError):
    """Somebody else moved the champion alias after the decision was made."""


def apply_decision(registry: Registry, lake: Lake, decision: Decision) -> None:
    """Record the decision and, when it promotes, move the champion alias. A repeated call changes nothing.

    Raises:
        ChampionChanged: the champion is not the one the decision was made against, or the challenger was rolled back
            since; nothing was written.
    """
    if not decision.is_new:
        return
    rows = history(registry, lake, decision.model)
    _refuse_when_changed(registry, decision, ledger.rolled_back(rows))
    if not ledger.is_recorded(rows, decision):
        lake.append(t.PROMOTIONS, ledger.decision_row(decision, datetime.now(UTC)))
    verdict = "promoted" if decision.is_promoted else "not promoted"
    words = f"{verdict}: {'; '.join(decision.reasons)}"
    describe_decision(registry, decision.model, decision.challenger_version, words)
    if decision.is_promoted:
        registry.client.set_registered_model_alias(decision.model, CHAMPION, decision.challenger_version)


def history(registry: Registry, lake: Lake, model: ModelName) -> pl.DataFrame:
    """The ledger's rows that refer to versions in this store, oldest first."""
    return ledger.history(lake, model, registered_at(registry, model))


def require_champion(registry: Registry, lake: Lake, model: ModelName) -> ModelRef:
    """The version in use.

    Raises:
        NotReady: there is none; the message is that of `why_no_champion`.
    """
    found = champion(registry, model)
    if found is None:
        raise NotReady(why_no_champion(registry, lake, model))
    return found


def why_no_champion(registry: Registry, lake: Lake, model: ModelName) -> str:
    """Why a model has no champion that can be loaded, and what to do."""
    if current := champion(registry, model):
        return f"the {model} champion, version {current.version}, cannot be loaded: {why_lost(registry, current)}"
    decisions = history(registry, lake, model)
    if decisions.is_empty() or decisions[t.IS_PROMOTED][-1]:
        return f"there is no {model} champion yet: run `make train`"
    reasons = "; ".join(decisions[t.REASONS][-1])
    return (
        f"there is no {model} champion, so nothing is published for it; the last decision: {reasons}; bring more "
        f"history, or change [promotion] or [{model}] in the settings, and run `make train`"
    )


def roll_back(registry: Registry, lake: Lake, model: ModelName) -> ModelRef:
    """Restore the latest earlier champion that can still be loaded, record it and describe it.

    The model rolled back is never promoted again; a killed rollback is completed by the next call.

    Returns:
        The restored champion.

    Raises:
        NotReady: there is no champion, or none before it that can be loaded.
    """
    current = require_champion(registry, lake, model)
    rows = history(registry, lake, model)
    versions = ledger.champions(rows)
    if versions and current.version not in versions and current.version in ledger.rolled_back(rows):
        previous = versions[-1]  # recorded, but killed before the alias was moved
    else:
        previous = _before(registry, versions, current)
        lake.append(t.PROMOTIONS, ledger.decision_row(_rollback(current, previous), datetime.now(UTC)))
    for version in (current.version, previous):
        describe_decision(registry, model, version, _rollback_words(current, previous))
    registry.client.set_registered_model_alias(model, CHAMPION, previous)
    return get_version(registry, model, previous)


def was_rolled_back(registry: Registry, lake: Lake, version: ModelRef) -> bool:
    """Whether this version was rolled back by hand, or another with the same artifact, as a new run may register."""
    taken_back = ledger.rolled_back(history(registry, lake, version.model))
    known = known_versions(registry, version.model)
    digests = {known[number].artifact_digest for number in taken_back if number in known}
    return version.version in taken_back or version.artifact_digest in digests


def _refuse_when_changed(registry: Registry, decision: Decision, rolled_back: frozenset[str]) -> None:
    now = champion(registry, decision.model)
    version = now.version if now else None
    is_done = decision.is_promoted and version == decision.challenger_version
    if version != decision.champion_version and not is_done:
        raise ChampionChanged(
            f"{decision.model}: the decision was made against champion {decision.champion_version or '(none)'}, "
            f"but the champion is now {version or '(none)'}; compare again with `make train`"
        )
    if decision.is_promoted and decision.challenger_version in rolled_back:
        raise ChampionChanged(f"{decision.model}: version {decision.challenger_version} was rolled back by hand since")


def _before(registry: Registry, versions: list[str], current: ModelRef) -> str:
    if current.version not in versions[1:]:
        raise NotReady(
            f"the ledger has no {current.model} champion before version {current.version}: nothing to roll back to"
        )
    known = known_versions(registry, current.model)
    for version in reversed(versions[: versions.index(current.version)]):
        if version in known and not why_lost(registry, known[version]):
            return version
    raise NotReady(f"no {current.model} champion before version {current.version} can be loaded any more")


def _rollback(current: ModelRef, previous: str) -> Decision:
    return Decision(
        model=current.model,
        challenger_version=previous,
        champion_version=current.version,
        is_new=True,
        is_promoted=True,
        metric=ledger.ROLLBACK,
        difference=None,
        reasons=(_rollback_words(current, previous),),
        data_version=current.data_version,
    )


def _rollback_words(current: ModelRef, previous: str) -> str:
    return f"rolled back by hand from version {current.version} to version {previous}"
