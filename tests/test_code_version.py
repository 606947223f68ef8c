"""What is stored is found by the code that made it: an edited room computes anew, an edited README does not."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from pathlib import Path

import grimp
import pytest

from everstay import churn, recommender
from everstay import code_version as c
from everstay.registry.identity import run_key
from everstay.settings import Settings

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """Digests are kept by the process; here the code changes."""
    yield
    c.code_version.cache_clear()


@pytest.mark.parametrize("computed", sorted(c.ROOMS))
def test_every_room_that_decides_is_named(computed: str):
    modules = grimp.build_graph("everstay", cache_dir=None).find_upstream_modules(
        f"everstay.{computed}", as_package=True
    )
    reached = {module.split(".")[1] for module in modules if "." in module}
    assert reached <= {*c.ROOMS[computed], *c.UNDECIDING}


@pytest.mark.parametrize(
    "file", ["recommender/config.py", "recommender/hybrid/fit.py", "features/orders.py", "tables.py"]
)
def test_an_edited_file_of_any_depth_is_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str):
    package = tmp_path / "everstay"
    shutil.copytree(Path(c.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))

    def find(name: str) -> ModuleSpec:
        place = package / name.removeprefix("everstay.")
        is_package = place.is_dir()
        spec = ModuleSpec(name, None, origin=str(place / "__init__.py" if is_package else place.with_suffix(".py")))
        spec.submodule_search_locations = [str(place)] if is_package else None
        return spec

    monkeypatch.setattr(c.importlib.util, "find_spec", find)
    digest = c.code_version.__wrapped__
    before, churn_before = digest("recommender"), digest("churn")
    assert before == c.code_version("recommender")
    with (package / file).open("a") as source:
        source.write("# edited\n")
    assert digest("recommender") != before
    assert (digest("churn") == churn_before) == file.startswith("recommender")


def test_a_page_s_template_counts_and_compiled_files_do_not():
    names = [name for name, _ in c.source_files("everstay.churn")]
    assert "fairness/fairness.html.jinja" in names
    assert not [name for name in names if not name.endswith((".py", ".jinja"))]


def test_after_an_upgrade_no_candidate_of_before_is_found(monkeypatch: pytest.MonkeyPatch):
    def keys() -> list[str]:
        c.code_version.cache_clear()
        rooms = {"churn": churn.candidate_key("recency", Settings(), "events-0")}
        rooms["recommender"] = recommender.candidate_key("popularity", Settings(), "events-0")
        return [*rooms.values(), *(run_key(room, "any", {}, "events-0", AS_OF) for room in rooms)]

    before = keys()
    assert keys() == before
    monkeypatch.setattr(c, "version", lambda library: "9.9" if library == "polars" else version(library))
    assert not set(before) & set(keys())
