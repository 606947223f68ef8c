"""`python -m everstay.features`: write docs/features.md and the ranges in expectations/user_features.json."""

from pathlib import Path

from everstay import tables as t
from everstay.features.catalogue import features_page, suite_with_ranges
from everstay.settings import load_settings


def main() -> None:
    """Write both from the declarations, in the project's folder."""
    Path("docs/features.md").write_text(features_page(), encoding="utf-8")
    suite = Path(load_settings().expectations_folder) / f"{t.USER_FEATURES.name}.json"
    suite.write_text(suite_with_ranges(suite.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
