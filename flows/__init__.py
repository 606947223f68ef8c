"""The flows: the only code that imports Prefect. One file is one flow, one deployment and one make target."""
