"""Whom to show a coupon's or campaign's items: the users who want them most, as a CSV file for the shop's mailing."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from prefect import flow, get_run_logger

from everstay import tables as t
from everstay.errors import SettingsError
from everstay.registry.rollout import require_champion
from everstay.registry.store import Registry
from everstay.scoring import Work, scoring_as_of
from everstay.scoring.campaigns import items_of
from everstay.settings import load_settings
from flows import runtime, tasks


@flow(name="find-users")
def find_users(items: Sequence[str] = (), category: str = "", users: int = 100, scheduler: str | None = None) -> Path:
    """Rank users for some items by the recommender champion, and write them to a file.

    Args:
        items: ids of the items.
        category: or: all items of a category or subcategory.
        users: at most this many.
        scheduler: Dask scheduler of a calling flow.

    Returns:
        The file: user, the item that the user wants most, score, place among all items, reason; the likeliest first.

    Raises:
        SettingsError: neither items nor a category are named, or both; or `users` is less than 1.
        NotReady: there is no champion, or it knows none of the items.
    """
    if bool(items) == bool(category):
        raise SettingsError("name either ITEMS=id,id or CATEGORY=name")
    if users < 1:
        raise SettingsError(f"USERS={users} must be 1 or more, usually 100")
    settings = load_settings()
    lake, registry = runtime.open_lake(settings), Registry(settings.mlflow)
    snapshot, champion = lake.snapshot(), require_champion(registry, lake, "recommender")
    as_of = scoring_as_of(snapshot, settings)
    wanted = list(items) or items_of(snapshot.read(t.ITEMS), category)
    work = Work(snapshot, tasks.download_artifact(registry, champion), champion.version, as_of)
    folder = runtime.parts_folder(settings, "campaign") / uuid4().hex  # no lock keeps two campaigns apart
    try:
        with runtime.dask_scheduler(settings, scheduler) as address:
            found = tasks.find_campaign_users(work, settings.recommender, wanted, users, folder, address)
    finally:
        folder.clear()
    file = Path(settings.report_folder, "campaign.csv")
    file.parent.mkdir(parents=True, exist_ok=True)
    found.write_csv(file)
    get_run_logger().info("%d users for %d items as of %s: %s", found.height, len(wanted), f"{as_of:%Y-%m-%d}", file)
    return file


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", default="", help="ids, a comma between")
    parser.add_argument("--category", default="")
    parser.add_argument("--users", type=int, default=100)
    arguments = parser.parse_args()
    named = [item for item in arguments.items.split(",") if item]
    runtime.run(find_users, items=named, category=arguments.category, users=arguments.users)
