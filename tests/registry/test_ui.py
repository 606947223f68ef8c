"""What a person sees in MLflow's UI, in a real browser: candidates with their figures, plots, the champion."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from matplotlib.figure import Figure
from playwright.sync_api import Page, expect, sync_playwright

from everstay.lake import Lake
from everstay.metrics.comparison import Interval
from everstay.registry.promotion import Evidence, decide
from everstay.registry.rollout import apply_decision
from everstay.registry.store import Registry
from everstay.registry.tracking import log_candidate
from everstay.registry.versions import register_challenger
from everstay.registry.views import addresses
from everstay.settings import Mlflow, Promotion
from tests.registry.conftest import report_toy

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE_MS = 90_000  # the machine may be busy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: apt-get install chromium)"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_up(url: str, server: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while True:
        assert server.poll() is None, "the UI ended"
        assert time.monotonic() < end, "the UI did not start"
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.3)


@pytest.fixture(scope="module")
def store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory, churn_rows: pl.DataFrame) -> Mlflow:
    """Two judged candidates; the better one was promoted."""
    folder = tmp_path_factory.mktemp("ui")
    file = Path(shutil.copy(empty_store, folder))
    settings = Mlflow(tracking_uri=f"sqlite:///{file}", artifacts=str(folder / "artifacts"), port=free_port())
    registry, runs = Registry(settings), {}
    for name, value in (("recency", 0.3125), ("network", 0.4375)):
        plot = Figure()
        plot.add_subplot().plot([0, 1], [0, value])
        figures = {
            f"{part}_average_precision": Interval(value, value - 0.1, value + 0.1) for part in ("validation", "test")
        }
        report = replace(report_toy(folder / "fitted", name), metrics=figures, figures={"calibration.png": plot})
        runs[name] = log_candidate(registry, "churn", report, run_key=name, example=churn_rows, settings={})
    challenger = register_challenger(registry, "churn", runs["network"], metric="test_average_precision")
    evidence = Evidence("average_precision", "events-0", baselines={"recency": Interval(0.125, 0.1, 0.15)})
    apply_decision(registry, Lake(str(folder / "lake"), 2), decide(None, challenger, evidence, Promotion()))
    return settings


@pytest.fixture(scope="module")
def told(store: Mlflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The UI, started as `make ui` does and ended as Ctrl-C does; gives the file of what it printed."""
    output = tmp_path_factory.mktemp("told") / "output.txt"
    environment = {
        **os.environ,
        "EVERSTAY_MLFLOW__TRACKING_URI": store.tracking_uri,
        "EVERSTAY_MLFLOW__ARTIFACTS": store.artifacts,
        "EVERSTAY_MLFLOW__PORT": str(store.port),
    }
    command = [sys.executable, "-m", "everstay.registry", "ui"]
    with output.open("w") as file:
        server = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        wait_until_up(f"http://127.0.0.1:{store.port}", server)
        yield output
    finally:
        server.send_signal(signal.SIGINT)
        ended = server.wait(timeout=60)
    assert ended == 0
    assert "Traceback" not in output.read_text()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", store.port)) != 0, "the UI still listens"


@pytest.fixture(scope="module")
def page(told: Path) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1700, "height": 1300})
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield page
        browser.close()


def open_page(page: Page, store: Mlflow, name: str) -> None:
    page.goto(addresses(Registry(store), store.port)[name])


def test_the_command_says_where_to_look(told: Path, store: Mlflow):
    lines = told.read_text().splitlines()
    for name, address in addresses(Registry(store), store.port).items():
        assert any(line.startswith(name) and line.endswith(address) for line in lines)


def test_both_candidates_stand_side_by_side_with_their_figures(page: Page, store: Mlflow):
    open_page(page, store, "churn candidates")
    for seen in ("network 2024-03-01", "recency 2024-03-01", "0.4375", "0.3125"):
        expect(page.get_by_text(seen).first).to_be_visible()
    names = page.locator("[role=grid] a, .ag-root a").all_inner_texts()
    assert [name.split()[0] for name in names if "2024-03-01" in name] == ["network", "recency"]  # the best above
    expect(page.get_by_text("validation_average_precision").first).to_be_visible()


def test_a_run_tells_what_it_is_and_shows_its_plot(page: Page, store: Mlflow):
    open_page(page, store, "churn candidates")
    page.get_by_text("network 2024-03-01").first.click()
    expect(page.get_by_text("a candidate for churn, tested as of 2024-03-01").first).to_be_visible()
    expect(page.get_by_text("data_version").first).to_be_visible()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("plots", exact=True).click()
    page.get_by_text("calibration.png").click()
    shown = "Array.from(document.images).some(image => image.src.startsWith('blob:') && image.naturalWidth > 300)"
    page.wait_for_function(shown)


def test_the_champion_is_named_with_the_reasons(page: Page, store: Mlflow):
    open_page(page, store, "champions")
    page.keyboard.press("Escape")  # MLflow's own announcement
    page.goto(f"http://127.0.0.1:{store.port}/#/models/churn/versions/1")
    expect(page.get_by_text("champion", exact=False).first).to_be_visible()
    expect(page.get_by_text("network: test_average_precision 0.4375").first).to_be_visible()
    expect(page.get_by_text("promoted: first model").first).to_be_visible()
