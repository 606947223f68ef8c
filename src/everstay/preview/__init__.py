"""What a source would bring, before anything is stored: what its rows become, and whether they are enough."""

from everstay.preview.readiness import Check, check_readiness
from everstay.preview.survey import Survey, survey_source

__all__ = ["Check", "Survey", "check_readiness", "survey_source"]
