"""How good a model is, and how sure that is: arrays in, per-user values or intervals out."""
