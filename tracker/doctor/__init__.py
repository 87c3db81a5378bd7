"""What can be wrong with an installation, looked at one thing after another.

Nothing here needs a package beyond Python's own library: what is broken must not keep the rest from
being looked at. Other packages are imported in processes of their own.

finding      what was seen, and the remedy
packages     the interpreter, the packages and the versions that belong together
graphics     the GPU, its driver, and whether PyTorch can use it
files        weights with their digests, the registry, the folder of the resident servers
round_trip   one TraX session through `tracker.attach` and the resident server
"""
