"""What is drawn: colours at known places, captions, sheets, the timeline, plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.view_toys import (
    EMPTY,
    LENGTH,
    NOTHING,
    RIGHT,
    SHAPE,
    SQUARE,
    Toy,
    WithoutTruth,
    rectangle,
)
from tracker.media.masks import palette
from tracker.view import panels, plots
from tracker.view.build import save
from tracker.view.drawing import (
    EXTRA,
    MISSED,
    around,
    colour_of,
    draw_errors,
    draw_regions,
    fit,
    fit_mask,
)
from tracker.view.panels import GAP, Painter, figure, state
from tracker.view.series import Moment, measure
from tracker.view.sheets import even_frames, sheet
from tracker.view.tags import place_tags
from tracker.view.text import (
    BAD,
    BAR,
    BAR_HEIGHT,
    BLACK,
    GOOD,
    PLAIN,
    WHITE,
    Tag,
    Word,
    caption,
    draw_tags,
    tag_size,
)
from tracker.view.timeline import ROW, Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = np.full((*SHAPE, 3), 120, np.uint8)


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == np.array(colour)).all(axis=-1).any())


def test_colours_are_those_of_the_masks() -> None:
    assert colour_of(0) == tuple(palette()[1]) == (128, 0, 0)
    assert colour_of(254) == tuple(palette()[255])
    assert colour_of(255) == colour_of(0)  # 0 is background, also for the 256th object


def test_a_region_is_tinted_inside_and_outlined_in_colour_and_white() -> None:
    picture = draw_regions(GREY, [EMPTY, RIGHT], SHAPE, ["a", "b"])
    green, inside = np.array(colour_of(1)), picture[40, 60]
    assert inside == pytest.approx(0.6 * 120 + 0.4 * green, abs=1)
    assert np.array_equal(picture[49, 60], green)  # its last row
    assert np.array_equal(picture[50, 60], WHITE)
    assert np.array_equal(picture[55, 10], GREY[55, 10])


@pytest.mark.parametrize("brightness", [0, 128, 255])
def test_tags_are_legible_on_any_ground(brightness: int) -> None:
    ground = np.full((60, 80, 3), brightness, np.uint8)
    dark = draw_tags(ground, [Tag(5, 5, "12", (128, 0, 0))])[5:28, 5:40]
    assert has(dark, WHITE) and has(dark, (128, 0, 0))
    bright = draw_tags(ground, [Tag(5, 5, "12", (192, 192, 128))])[7:26, 7:38]
    assert bright.min() < 40 and has(bright, (192, 192, 128)) and BLACK == (0, 0, 0)


def test_tags_stand_above_their_object_if_nothing_is_there() -> None:
    size = (300, 400)
    mask, other = np.zeros(size, bool), np.zeros(size, bool)
    mask[100:140, 100:200], other[60:99, 100:200] = True, True
    width, height = tag_size("a")
    (tag,) = place_tags([(mask, "a", BAD)], size)
    assert (tag.left, tag.top) == (100 + (100 - width) // 2, 100 - 3 - height)
    above, below = place_tags([(other, "b", BAD), (mask, "a", BAD)], size)
    assert (above.top, below.top) == (60 - 3 - height, 143)


def test_a_tag_stands_beside_the_largest_part_of_its_object() -> None:
    mask = np.zeros((300, 400), bool)
    mask[200:203, 20:23] = mask[100:140, 200:300] = mask[280:284, 350:354] = True
    width, height = tag_size("a")
    (tag,) = place_tags([(mask, "a", BAD)], mask.shape)
    assert (tag.left, tag.top) == (200 + (100 - width) // 2, 100 - 3 - height)


def test_tags_do_not_cover_each_other_and_stay_inside() -> None:
    mask = np.zeros((120, 160), bool)
    mask[0:60, 0:60] = True
    tags = place_tags([(mask, str(number), BAD) for number in range(3)], mask.shape)
    covered = np.zeros(mask.shape, int)
    for tag in tags:
        width, height = tag_size(tag.text)
        assert tag.left >= 0 and tag.top >= 0 and tag.left + width <= 160
        covered[tag.top : tag.top + height, tag.left : tag.left + width] += 1
    assert covered.max() == 1 and not (covered[mask] > 0).any()


def test_errors_have_their_colours_and_the_truth_a_white_edge() -> None:
    image = np.full((*SHAPE, 3), (200, 30, 90), np.uint8)
    half = rectangle(10, 20, 20, 20)
    answer = Toy.answers[0][2]
    assert np.array_equal(answer.mask(SHAPE), half)
    picture = draw_errors(image, answer, SQUARE, NOTHING, SHAPE)
    rows, columns = around(rectangle(10, 10, 20, 30))
    scale = SHAPE[0] / (rows.stop - rows.start)

    def at(y: int, x: int) -> np.ndarray:
        return picture[int((y + 0.5 - rows.start) * scale), int((x + 0.5 - columns.start) * scale)]

    grey = at(20, 25)
    assert grey[0] == grey[1] == grey[2] < 100  # both: dim, without colour
    assert at(20, 15) == pytest.approx(0.75 * np.array(MISSED) + 0.25 * grey, abs=2)
    assert at(20, 35) == pytest.approx(0.75 * np.array(EXTRA) + 0.25 * grey, abs=2)
    edge = (picture[int((20 - rows.start) * scale)] == WHITE).all(axis=-1)
    sides = [(10 - columns.start) * scale, (30 - columns.start) * scale - 1]
    assert np.flatnonzero(edge) == pytest.approx(sides, abs=1)


def test_what_is_to_be_ignored_is_no_error() -> None:
    picture = draw_errors(GREY, RIGHT, EMPTY, RIGHT, SHAPE)
    assert (picture[..., 0] == picture[..., 2]).all()


def test_the_window_is_twice_the_object_in_the_frames_proportions_and_inside() -> None:
    rows, columns = around(rectangle(20, 30, 10, 10))
    assert (rows, columns) == (slice(15, 35), slice(22, 49))
    assert around(rectangle(0, 0, 2, 2)) == (slice(0, 15), slice(0, 20))
    assert around(rectangle(58, 78, 2, 2)) == (slice(45, 60), slice(60, 80))
    everything = (slice(0, 60), slice(0, 80))
    assert around(rectangle(5, 5, 50, 10)) == around(np.zeros(SHAPE, bool)) == everything


def test_sizes_are_even_and_masks_keep_their_area() -> None:
    assert fit(np.zeros((360, 640, 3), np.uint8), 301).shape == (170, 301, 3)
    square = rectangle(10, 10, 20, 20)
    assert fit_mask(square, (30, 40)).sum() == 100
    assert fit_mask(square, (120, 160)).sum() == pytest.approx(1600, rel=0.03)


def test_states_say_what_is_known() -> None:
    a, b = measure(Toy())
    said = [state(a, number) for number in range(LENGTH)]
    assert [text for text, _ in said[:5]] == ["given", "1.00", "0.33", "0.00", "not reported"]
    assert [colour for _, colour in said[1:5]] == [PLAIN, BAD, BAD, BAD]
    assert said[6][0] == "reported"
    assert state(b, 0)[0] == ""
    assert state(b, 4) == ("absent", GOOD)
    assert state(b, 5) == ("absent, but reported", BAD)


def test_only_a_perfect_overlap_is_written_as_one() -> None:
    assert [figure(value) for value in (1.0, 0.999, 0.5, 0.004)] == ["1.00", "0.99", "0.50", "0.00"]


def test_captions_count_the_words_that_do_not_fit() -> None:
    words = [Word(f"object {number}", PLAIN, (0, 128, 0)) for number in range(9)]
    whole, cut = caption(1200, words), caption(300, words)
    assert whole.shape == (BAR_HEIGHT, 1200, 3) and cut.shape == (BAR_HEIGHT, 300, 3)

    def squares(bar: np.ndarray) -> int:
        row = (bar[BAR_HEIGHT // 2] == (0, 128, 0)).all(-1)
        return int(np.count_nonzero(np.diff(row.astype(int)) == 1))

    assert squares(whole) == 9
    assert squares(cut) == 3
    last = np.flatnonzero((cut != BAR).any(axis=(0, 2)))[-1]
    assert 200 < last < 300  # "+6" stands there, inside


def test_a_pair_shows_the_truth_on_the_left_and_the_result_on_the_right() -> None:
    toy = Toy()
    painter = Painter(toy, measure(toy), 80)
    picture = painter.pair(3, next(toy.images([3])))
    assert picture.shape == (60 + BAR_HEIGHT, 2 * 80 + GAP, 3)
    left, right = picture[:60, :80], picture[:60, 80 + GAP :]
    assert np.array_equal(left[29, 15], colour_of(0)) and not has(right[28:, :40], colour_of(0))
    assert np.array_equal(left[49, 60], colour_of(1))


def test_captions_count_frames_from_one_and_tell_bad_news_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said, written = [], panels.caption

    def listen(width: int, words: list[Word]) -> np.ndarray:
        said.append([word.text for word in words])
        return written(width, words)

    monkeypatch.setattr(panels, "caption", listen)
    toy = Toy()
    Painter(toy, measure(toy), 80).pair(7, next(toy.images([7])))
    assert said == [["ground truth", f"frame 8/{LENGTH}"], ["result", "b: 0.00", "a: 1.00"]]


def test_the_first_frame_shows_what_was_given() -> None:
    toy = Toy()
    picture = Painter(toy, measure(toy), 80).result(0, next(toy.images([0])))
    assert np.array_equal(picture[29, 15], colour_of(0))


def test_errors_show_the_object_that_is_meant() -> None:
    toy = Toy()
    picture = Painter(toy, measure(toy), 80).errors(Moment(7, 1, 0.0), next(toy.images([7])))
    assert picture.shape == (60 + BAR_HEIGHT, 3 * 80 + 2 * GAP, 3)
    errors = picture[:60, 2 * (80 + GAP) :].astype(int)
    blue, red = errors[..., 2] - errors[..., 0], errors[..., 0] - errors[..., 2]
    assert (blue > 80).sum() > 100 and (red > 80).sum() > 100


def test_errors_fit_frames_of_another_size() -> None:
    toy = Toy()
    painter, double = Painter(toy, measure(toy), 80), np.full((120, 160, 3), 120, np.uint8)
    expected = painter.errors(Moment(7, 1, 0.0), next(toy.images([7])))
    assert np.array_equal(painter.errors(Moment(7, 1, 0.0), double), expected)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_a_picture_that_cannot_be_written_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "gone" / name
    with pytest.raises(OSError, match=f"cannot write {path}"):
        save(path, GREY)
    path.parent.mkdir()
    save(path, GREY)
    assert path.stat().st_size


def test_frames_of_a_sheet() -> None:
    assert even_frames(48, 4) == [0, 16, 31, 47]
    assert (
        even_frames(3, 12) == [0, 1, 2] and even_frames(1, 12) == [0] and even_frames(5, 1) == [0]
    )


def test_a_sheet_has_each_picture_in_its_place() -> None:
    pictures = [np.full((10, 20, 3), 50 * number, np.uint8) for number in range(1, 4)]
    canvas = sheet(pictures, 2)
    assert canvas.shape == (20 + GAP, 40 + GAP, 3)
    assert (
        canvas[0, 0, 0] == 50 and canvas[9, 20 + GAP, 0] == 100 and canvas[10 + GAP, 19, 0] == 150
    )
    assert tuple(canvas[10 + GAP, 20 + GAP]) == BAR and tuple(canvas[10, 0]) == BAR
    assert sheet(pictures[:1], 2).shape == (10, 20, 3)


def test_the_timeline_is_green_red_and_grey_and_marks_the_frame() -> None:
    width = 16 + 10 * LENGTH
    strip = Timeline(measure(Toy()), width).under(np.zeros((4, width, 3), np.uint8), 2)[4:]
    assert strip.shape == (2 * ROW, width, 3)
    found, half, lost = (strip[0, 16 + 10 * frame + 5].astype(int) for frame in (1, 2, 3))
    assert found[1] > found[0] + 50 and lost[0] > lost[1] + 100
    assert half[0] > 200 and half[1] > 100
    absent, reported = (strip[ROW, 16 + 10 * frame + 5].astype(int) for frame in (4, 5))
    assert np.ptp(absent) < 30 and reported[0] > reported[1] + 100
    assert np.array_equal(strip[0, 16 + 20], WHITE) and not np.array_equal(strip[0, 16 + 10], WHITE)


def test_plots_are_the_same_each_time_and_name_objects_and_means(tmp_path: Path) -> None:
    series = measure(Toy())
    files = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for path in files:
        plots.plot_overlaps(series, [Moment(3, 0, 0.0)], path, "toy")
    assert files[0].read_bytes() == files[1].read_bytes()
    text = files[0].read_text()
    assert (
        f"<!-- a: {series[0].mean:.3f} -->" in text and f"<!-- b: {series[1].mean:.3f} -->" in text
    )
    for one in (0, 1):
        assert "#{:02x}{:02x}{:02x}".format(*colour_of(one)) in text
    assert "<!-- IoU -->" in text and "object absent" in text
    plots.plot_areas(series, tmp_path / "areas.svg", "toy")
    assert "<!-- area, pixels -->" in (tmp_path / "areas.svg").read_text()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    """The axes of the plots that were drawn."""
    found, finish = [], plots._finish

    def keep(figure: Figure, axes: Axes, path: Path) -> None:
        found.append(axes)
        finish(figure, axes, path)

    monkeypatch.setattr(plots, "_finish", keep)
    return found


def test_a_plot_has_the_overlaps_of_visible_frames_counted_from_one(
    tmp_path: Path, drawn: list[Axes]
) -> None:
    plots.plot_overlaps(measure(Toy()), [Moment(3, 0, 0.0)], tmp_path / "plot.svg")
    lines = drawn[0].lines
    curves = [line for line in lines if not line.get_label().startswith("_")]
    nan, frames = np.nan, list(range(1, LENGTH + 1))
    assert [list(line.get_xdata()) for line in curves] == [frames] * 2
    np.testing.assert_allclose(curves[0].get_ydata(), [nan, 1, 1 / 3, 0, 0, 1, nan, 1])
    np.testing.assert_allclose(curves[1].get_ydata(), [nan, nan, nan, 1, nan, nan, 1, 0])
    places = {mark: [line.get_xydata().tolist() for line in lines if line.get_marker() == mark]
              for mark in ("v", "o", ".")}  # fmt: skip
    assert places["v"] == [[[1, 1]], [[3, 1]]]  # where each was given
    assert places["o"] == [[[4, 0]]] and "1" in [text.get_text() for text in drawn[0].texts]
    assert places["."] == [[[8, 1]], [[4, 1]]]  # frames that no line reaches


def test_bands_of_absence_are_filled_where_the_object_was_reported(
    tmp_path: Path, drawn: list[Axes]
) -> None:
    """Object b is absent in the fifth and sixth frame, and reported in the sixth."""
    plots.plot_overlaps(measure(Toy()), [], tmp_path / "plot.svg")
    colour = tuple(value / 255 for value in colour_of(1))
    bands = drawn[0].collections
    spans = [band.get_paths()[0].vertices[:, 0] for band in bands]
    assert [(span.min(), span.max()) for span in spans] == [(4.5, 5.5), (5.5, 6.5)]
    faces = [tuple(band.get_facecolor()[0][:3]) for band in bands]
    assert faces == [(1, 1, 1), pytest.approx(colour)]


def test_a_plot_of_areas_leaves_out_the_frame_in_which_nothing_is_said(
    tmp_path: Path, drawn: list[Axes]
) -> None:
    plots.plot_areas(measure(WithoutTruth()), tmp_path / "areas.svg")
    (line,) = drawn[0].lines
    expected = [np.nan, 400, 400, 400, 0, 400, 400, 400]
    np.testing.assert_array_equal(line.get_ydata(), expected)
    assert list(line.get_xdata()) == list(range(1, LENGTH + 1))


def test_of_many_objects_the_plot_names_some_and_the_timeline_shows_some(
    tmp_path: Path, drawn: list[Axes]
) -> None:
    series = measure(WithoutTruth()) * 300
    plots.plot_areas(series, tmp_path / "areas.svg")
    names = [text.get_text() for text in drawn[0].get_legend().get_texts()]
    assert names == ["a"] * 15 + ["and 285 more"]
    strip = Timeline(series, 200).under(np.zeros((4, 200, 3), np.uint8), 0)[4:]
    assert strip.shape == (12 * ROW, 200, 3)


def test_the_axes_of_a_plot_lie_where_the_page_looks_for_them(tmp_path: Path) -> None:
    plots.plot_overlaps(measure(Toy()), [], tmp_path / "plot.png")
    import cv2

    picture = cv2.imread(str(tmp_path / "plot.png"))
    height, width = picture.shape[:2]
    left, bottom, across, up = plots.AXES
    row = picture[int(height * (1 - bottom - up / 2)), :, 0] < 60
    dark = np.flatnonzero(row)
    assert abs(dark[0] - left * width) < 3 or abs(dark - left * width).min() < 3
    assert abs(dark - (left + across) * width).min() < 3
