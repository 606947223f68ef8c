"""`python -m everstay.preview`: show what the settings' source would bring; exit status 1 when it is not enough."""

import sys
from pathlib import Path

from rich.console import Console

from everstay.errors import EverstayError
from everstay.preview.page import print_readiness, print_survey
from everstay.preview.readiness import check_readiness
from everstay.preview.survey import survey_source
from everstay.settings import load_settings
from everstay.sources import open_source


def main() -> int:
    """Read everything, store nothing."""
    console = Console(highlight=False, markup=False, emoji=False, width=120)  # a shop's ids may hold [brackets]
    try:
        settings = load_settings()
        survey = survey_source(open_source(settings.source), Path(settings.expectations_folder))
        print_survey(console, survey, settings.source)
        checks = check_readiness(survey, settings)
    except EverstayError as error:
        print(f"everstay: {error}", file=sys.stderr)
        return 1
    print_readiness(console, checks)
    return int(any(check.verdict == "stop" for check in checks))


if __name__ == "__main__":
    sys.exit(main())
