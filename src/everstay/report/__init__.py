"""Reports for people: sections of words, tables and pictures become one self-contained HTML page."""

from everstay.report.document import Badge, Column, Picture, Report, Section, Table, with_bounds
from everstay.report.page import render, write_page

__all__ = ["Badge", "Column", "Picture", "Report", "Section", "Table", "render", "with_bounds", "write_page"]
