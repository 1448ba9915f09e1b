"""Results never destroy what was there: inputs, other files, and what a run that was killed left behind."""

import dask.dataframe as dd
import fsspec
import numpy as np
import pandas as pd
import pytest
from dask import delayed
from test_cli import errors_of, run

from dask_onestep.storage import check_predictions_path, write_predictions
from dask_onestep.storage.outputs import atomic_output

# Dask's own, of pandas 3.1
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=200), "y": rng.normal(size=200)})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "b.csv", index=False)
    assert run("fit", "y ~ x", tmp_path / "a.csv", "--quiet", "--output", tmp_path / "model.json").exit_code == 0
    return tmp_path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_predictions_need_a_named_output(folder):
    before = contents(folder)
    result = run("predict", folder / "model.json", folder / "a.csv", folder / "b.csv", "--quiet")
    assert result.exit_code == 2
    assert "--output" in result.output
    assert contents(folder) == before


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("output", ["{}/b.csv", "file://{}/b.csv", "{}/../{}/b.csv", "{}/link.csv", "{}/linked/b.csv"])
def test_an_input_is_never_overwritten(folder, output, overwrite):
    (folder / "link.csv").symlink_to(folder / "b.csv")
    (folder / "linked").symlink_to(folder)
    before = contents(folder)
    place = output.format(folder, folder.name)
    for inputs in ([folder / "a.csv", folder / "b.csv"], [folder / "*.csv"], [f"simplecache::file://{folder}/b.csv"]):
        text = errors_of(run("predict", folder / "model.json", *inputs, "--output", place, "--quiet", *overwrite))
        assert "is read by this command" in text
    assert contents(folder) == before


def test_a_fit_does_not_overwrite_inputs_or_other_files(folder):
    fit = ["fit", "y ~ x", folder / "a.csv", "--quiet"]
    before = contents(folder)
    assert "is read by this command" in errors_of(run(*fit, "--report", folder / "a.csv", "--overwrite"))
    assert "model.json exists. Pass --overwrite" in errors_of(run(*fit, "--output", folder / "model.json"))
    same = ["--output", folder / "new.json", "--report", folder / "new.json"]
    assert "written by another option" in errors_of(run(*fit, *same))
    assert contents(folder) == before
    assert run(*fit[:1], "y ~ 1", *fit[2:], "--output", folder / "model.json", "--overwrite").exit_code == 0
    assert contents(folder)["model.json"] != before["model.json"]


def test_existing_predictions_are_replaced_on_request_only(folder):
    predict = ["predict", folder / "model.json", folder / "a.csv", "--quiet", "--output"]
    (folder / "mine.csv").write_text("mine")
    assert "mine.csv exists. Pass --overwrite" in errors_of(run(*predict, folder / "mine.csv"))
    assert (folder / "mine.csv").read_text() == "mine"
    assert run(*predict, folder / "mine.csv", "--overwrite").exit_code == 0
    assert len(pd.read_csv(folder / "mine.csv")) == 200
    for option in ([], ["--overwrite"]):
        assert run(*predict, folder / "parts", *option).exit_code == 0
        assert len(pd.read_parquet(folder / "parts")) == 200
        assert "is a directory that is not empty. Pass --overwrite" in errors_of(run(*predict, folder / "parts"))
    (folder / "parts" / "notes.txt").write_text("mine")
    assert "other files than predictions" in errors_of(run(*predict, folder / "parts", "--overwrite"))
    assert "is a directory" in errors_of(run(*predict, folder, "--overwrite"))
    (folder / "directory.csv").mkdir()
    assert "directory.csv exists and is a directory" in errors_of(run(*predict, folder / "directory.csv"))


def test_inputs_in_the_directory_that_is_to_be_replaced_stay(folder):
    predict = ["predict", folder / "model.json"]
    (folder / "new").mkdir()
    pd.read_csv(folder / "a.csv").to_parquet(folder / "new" / "part.0.parquet")
    for inputs in (folder / "new", folder / "new" / "*.parquet"):
        text = errors_of(run(*predict, inputs, "--output", folder / "new", "--overwrite", "--quiet"))
        assert "read by this command" in text
    assert len(pd.read_parquet(folder / "new")) == 200


