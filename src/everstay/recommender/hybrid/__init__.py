"""Two stages: candidates from several sources, ranked again by gradient boosting on what was known at that moment."""
