"""The toolkit's analyses: run, and their figures by the names of their measures."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tracker.vot import toolkit
from tracker.vot.errors import VotError
from tracker.vot.workspace import Workspace

# analysis of the toolkit (in vot.analysis) -> the measures it gives, in its order
MEASURES = {
    "accuracy.AverageAccuracy": ("Q",),
    "longterm.AccuracyRobustness": ("A", "R"),
    "longterm.AverageQualityAuxiliary": ("NRE", "DRE", "ADQ"),
    "longterm.PrecisionRecall": ("Pr", "Re", "F"),
    "multistart.EAOScore": ("EAO",),
    "multistart.AverageAccuracyRobustness": ("A", "R"),
    "supervised.EAOScore": ("EAO",),
    "supervised.AverageAccuracyRobustness": ("A", "failures"),
    "vos.MeanJF": ("JF",),
    "point.AveragePointAccuracy": ("d_avg",),
}


def read_analysis(path: Path, tracker: str) -> dict[str, dict[str, float | None]]:
    """Experiment -> measure -> value, from the JSON of `vot analysis`."""
    document = json.loads(path.read_text())
    position = list(document["trackers"]).index(tracker)
    scores = {}
    for name, experiment in document["results"].items():
        settings = experiment["parameters"].get("analyses") or []
        values: dict[str, float | None] = {}
        for analysis, answer in zip(settings, experiment["results"], strict=True):
            values.update(_named(analysis["type"], answer[position]))
        scores[name] = values
    return scores


def _named(kind: str, answer: Any) -> dict[str, float | None]:
    names = MEASURES.get(kind.removeprefix("vot.analysis."), ())
    if not names or answer is None:
        return {}
    pairs = zip(names, answer, strict=False)
    return {name: _number(value) for name, value in pairs}


def _number(value: Any) -> float | None:
    """A figure; None where the toolkit has none or could not compute one (not a number)."""
    return None if value is None or math.isnan(value) else float(value)


def run_analysis(workspace: Workspace, tracker: str) -> Path:
    """Run `vot analysis`, within `toolkit.analysing`; its JSON. VotError when it made none."""
    path = workspace.folder / "analysis" / f"{tracker}.json"
    path.unlink(missing_ok=True)
    toolkit.clear_cache(workspace)
    run = toolkit.run_toolkit(workspace, "analysis", tracker, "--name", tracker)
    if not path.is_file():
        raise VotError(f"the analysis made no {path}:\n{run.tail()}\nwhole output: {run.log}")
    return path


def sequence_scores(
    workspace: Workspace, tracker: str
) -> dict[tuple[str, str], dict[str, float | None]]:
    """(experiment, sequence) -> measure -> value: the stack's analyses, one sequence at a time.

    Uses the cache that `vot analysis` has just filled, so no overlap is computed twice.
    """
    from vot.analysis.processor import AnalysisProcessor
    from vot.workspace import Workspace as ToolkitWorkspace
    from vot.workspace.storage import Cache

    loaded = ToolkitWorkspace.load(str(workspace.folder))
    storage = loaded.storage
    trackers = loaded.registry.resolve(
        tracker, storage=storage.substorage("results"), skip_unknown=False
    )
    cache = Cache(storage.substorage("cache").substorage("analysis"))
    scores: dict[tuple[str, str], dict[str, float | None]] = {}
    with ThreadPoolExecutor(1) as executor:
        processor = AnalysisProcessor(executor, cache)
        for experiment in loaded.stack:
            kinds = [analysis["type"] for analysis in experiment.dump()["analyses"]]
            for sequence in experiment.transform(loaded.dataset):
                values = scores.setdefault((experiment.identifier, sequence.name), {})
                for kind, analysis in zip(kinds, experiment.analyses, strict=True):
                    promise = processor.commit(analysis, experiment, trackers, [sequence])
                    values.update(_named(kind, promise.result()[0, 0]))
    return scores