def test_neighbors_of_a_result_are_left_alone(folder):
    predict = ["predict", folder / "model.json", folder / "a.csv", "--quiet", "--output"]
    (folder / "keep.csv.part").write_text("mine")
    (folder / "X.part").mkdir()
    pd.DataFrame({"mean": np.zeros(5000)}).to_parquet(folder / "X.part" / "part.7.parquet")  # of a run that was killed
    assert run(*predict, folder / "keep.csv").exit_code == 0
    assert run(*predict, folder / "X").exit_code == 0
    assert (folder / "keep.csv.part").read_text() == "mine"
    assert len(pd.read_parquet(folder / "X")) == 200
    assert [path.name for path in (folder / "X.part").iterdir()] == ["part.7.parquet"]
    assert not list(folder.glob(".*"))


SCHEMES = ["zip", "tar", "reference", "jlab", "generic", "http", "https", "github", "ftp", "simplecache", "nowhere"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_file_systems_that_cannot_be_written_are_refused(folder, scheme):
    before = contents(folder)
    for path in (f"{scheme}://out.csv", f"{scheme}://out::{folder}/a", f"{scheme}://host/out"):
        text = errors_of(run("predict", folder / "model.json", folder / "a.csv", "--output", path, "--quiet"))
        assert f"but not to {scheme}://" in text
    for option in ("--output", "--report"):
        words = [option, f"{scheme}://model.json", "--quiet"]
        assert "written to local files" in errors_of(run("fit", "y ~ x", folder / "a.csv", *words))
    assert contents(folder) == before


def test_the_root_is_refused_without_a_walk(folder, monkeypatch):
    def walk(*arguments, **options):
        raise AssertionError("the file system was walked")

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.find", walk)
    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.walk", walk)
    predict = ["predict", folder / "model.json", folder / "a.csv", "--output", "/", "--quiet"]
    assert "/ is a directory with other files than predictions" in errors_of(run(*predict, "--overwrite"))


def test_a_missing_directory_is_found_before_any_row_is_read(folder):
    words = ["predict", folder / "model.json", folder / "a.csv", "--output", folder / "none" / "out.csv"]
    assert f"there is no directory {folder}/none" in errors_of(run(*words, "--quiet"))


def failing():
    raise RuntimeError("a worker failed")


@pytest.mark.parametrize("name", ["out", "out.csv"])
def test_a_failure_leaves_the_earlier_result(tmp_path, name):
    frame = pd.DataFrame({"mean": [0.5, 1.5]})
    place = str(tmp_path / name)
    write_predictions(dd.from_pandas(frame, npartitions=1), place)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    broken = dd.from_delayed([delayed(frame), delayed(failing)()], meta=frame, verify_meta=False)
    with pytest.raises(RuntimeError, match="a worker failed"):
        write_predictions(broken, place, overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_predictions(broken, place)


def test_results_in_cloud_storage_are_replaced_too():
    memory = fsspec.filesystem("memory")
    predicted = dd.from_pandas(pd.DataFrame({"mean": [0.5, 1.5]}), npartitions=1)
    try:
        for place in ("memory://results/a.csv", "memory://results/a"):
            write_predictions(predicted, place)
            with pytest.raises(FileExistsError):
                check_predictions_path(place)
            with pytest.raises(ValueError, match="is read by this command"):
                check_predictions_path(place, ["memory://results/*.csv", place], overwrite=True)
            write_predictions(predicted, place, overwrite=True)
        assert sorted(name.rpartition("/results/")[2] for name in memory.find("/results")) == [
            "a.csv",
            "a/part.0.parquet",
        ]
    finally:
        memory.rm("/results", recursive=True)


def test_an_output_is_new_until_its_end(tmp_path):
    place = tmp_path / "a.txt"
    place.write_text("old")

    def interrupted():
        with atomic_output(str(place)) as name:
            (tmp_path / name).write_text("half")
            assert place.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    with atomic_output(str(place)) as name:
        (tmp_path / name).write_text("new")
    assert place.read_text() == "new"
