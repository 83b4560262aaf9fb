"""A study's bar moves with epochs, estimates from the start, and a stop ends in one line."""

import queue
import time

import joblib
import pytest
from jupyter_client.manager import start_new_kernel

from course_lib.study import STOPPED, study
from course_lib.support import progress
from course_lib.support.progress import (
    Steps,
    Stopped,
    counted_steps,
    moving,
    one_line_if_stopped,
    progress_bar,
)


def test_steps_are_counted_across_processes():
    with counted_steps() as steps:
        assert steps.count(7) == 0
        jobs = [joblib.delayed(steps.add)(job) for job in (7, 7, 3, 7)]
        joblib.Parallel(n_jobs=2)(jobs)
        assert (steps.count(7), steps.count(3), steps.count(1)) == (3, 1, 0)


def test_steps_from_another_machine_are_lost_in_silence(tmp_path):
    steps = Steps(tmp_path / "not here")
    steps.add(1)
    assert steps.count(1) == 0


def test_a_bar_moves_by_itself_and_ends_with_its_block(monkeypatch):
    monkeypatch.setattr(progress, "MOVE_SECONDS", 0.01)
    place = iter(range(1000))
    with progress_bar(1000, "test") as bar:
        with moving(bar, lambda: next(place)):
            time.sleep(0.2)
        reached = bar.n
        assert reached >= 3
        time.sleep(0.05)
        assert bar.n == reached


def test_an_estimate_is_there_at_once_and_learns():
    with progress_bar(600, "test", pace=10) as bar:
        assert bar.format_dict["rate"] == pytest.approx(10, rel=0.05)
        assert "01:0" in str(bar) and "?" not in str(bar)
        bar.start_t -= 100  # so long it took to reach 200
        bar.n = 200
        assert bar.format_dict["rate"] == pytest.approx((200 + 50) / 105, rel=0.01)
    with progress_bar(600, "download") as bar:
        assert "? left" in str(bar), "without an expected pace there is nothing to go by"


def test_a_studys_bar_moves_with_epochs(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "MOVE_SECONDS", 0.001)
    seen = []
    monkeypatch.setattr(progress._Bar, "refresh", lambda bar, **_: seen.append(bar.n / bar.total))
    study(["mnist-0-vs-8"], ["none"], epochs=8, images_per_class=20, workers=1, folder=tmp_path)
    assert len({share for share in seen if 0 < share < 1}) >= 3
    assert seen == sorted(seen)


def test_a_stop_is_one_line():
    with pytest.raises(Stopped) as caught, one_line_if_stopped("stopped; finished runs are kept"):
        raise KeyboardInterrupt
    assert isinstance(caught.value, KeyboardInterrupt), "the command line ends with its own line"
    assert caught.value._render_traceback_() == ["stopped; finished runs are kept"]


STUDY = (
    "study(['mnist-0-vs-8'], ['none'], {seeds}, epochs={epochs}, images_per_class=20, workers=2)"
)


@pytest.mark.slow
def test_stopping_a_notebook_ends_in_one_line_and_the_next_call_goes_on():
    manager, client = start_new_kernel(kernel_name="python3")

    def run(code, stop=False):
        """What a cell shows, as pairs of a kind and its content; stopped once its bar has moved."""
        client.execute(code)
        shown, end = [], time.monotonic() + 120
        while time.monotonic() < end:
            try:
                message = client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return shown
            if kind in ("stream", "error"):
                shown.append((kind, content.get("text") or content.get("traceback")))
            elif stop and kind == "update_display_data" and "%" in content["data"]["text/plain"]:
                moved = "   0% " not in content["data"]["text/plain"]
                if moved:
                    manager.interrupt_kernel()
                    stop = False
        raise AssertionError("the cell does not end")

    try:
        run("from course_lib.study import study")
        done = run(STUDY.format(seeds=[0, 1], epochs=2) + "; print('done')")
        assert ("stream" in dict(done)) and "done" in str(done)
        stopped = run(STUDY.format(seeds=[0, 1], epochs=3000), stop=True)
        assert stopped == [("error", [STOPPED])]
        again = run(f"print(len({STUDY.format(seeds=[0, 1, 2], epochs=2)}), 'runs')")
        assert "3 runs" in str(again) and "error" not in dict(again)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
