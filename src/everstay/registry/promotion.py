"""Whether the challenger becomes champion: pure rules from evidence and policy to a decision with its reasons."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from everstay.metrics.comparison import Interval, JudgedUsers
from everstay.registry.refs import ModelName, ModelRef
from everstay.settings import Promotion

LEAST_USERS = 30
LEAST_OF_CLASS = 10
"""A bootstrap of few takes chance for a difference more often than it says; decision 26 measures how often."""


@dataclass(frozen=True)
class Evidence:
    """What was measured, challenger and rivals scored on the same matured rows.

    Attributes:
        metric: what is compared, for example `average_precision`; larger is better.
        data_version: the rows come from.
        difference: challenger minus champion, paired over users; None when there is no champion.
        baselines: challenger minus each baseline, paired over users; used when there is no champion.
        is_baseline: the challenger is itself one of the baselines (then `baselines` holds the others).
        calibration_error: of the challenger; None for a recommender.
        chance_error: upper bound of what perfectly calibrated scores would show by chance with as many users; reported
            when the guard fails.
        coverage: share of the catalogue the challenger shows; None for churn.
        was_rolled_back: this model was rolled back by hand before, under this version or another.
        judged: the users of those rows; None: not counted.
    """

    metric: str
    data_version: str
    difference: Interval | None = None
    baselines: Mapping[str, Interval] = field(default_factory=dict)
    is_baseline: bool = False
    calibration_error: float | None = None
    chance_error: float | None = None
    coverage: float | None = None
    was_rolled_back: bool = False
    judged: JudgedUsers | None = None


@dataclass(frozen=True)
class Decision:
    """What is to be done and why.

    Attributes:
        model: "churn" or "recommender".
        challenger_version: the version judged.
        champion_version: the champion at that time; None: there was none.
        is_new: there was something to decide; otherwise nothing is done or recorded.
        is_promoted: the challenger becomes champion.
        metric: what was compared.
        difference: the one that decided.
        reasons: in words, with numbers.
        data_version: the evidence comes from.
    """

    model: ModelName
    challenger_version: str
    champion_version: str | None
    is_new: bool
    is_promoted: bool
    metric: str
    difference: Interval | None
    reasons: tuple[str, ...]
    data_version: str


def decide(champion: ModelRef | None, challenger: ModelRef, evidence: Evidence, policy: Promotion) -> Decision:
    """Judge a challenger.

    It wins when the lower bound of its paired difference to the champion is above `policy.minimum_effect`, enough users
    are judged and every guard holds. A tie keeps the champion. Without a champion the same holds against every
    baseline, or it is itself the best of them, which no interval decides.

    Raises:
        ValueError: the evidence lacks the difference that the situation asks for.
    """
    if champion is not None and _is_same(champion, challenger):
        return _decision(champion, challenger, evidence, None, False, ("nothing new: it is the champion already",))
    if champion is not None:
        if evidence.difference is None:
            raise ValueError(f"{challenger.model}: no difference between challenger and champion was measured")
        difference: Interval | None = evidence.difference
        is_better, reason = _judge(evidence.difference, f"champion {champion.version}", evidence.metric, policy)
    elif evidence.is_baseline:
        difference, is_better, reason = _judge_first_baseline(challenger, evidence)
    else:
        difference, is_better, reason = _judge_first(challenger, evidence, policy)
    is_first_baseline = champion is None and evidence.is_baseline
    failures = (*(() if is_first_baseline else too_few(evidence.judged)), *guard_failures(evidence, policy))
    return _decision(champion, challenger, evidence, difference, is_better and not failures, (reason, *failures))


def too_few(judged: JudgedUsers | None) -> tuple[str, ...]:
    """Why a difference among so few users decides nothing, in words; empty when they are enough."""
    if judged is None:
        return ()
    failures = []
    if judged.users < LEAST_USERS:
        failures.append(f"too few users: {judged.users} are judged, and at least {LEAST_USERS} are needed")
    if judged.rarer is not None and judged.rarer < LEAST_OF_CLASS:
        failures.append(
            f"too few users: {judged.rarer} of the {judged.users} judged have the rarer outcome (left or stayed), "
            f"and at least {LEAST_OF_CLASS} are needed"
        )
    return tuple(failures)


def guard_failures(evidence: Evidence, policy: Promotion) -> tuple[str, ...]:
    """The guards that do not hold, in words."""
    failures = []
    error, chance, coverage = evidence.calibration_error, evidence.chance_error, evidence.coverage
    if error is not None and not error <= policy.max_calibration_error:
        beside = (
            "" if chance is None else f"; perfectly calibrated scores would show up to {chance:.4f} with as many users"
        )
        failures.append(
            f"guard: calibration error {error:.4f} is above the limit {policy.max_calibration_error:g}{beside}"
        )
    if coverage is not None and not coverage >= policy.min_coverage:
        failures.append(f"guard: coverage {coverage:.4f} is below the limit {policy.min_coverage:g}")
    if evidence.was_rolled_back:
        failures.append("guard: this model was rolled back by hand before")
    return tuple(failures)


def _judge(difference: Interval, rival: str, metric: str, policy: Promotion) -> tuple[bool, str]:
    """Whether the interval lies above the minimum effect, and the verdict in words."""
    interval = (
        f"{difference.value:+.4f} ({policy.confidence:.0%} interval {difference.low:+.4f} to {difference.high:+.4f})"
    )
    facts = f"{metric} against {rival}: {interval}"
    if difference.low > policy.minimum_effect:
        return True, f"{facts}; significantly above {policy.minimum_effect:g}"
    if difference.high < 0:
        return False, f"{facts}; worse"
    return False, f"{facts}; not significantly above {policy.minimum_effect:g}, and a tie changes nothing"


def _judge_first(challenger: ModelRef, evidence: Evidence, policy: Promotion) -> tuple[Interval, bool, str]:
    if not evidence.baselines:
        raise ValueError(f"{challenger.model}: no difference between challenger and a baseline was measured")
    name, difference = min(evidence.baselines.items(), key=lambda item: item[1].low)
    is_better, reason = _judge(difference, f"baseline {name}", evidence.metric, policy)
    return difference, is_better, f"first model; its strongest rival: {reason}"


def _judge_first_baseline(challenger: ModelRef, evidence: Evidence) -> tuple[Interval | None, bool, str]:
    """A baseline may be the first champion when no other baseline is ahead of it: some model must serve."""
    ahead = {name: difference for name, difference in evidence.baselines.items() if not difference.value >= 0}
    strongest = min(evidence.baselines.values(), key=lambda difference: difference.value, default=None)
    if ahead:
        names = ", ".join(f"{name} by {-difference.value:.4f}" for name, difference in ahead.items())
        return strongest, False, f"first model; baseline {challenger.candidate} is behind {names} in {evidence.metric}"
    return strongest, True, f"first model; baseline {challenger.candidate} is the best of the baselines"


def _is_same(champion: ModelRef, challenger: ModelRef) -> bool:
    return champion.version == challenger.version or champion.artifact_digest == challenger.artifact_digest


def _decision(
    champion: ModelRef | None,
    challenger: ModelRef,
    evidence: Evidence,
    difference: Interval | None,
    is_promoted: bool,
    reasons: tuple[str, ...],
) -> Decision:
    return Decision(
        model=challenger.model,
        challenger_version=challenger.version,
        champion_version=champion.version if champion else None,
        is_new=champion is None or not _is_same(champion, challenger),
        is_promoted=is_promoted,
        metric=evidence.metric,
        difference=difference,
        reasons=reasons,
        data_version=evidence.data_version,
    )
