"""Candidates, versions, aliases and promotion: the only package that knows MLflow.

| module      | holds |
|-------------|-------|
| `store`     | `Registry`, the connection to MLflow's store |
| `tracking`  | `find_run`, `log_candidate`: a candidate becomes a run and a logged model |
| `versions`  | `register_challenger`, `champion`, `challenger`, `download`: a run becomes a version |
| `promotion` | `decide`: pure; evidence and policy become a decision with reasons |
| `ledger`    | what was decided, in the lake's `promotions` table |
| `description`, `packaging` | what a candidate's run and its `pyfunc` model hold |
| `views`     | what a person sees first in MLflow's UI |
| `rollout`   | `apply_decision`, `roll_back`: a decision moves the champion alias |
| `identity`  | what makes two runs the same: key, commit |
| `refs`      | `RunRef`, `ModelRef`: passed between steps instead of models |
| `artifact`  | the artifact folder: its card, its digest, its loader |
| `served`    | the artifact folder as `mlflow.pyfunc` loads it |

Nothing is imported here: a Dask worker that loads a model needs `artifact` alone, and MLflow takes seconds to import.
"""
