"""Retention as a curve: cohorts and their forecast, how often users come, churn by segment, what churn should mean."""

from everstay.retention.definition import Definition, advise_definition
from everstay.retention.definition_page import definition_section
from everstay.retention.measure import RetentionFigures, measure_retention
from everstay.retention.page import retention_section, rhythm_section, segment_section
from everstay.retention.segments import LIFECYCLE, churn_by_segment

__all__ = [
    "LIFECYCLE",
    "Definition",
    "RetentionFigures",
    "advise_definition",
    "churn_by_segment",
    "definition_section",
    "measure_retention",
    "retention_section",
    "rhythm_section",
    "segment_section",
]
