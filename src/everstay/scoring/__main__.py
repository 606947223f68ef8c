"""`python -m everstay.scoring USER`: a user's history, the curve of their risk, why, and what would change it."""

import sys
from collections.abc import Sequence

from rich.console import Console

from everstay import tables as t
from everstay.errors import EverstayError, NotReady
from everstay.features import midnight_before
from everstay.lake import Lake
from everstay.registry.rollout import require_champion
from everstay.registry.store import Registry
from everstay.registry.tracking import logged_settings
from everstay.registry.versions import download
from everstay.scoring.as_of import scoring_as_of
from everstay.scoring.leaving import learned_definition
from everstay.scoring.story import Outlook, Story, tell_story
from everstay.scoring.work import Work
from everstay.settings import Settings, load_settings

_BAR = 40  # characters for a probability of 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the named user's story; return 1 with a message when there is none."""
    names = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if len(names) != 1 or not names[0]:
            raise NotReady("name one user: make explain USER=1234")
        settings = load_settings()
        print_story(Console(highlight=False, markup=False, emoji=False, width=120), explain_user(names[0], settings))
    except EverstayError as error:
        print(f"everstay: {error}", file=sys.stderr)
        return 1
    return 0


def explain_user(user_id: str, settings: Settings) -> Story:
    """The story as of `score_as_of`, of the last publication, or of the last midnight that the data covers."""
    lake, registry = Lake(settings.data.folder, settings.data.buckets), Registry(settings.mlflow)
    champion, snapshot = require_champion(registry, lake, "churn"), lake.snapshot()
    if settings.score_as_of is not None:
        as_of = scoring_as_of(snapshot, settings)
    else:
        as_of = max(lake.as_ofs(t.CHURN_SCORES), default=midnight_before(snapshot.recorded_until))
    published = lake.read_publication(t.CHURN_SCORES, as_of)
    work = Work(snapshot, download(registry, champion), champion.version, as_of)
    learned = learned_definition(logged_settings(registry, champion.run_id).get("churn", {}), settings.churn)
    meant = settings.model_copy(update={"churn": learned})
    return tell_story(user_id, work, published, meant, snapshot.recorded_until)


def print_story(console: Console, story: Story) -> None:
    """Print it as plain lines: summary, curve, reasons, outlooks."""
    console.rule(f"User {story.user_id} as of {story.now.as_of:%Y-%m-%d}")
    for line in story.summary:
        console.print(line)
    console.print(
        f"\nProbability of leaving: {story.now.probability:.1%}{_tier(story.now)}. Churn labels: {story.labels}."
    )
    if story.worth is not None:
        console.print(f"Value if they stay: {story.worth[0]:,.2f}; value at risk: {story.worth[1]:,.2f}")
    for line in (*story.reasons, *story.silence):
        console.print(f"  {line}")
    console.print("\nThe current champion's risk from what was known at each date (it was trained on later data)")
    for as_of, probability in story.curve.iter_rows():
        console.print(f"  {as_of:%Y-%m-%d} {probability:6.1%} {'█' * round(_BAR * probability)}")
    console.print("\nWhat would change the risk")
    for outlook in story.outlooks:
        worth = "" if outlook.value_at_risk is None else f", value at risk {outlook.value_at_risk:,.2f}"
        console.print(
            f"  {outlook.words}, as of {outlook.as_of:%Y-%m-%d}: {outlook.probability:.1%}{worth}{_tier(outlook)}"
        )
    if story.untold:
        console.print(f"  {story.untold}")


def _tier(outlook: Outlook) -> str:
    return f", tier {outlook.tier}" if outlook.tier else ""


if __name__ == "__main__":
    sys.exit(main())
