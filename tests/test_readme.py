"""The README: its example runs as it is written, each difference it lists has its tests."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

DIFFERENCES = {
    "an image is encoded once per frame": (
        "test_refiner.test_fault_the_image_is_encoded_once_per_frame_and_boxes_are_decoded_together",
        "test_refiner.test_vit_tiny_equals_the_packages_predictor_called_per_object",
    ),
    "where initial masks overlap": (
        "test_labels.test_fault_overlapping_masks_one_and_two_are_not_object_three",
    ),
    "merged labels are the objects' own": (
        "test_labels.test_fault_objects_two_and_three_overlapping_do_not_come_out_as_one",
    ),
    "the number of objects is what was given": (
        "test_labels.test_gaps_in_the_ids_do_not_invent_objects",
        "test_parity.test_fault_a_tiny_object_does_not_vanish_at_the_networks_size",
    ),
    "any frame size": ("test_pipeline.test_fault_the_frame_size_may_change_mid_video",),
    "an object without pixels": (
        "test_pipeline.test_fault_boxes_are_tight_and_inclusive_and_absent_objects_are_not_prompted",
        "test_session.test_an_object_that_is_absent_keeps_its_number",
    ),
    "objects can be added": (
        "test_session.test_the_reference_and_frames_with_new_objects_stay_in_memory",
    ),
    "strict loading": (
        "test_checkpoints.test_an_official_file_that_does_not_fit_is_refused_by_name",
    ),
    "a 15 x 15 window": (
        "test_attention.test_local_attention_builds_no_matrix_of_all_by_all",
        "test_attention.test_global_attention_is_softmax_of_scaled_products",
    ),
    "an empty refined mask": (
        "test_labels.test_the_gate_keeps_at_the_threshold_and_never_takes_an_empty_mask",
    ),
    "`hqtrack-lite` runs in bfloat16": (
        "test_precision.test_choice",
        "test_readout.test_evidence_is_added_to_the_logits_by_its_weights",
    ),
    "`hqtrack-lite` matches the frame before": (
        "test_detail.test_shares_follow_what_moves",
        "test_detail.test_exchanging_objects_exchanges_their_logits",
    ),
    "`hqtrack-lite` sees every frame at": (
        "test_preprocess.test_a_frame_of_any_shape_costs_the_light_preset_the_same",
    ),
    "`hqtrack-lite` answers an object as absent": (
        "test_presence.test_an_object_is_compared_with_what_is_usual_for_it",
        "test_pipeline.test_an_object_is_absent_that_becomes_doubtful",
    ),
    "the TraX server answers before": (
        "test_serve_session.test_what_an_answer_need_not_wait_for_is_done_after_it",
        "test_frames_ahead.test_a_file_that_changed_since_is_read_again",
    ),
}
"""The beginning of every line of "Where it differs", and the tests that hold it."""


def test_every_difference_is_held_by_tests_that_exist():
    text = (ROOT / "README.md").read_text().split("## Where it differs")[1].split("\n## ")[0]
    ours = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")][1:]
    held = {line: [start for start in DIFFERENCES if line.startswith(start)] for line in ours}
    assert [line for line, starts in held.items() if len(starts) != 1] == []
    assert len(ours) == len(DIFFERENCES)
    for test in (test for tests in DIFFERENCES.values() for test in tests):
        module, name = test.split(".")
        assert callable(getattr(importlib.import_module(f"tests.{module}"), name, None)), test


def test_the_python_example_prints_what_the_text_says():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert [line.split(" [")[0] for line in lines] == [
        f"{number} (120, 160) ({1 if number < 2 else 2}, 120, 160)" for number in range(6)
    ]
    assert lines[4].startswith("4 (120, 160) (2, 120, 160) [False ")
