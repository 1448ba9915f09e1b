"""Progress: a bar per pass on a terminal, a line per pass elsewhere, and never on stdout."""

import io
import re
import subprocess
import sys
from contextlib import nullcontext, redirect_stderr
from functools import partial

import dask.dataframe as dd
import pytest

from dask_onestep import GLMRegressor, OneStep
from dask_onestep.datasets import make_glm
from dask_onestep.storage import write_predictions


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return Terminal()


def last_frames(text):
    """Return what is left on the screen, line by line."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return [line.rstrip("\r").split("\r")[-1] for line in plain.split("\n") if line.strip()]


@pytest.fixture
def data():
    x, y, _ = make_glm(900, 2, family="poisson", chunks=300)
    return x, y


def test_a_terminal_shows_a_bar_a_pass_full_at_its_end(scheduler, data, terminal, capfd):
    with redirect_stderr(terminal):
        GLMRegressor("poisson", method=OneStep(450), verbose=True).fit(*data)
    shown = last_frames(terminal.getvalue())
    assert [line.split(" ━")[0].strip() for line in shown] == ["pass 1: pilot-sample", "pass 2: moments"]
    for line in shown:
        done, total = re.search(r"(\d+)/(\d+)", line).groups()
        assert done == total
        assert int(total) >= 3  # a task per block at least
    assert capfd.readouterr().out == ""


def test_passes_of_a_test_are_numbered_through(scheduler, data, capsys):
    glm = GLMRegressor("poisson", method=OneStep(450), verbose=True).fit(*data)
    capsys.readouterr()
    for test in (glm.drop1, partial(glm.score_test, null="x0"), partial(glm.likelihood_ratio_test, null="x0")):
        test(*data)
        numbers = re.findall(r"pass (\d+):", capsys.readouterr().err)
        assert numbers == [str(number + 1) for number in range(len(numbers))]
        assert len(numbers) >= 3


def test_a_pipe_gets_a_line_a_pass(scheduler, data, capsys):
    GLMRegressor("poisson", method=OneStep(450), verbose=True).fit(*data)
    written = capsys.readouterr()
    assert re.fullmatch(r"pass 1: pilot-sample: \d+\.\d s\npass 2: moments: \d+\.\d s\n", written.err)
    assert written.out == ""


def test_without_rich_a_terminal_gets_these_lines_too(data, terminal, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with redirect_stderr(terminal):
        GLMRegressor("poisson", method=OneStep(450), verbose=True).fit(*data)
    assert [line.rpartition(":")[0] for line in terminal.getvalue().splitlines()] == [
        "pass 1: pilot-sample",
        "pass 2: moments",
    ]


def test_a_dumb_terminal_is_a_pipe(data, terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with redirect_stderr(terminal):
        GLMRegressor("poisson", method=OneStep(450), verbose=True).fit(*data)
    assert not {"\r", "\x1b"} & set(terminal.getvalue())


@pytest.mark.parametrize("tty", [False, True])
def test_an_error_ends_the_line_and_is_raised(scheduler, data, tty, request, capsys):
    stream = request.getfixturevalue("terminal") if tty else None
    x, y = data
    with (
        redirect_stderr(stream) if tty else nullcontext(),
        pytest.raises(ValueError, match="outside the range of the poisson"),
    ):
        GLMRegressor("poisson", method=OneStep(450), verbose=True).fit(x, -1.0 - y)
    written = stream.getvalue() if tty else capsys.readouterr().err
    assert written.count("\n") == 1


def test_nothing_is_shown_unless_asked(data, capsys):
    glm = GLMRegressor("poisson").fit(*data)
    glm.predict(data[0]).compute()
    assert capsys.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # Dask's own, of pandas 3.1
def test_predictions_that_are_written_are_progress_too(scheduler, data, terminal, tmp_path):
    glm = GLMRegressor("poisson").fit(*data)
    predicted = dd.from_dask_array(glm.predict(data[0])).to_frame(name="mean")
    with redirect_stderr(terminal):
        write_predictions(predicted, str(tmp_path / "a.csv"), verbose=True)
        write_predictions(predicted, str(tmp_path / "b"), verbose=True)
    for line in last_frames(terminal.getvalue()):
        assert line.startswith("predict ━")
        assert len(set(re.search(r"(\d+)/(\d+)", line).groups())) == 1


@pytest.mark.slow
def test_the_core_does_not_need_rich():
    text = "import sys; sys.modules['rich'] = None; import dask_onestep, dask_onestep.graph.progress"
    subprocess.run([sys.executable, "-c", text], check=True)


def test_plots_of_many_fits_show_their_progress_if_verbose(terminal):
    pytest.importorskip("matplotlib")
    from dask_onestep.plots import PilotSizeDisplay

    x, y, _ = make_glm(600, 2, family="poisson")
    for verbose in (True, False):
        terminal.truncate(0)
        with redirect_stderr(terminal):
            PilotSizeDisplay.from_estimator(
                GLMRegressor("poisson", verbose=verbose), x, y, pilot_sizes=[200], repeats=2
            )
        assert ("fits by pilot size" in terminal.getvalue()) is verbose
        assert ("2/2" in terminal.getvalue()) is verbose


def test_in_a_notebook_a_line_is_written_per_pass(terminal, data, monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    with redirect_stderr(terminal):
        GLMRegressor("poisson", method="mle", verbose=True).fit(*data)
    assert re.search(r": \d+\.\d s\n$", terminal.getvalue())
