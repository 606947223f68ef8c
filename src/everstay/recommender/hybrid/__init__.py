"""Two stages: candidates from several sources, re-ranked by gradient boosting on what was known at that moment."""
