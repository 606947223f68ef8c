"""Copies the published CDNOW table, which the package `lifetimes` carries, to a file; the package is not imported."""

import importlib.metadata
import shutil
import sys


def main(output: str) -> None:
    """Copy it."""
    files = importlib.metadata.files("lifetimes") or []
    master = next(file for file in files if file.name == "CDNOW_master.txt")
    shutil.copyfile(str(master.locate()), output)


if __name__ == "__main__":
    main(sys.argv[1])
