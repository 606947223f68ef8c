"""Reports for people: nothing of a shop's data is read as markup, and the worst comes first."""

import re
from pathlib import Path

from everstay.validation import ExpectationOutcome, ValidationReport, to_markdown, write_report

HOSTILE = "<script>alert('1')</script>"
FINE = ExpectationOutcome("Every event has an id", "event_id", "critical", True, 1_200, 0, 0.0, ())
EXAMPLE = f"event_type = {HOSTILE} where event_id = e1"
FAILED = ExpectationOutcome("A type is known", "event_type", "critical", False, 1_200, 3, 0.0025, (EXAMPLE,))
WARNED = ExpectationOutcome("A purchase names its order", "order_id", "warning", False, 600, 60, 0.1, ())
REPORTS = (ValidationReport("events", 1_200, (FINE, WARNED, FAILED)), ValidationReport("items", 25, ()))


def test_the_page_shows_examples_escaped(tmp_path: Path) -> None:
    page = write_report(REPORTS, tmp_path / "reports")
    assert page == tmp_path / "reports" / "validation-events-items.html"
    html = page.read_text(encoding="utf-8")
    assert "<script" not in html
    assert "event_type = &lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; where event_id = e1" in html
    assert re.findall(r'<tr><td class="(\w+)">', html) == ["failed", "warning", "ok"]
    assert "1,200" in html
    assert "10.00%" in html
    assert not re.search(r"(src|href)=\"(?!#)", html)  # nothing is loaded from elsewhere


def test_a_page_about_the_same_tables_is_replaced(tmp_path: Path) -> None:
    write_report(REPORTS, tmp_path)
    page = write_report([ValidationReport("events", 7, (FINE,)), REPORTS[1]], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [page.name]
    assert "script" not in page.read_text(encoding="utf-8")


def test_markdown_counts_and_lists_what_failed() -> None:
    lines = to_markdown(REPORTS).splitlines()
    assert lines[2:4] == ["| events | 1,200 | 3 | 1 | 1 |", "| items | 25 | 0 | 0 | 0 |"]
    assert lines[5].startswith(r"- **failed** events, event\_type: A type is known (3 of 1,200 rows (0.25%)")
    assert r"\<script\>" in lines[5]
    assert lines[6].startswith("- **warning** events")
    assert len(lines) == 7
