"""Small commands of `python -m tracker` that are no module of their own elsewhere."""
