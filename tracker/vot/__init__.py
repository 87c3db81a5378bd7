"""The VOT toolkit side: data sets, evaluation, scores, challenge entries."""
