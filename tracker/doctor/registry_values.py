"""Values of trackers.ini that end every evaluation, or that nobody reads."""

from __future__ import annotations

import configparser
import difflib
import os

from tracker.checkout import WEIGHTS_VARIABLE, in_project
from tracker.resident.options import VARIABLES


def faults_of(name: str, parser: configparser.ConfigParser) -> list[str]:
    """What is wrong with the values of one section."""
    faults = []
    for key, raw in parser.items(name, raw=True):
        try:
            value = parser.get(name, key)
        except configparser.InterpolationError:
            faults.append(f"{key} = {raw}: the toolkit cannot read a single %; write %%")
            continue
        # The case of a key counts for nothing: the toolkit makes the variable upper case.
        variable = key.removeprefix("env_").upper()
        if key.startswith("env_hqtrack_"):
            faults += _variable_faults(key, variable, os.path.expandvars(value))
    return faults


def _variable_faults(key: str, variable: str, value: str) -> list[str]:
    if variable not in VARIABLES:
        close = difflib.get_close_matches(variable, sorted(VARIABLES), 1)
        known = close or sorted(VARIABLES)
        return [f"{key}: nobody reads {variable}; write env_{' or env_'.join(known)}"]
    if variable == WEIGHTS_VARIABLE and value and not in_project(value).is_dir():
        return [f"{key} = {value}: there is no such folder; name the one of the weights"]
    return []
