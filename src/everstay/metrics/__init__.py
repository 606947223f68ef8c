"""Quality of models and its uncertainty: arrays in, per-user values or intervals out."""
