"""On a terminal, what is shown again takes the place of what was there, in any window."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest

from tests.kit.command import Desk, Witness, people
from tests.kit.terminal import Window
from tests.kit.tiers import thorough

Start = Callable[..., Witness]
NOISE = {20: 999_310_011, 40: 999_310_019, 80: 999_310_119}
BAR = re.compile(r"\d+/\d+ +\d+ ?%")
WARNER = """
import logging, threading, time, warnings

def warn():
    time.sleep(1)
    for number in range(20):
        warnings.warn_explicit("old thing", UserWarning, f"lib{number}.py", number + 1)
        logging.getLogger("some.library").warning("a word of a library")
        time.sleep(0.1)

threading.Thread(target=warn, daemon=True).start()
"""


def noisy(row: int, who: int) -> int:
    """Now and then a customer fails, each time with another code."""
    return NOISE.get(row, who)


class TestFollow:
    """On a real terminal, that is on an emulated one: no frame is left over beside another."""

    @pytest.fixture
    def slow(self, desk: Desk, witness: Start) -> Iterator[Desk]:
        """A desk at which a run goes on for a minute, to targets that fill a screen."""
        api = witness()
        desk.write("a.csv", [(who, 1001, 2000 + who % 3) for who in people(1200)])
        run = desk.start("run", "a.csv", "--yes", "--rate", "20/s")
        api.wait_for_calls()
        yield desk
        run.terminate()
        run.communicate(timeout=30)

    def changes(self, window: Window, number: int) -> list[list[str]]:
        """Different frames that were on the screen, one after the other."""
        frames = [window.screen]
        for _ in range(number):
            window.until(lambda: window.screen != frames[-1] and window.drawn)
            frames.append(window.screen)
        return frames[1:]

    @pytest.mark.parametrize("size", [(80, 24), *thorough((40, 24), (30, 10), (200, 50), (60, 6))])
    def test_one_frame_takes_the_place_of_the_one_before(
        self, slow: Desk, size: tuple[int, int]
    ) -> None:
        columns, lines = size
        follow = ("status", "a.unenroll", "--follow", "--every", "0.2")
        with Window(slow, *follow, columns=columns, lines=lines) as window:
            window.until(lambda: any("pending" in line for line in window.screen))
            for frame in self.changes(window, 6):
                assert sum("a.unenroll" in line for line in frame) == 1
                assert sum("1,200 rows" in line for line in frame) == 1
                assert sum("pending" in line for line in frame) == 1
                assert frame == window.everything or len(frame) >= len(window.everything)
            window.interrupt()
            assert window.end() == 130
            assert sum("1,200 rows" in line for line in window.everything) == 1

    @pytest.mark.thorough
    def test_another_size_of_the_window_leaves_nothing_behind(self, slow: Desk) -> None:
        follow = ("status", "a.unenroll", "--follow", "--every", "0.2")
        with Window(slow, *follow, columns=100, lines=30) as window:
            for columns, lines in [(100, 30), (50, 12), (120, 40), (32, 8)]:
                window.resize(columns, lines)
                self.changes(window, 3)
                assert sum("1,200 rows" in line for line in window.screen) == 1
                assert len(window.everything) <= lines
            window.interrupt()
            assert window.end() == 130

    @pytest.mark.thorough
    def test_a_dumb_terminal_gets_lines_and_no_control_codes(self, slow: Desk) -> None:
        slow.environment["TERM"] = "dumb"
        with Window(slow, "status", "a.unenroll", "--follow", "--every", "0.2") as window:
            window.until(lambda: sum(" of 1,200 done: " in line for line in window.screen) > 3)
            window.interrupt()
            assert window.end() == 130
            assert b"\x1b" not in window.raw


class TestProgress:
    @pytest.mark.parametrize("columns", thorough(80, 60, 40))
    def test_log_lines_stand_above_the_bar_and_the_bar_is_whole(
        self, desk: Desk, witness: Start, columns: int
    ) -> None:
        api = witness()
        desk.write(
            "a.csv",
            [(noisy(row, who), 1001, 2001 + row % 5) for row, who in enumerate(people(400), 1)],
        )
        run = ("run", "a.csv", "--yes", "--rate", "60/s", "--max-failures", "100%")
        with Window(desk, *run, columns=columns, lines=40) as window:
            api.wait_for_calls(20)
            for _ in range(20):
                window.until(lambda: window.drawn)
                bars = [line for line in window.everything if BAR.search(line)]
                assert len(bars) <= 1, bars
                if bars:
                    assert bars[0] == window.everything[-1]
                time.sleep(0.1)
            assert any("first_of_code" in line for line in window.everything)
            assert any("left" in line for line in window.everything if BAR.search(line))
            assert window.end() == 1
            assert not [line for line in window.everything if BAR.search(line)]

    @pytest.mark.thorough
    def test_a_warning_of_any_library_stands_above_it_too(self, desk: Desk, witness: Start) -> None:
        witness()
        (desk.folder / "sitecustomize.py").write_text(WARNER)
        desk.environment["PYTHONPATH"] += f":{desk.folder}"
        desk.write("a.csv", [(who, 1001, 2001) for who in people(200)])
        with Window(desk, "run", "a.csv", "--yes", "--rate", "60/s", lines=60) as window:
            assert window.end() == 0
            text = window.everything
        warned = [line for line in text if "old thing" in line]
        logged = [line for line in text if "of a library" in line]
        assert len(warned) >= 2
        assert len(logged) >= 2
        assert all(line.endswith("old thing") for line in warned)
        assert all(line == "a word of a library" for line in logged)
        assert not [line for line in text if BAR.search(line)]
