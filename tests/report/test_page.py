"""A page is whole in itself, shows what it was given, and takes a shop's own words for words."""

import re

import numpy as np

from everstay.report import Badge, Column, Picture, Report, Section, Table, render
from everstay.report.charts import Line, draw_bars, draw_calibration, draw_lines, draw_shares


def page(*sections: Section) -> str:
    return render(Report("A run", "of a shop", sections, (Badge("users", "1,200", "good"),), ("a note",)))


def test_it_fetches_nothing_and_runs_nothing():
    svg = draw_lines([Line("all", [0, 1, 2], [0.1, 0.2, np.nan], [0, 0, 0], [1, 1, 1])], "x", "y")
    html = page(Section("Curves", pictures=(Picture("a curve", svg), Picture("a dot", b"\x89PNG"))))
    assert "<script" not in html
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert all(source.startswith(("#", "data:")) for source in sources)
    assert html.count("<svg") == 1


def test_cells_are_written_by_their_column_and_shop_words_are_no_html():
    table = Table("Shares", (Column("who"), Column("share", ".1%")), [("<b>ann</b>", 0.25), ("bob", None)])
    html = page(Section("Who <left>", tables=(table,)))
    assert "&lt;b&gt;ann&lt;/b&gt;" in html
    assert "<b>ann" not in html
    assert "25.0%" in html
    assert 'id="who-left"' in html


def test_an_empty_table_says_so():
    assert "nothing yet" in page(Section("List", tables=(Table("Empty", (Column("user"),), []),)))


def test_the_same_chart_is_the_same_text():
    lines = [Line("all", [0, 1, 2], [0.1, 0.2, 0.3])]
    assert draw_lines(lines, "x", "y") == draw_lines(lines, "x", "y")
    assert "<svg" in draw_bars([0, 1, 2], [3, 2, 1], [(1.5, "90%")], ("days", "gaps"))
    assert "<svg" in draw_calibration([0.1, 0.5], [0.12, 0.4], [0.1, 0.3], [0.15, 0.5])


def test_dollar_signs_in_a_group_are_no_formula():
    for group in ("$25,000-$50,000", "$25_$"):
        svg = draw_shares([group], [0.2], [0.1], [0.3], 0.2)
        drawn = svg.split(f"<!-- {group} -->")[1].split("</g>")[0]
        assert drawn.count("<use ") == len(group)  # every letter, both signs too
