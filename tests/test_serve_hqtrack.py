"""The real tracker with the bundled weights behind the resident server: odd and bad input."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import trax

from tests.serving import SHAPE, Session, Station, square, station, write_frame


def real(here: Station) -> Session:
    return here.session("--preset", "hqtrack-lite", "--device", "cpu", factory=())


def write_frames(here: Station) -> None:
    """One picture, a white square on black, in several forms; and frames that are none."""
    grey = np.where(square(8, 8, 24), 230, 20).astype(np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=2)
    pictures = {
        "grey": grey,
        "sixteen": grey.astype(np.uint16) * 257,
        "rgba": np.dstack([colour, np.full(SHAPE, 9, np.uint8)]),
        "double": cv2.resize(colour, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST),
    }
    for name, picture in pictures.items():
        cv2.imwrite(str(here.folder / f"{name}.png"), picture)
    cut = write_frame(here.folder / "cut.png")
    cut.write_bytes(cut.read_bytes()[:-20])


def test_bad_input_ends_its_session_and_the_next_one_is_served() -> None:
    with station() as here:
        write_frames(here)
        for objects, frames, reason in [
            ([np.zeros(SHAPE, bool)], ["grey"], r"mask of object 1 .*\(48, 64\).* is empty"),
            ([square(0, 0), (500, 500, 9, 9)], ["grey"], "BoxPrompt.* lies outside the frame, 64"),
            ([square(0, 0)], ["missing"], r"missing\.png: No such file"),
            ([square(0, 0)], ["grey", "cut"], r"cut\.png is a cut or damaged PNG"),
        ]:
            session = real(here)
            with pytest.raises(trax.TraxException, match=reason):
                session.initialize(*objects, name=frames[0])
                session.frame(name=frames[1])
            assert session.quit() == 1

        objects = [square(8, 8, 24), square(40, 4, 1)]
        objects += [square(36 + 6 * (i % 4), 20 + 8 * (i // 4), 4) for i in range(11)]
        plain = real(here)
        plain.initialize(*objects, name="grey")
        expected = [plain.frame(name="grey") for _ in range(2)]
        assert plain.quit() == 0
        assert (expected[0][0] & objects[0]).sum() > 300

        session = real(here)
        given = session.initialize(*objects, name="grey")
        assert [mask.sum() for mask in given] == [24 * 24, 4, *[16] * 11]
        assert session.properties[0]["weights"] == "hqtrack-lite bundled; no refiner"
        for name, masks in zip(("sixteen", "rgba"), expected, strict=True):
            np.testing.assert_array_equal(session.frame(name=name), masks)
            assert len(masks) == 13
        answer, _ = session.client.frame(session.image("double"), {}, [])
        assert answer[0][0].array().sum() > 3 * expected[1][0].sum()
        assert len(session.frame(square(0, 40, 6), name="grey")) == 14
        assert session.quit() == 0
        [state] = here.states()
        assert state["sessions"] == 6
        log = (here.runtime / "hqtrack-lite.log").read_text()
        assert log.count("tracker.resident.loading: loaded in") == 1
