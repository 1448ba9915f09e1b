"""Tables in files: paths, globs and pyarrow's datasets give the fit of the same rows in memory."""

import datetime
import os
from collections import Counter
from decimal import Decimal
from pathlib import Path

import dask.dataframe as dd
import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from pyarrow import fs
from support import _note, fingerprint, raise_if_dask_computes

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.data import arrow
from dask_onestep.data.files import open_table
from dask_onestep.graph import tree

EXACT = MLE(tol=1e-20)
FORMULA = "y ~ x + site + C(month) + flag"


def table(n=900, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "flag": rng.random(n) < 0.3,
            "site": rng.choice(["west", "east", "north"], n),
            "month": rng.integers(1, 5, n),
            "w": rng.random(n) + 0.5,
            "o": rng.normal(size=n) / 9,
            "unit": rng.choice([f"u{number}" for number in range(30)], n),
        }
    )
    frame["y"] = rng.poisson(np.exp(0.3 + 0.4 * frame["x"] + 0.2 * frame["flag"] + 0.1 * frame["month"]))
    frame["label"] = np.where(frame["y"] > 1, "many", "few")
    return frame


def write(frame, folder, files=3, row_group_size=70):
    """Write rows in their order to several files of several row groups."""
    folder.mkdir(exist_ok=True)
    for number, rows in enumerate(np.array_split(np.arange(len(frame)), files)):
        part = frame.iloc[rows].reset_index(drop=True)
        part.to_parquet(folder / f"{number}.parquet", row_group_size=row_group_size)
    return folder


@pytest.fixture
def small_blocks(monkeypatch):
    """Let a block be of a row group or two."""
    monkeypatch.setattr(arrow, "_SMALL_BLOCK_BYTES", 1)
    monkeypatch.setattr(arrow, "_BLOCK_BYTES", 6000)


def same(glm, expected, rtol=1e-12):
    pd.testing.assert_frame_equal(glm.coef_table(), expected.coef_table(), rtol=rtol, atol=1e-13)


@pytest.mark.parametrize("kind", ["folder", "path", "glob", "list", "url", "dataset"])
def test_all_ways_to_name_files_give_the_fit_of_a_frame(tmp_path, small_blocks, threads, kind):
    folder = write(table(), tmp_path / "trips")
    source = {
        "folder": str(folder),
        "path": folder,
        "glob": f"{folder}/*.parquet",
        "list": sorted(folder.glob("*")),
        "url": f"file://{folder}/*.parquet",
        "dataset": pads.dataset(folder),
    }[kind]
    glm = GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit(source)
    expected = GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit(table())
    same(glm, expected)
    assert glm.n_samples_ == 900
    predicted = glm.predict(source)
    assert predicted.npartitions > 3
    predicted = predicted.compute()
    assert predicted.index.tolist() == list(range(900))
    np.testing.assert_allclose(predicted, expected.predict(table()), rtol=1e-12)
    assert glm.score(source) == pytest.approx(expected.score(table()), rel=1e-12)
    np.testing.assert_allclose(glm.residuals(source).compute(), expected.residuals(table()), rtol=1e-9)


def test_columns_by_name(tmp_path, small_blocks, threads):
    frame = table()[["x", "month", "w", "o", "unit", "y"]]
    names = {"y": "y", "sample_weight": "w", "offset": "o", "groups": "unit"}
    glm = GLMRegressor("poisson", cov_type="cluster", method=EXACT)
    source = write(frame, tmp_path / "t")
    found = glm.fit(source, **names).coef_table()
    assert glm.feature_names_in_.tolist() == ["x", "month"]
    expected = GLMRegressor("poisson", cov_type="cluster", method=EXACT).fit(frame, **names)
    same(glm, expected)
    assert found.index.tolist() == ["intercept", "x", "month"]
    np.testing.assert_allclose(glm.predict(source, offset="o").compute(), expected.predict(frame, offset="o"))


def test_labels(tmp_path, small_blocks, scheduler):
    frame = table()[["x", "flag", "label"]]
    glm = GLMClassifier(method=EXACT).fit(write(frame, tmp_path / "t"), "label")
    same(glm, GLMClassifier(method=EXACT).fit(frame, "label"))
    assert glm.classes_.tolist() == ["few", "many"]
    assert glm.predict(tmp_path / "t").compute().tolist() == glm.predict(frame).tolist()


def test_the_pilot_and_all_bits_depend_on_neither_scheduler_nor_files(tmp_path, scheduler):
    frame = table()
    method = OneStep(300, steps=1)
    fits = [
        GLMRegressor("poisson", formula=FORMULA, method=method).fit(write(frame, tmp_path / str(files), files, size))
        for files, size in ((1, 900), (3, 70), (5, 40))
    ]
    assert fits[0].n_passes_ == 2  # levels with the pilot, moments
    assert len({fingerprint(fit) for fit in fits}) == 1


def test_the_pilot_is_the_same_however_row_groups_are_joined(tmp_path, threads, monkeypatch):
    folder = write(table(), tmp_path / "t", files=2, row_group_size=50)
    method = OneStep(300, steps=1)
    coefs = []
    for size in (2**20, 20_000, 1):
        monkeypatch.setattr(arrow, "_SMALL_BLOCK_BYTES", 1)
        monkeypatch.setattr(arrow, "_BLOCK_BYTES", size)
        _, lengths = open_table(folder).frame(["x", "y"])
        assert sum(lengths) == 900
        glm = GLMRegressor("poisson", method=method, formula="y ~ x + site").fit(folder)
        coefs.append(glm.record_.pilot.keys)
    assert len(lengths) == 18
    np.testing.assert_array_equal(coefs[1], coefs[0])
    np.testing.assert_array_equal(coefs[2], coefs[0])


def test_a_large_row_group_is_read_in_blocks_and_once_a_pass(tmp_path, synchronous, monkeypatch):
    monkeypatch.setattr(arrow, "_SMALL_BLOCK_BYTES", 1)
    monkeypatch.setattr(arrow, "_MOST_OF_ROW_GROUP", 1000)
    monkeypatch.setattr(tree, "TINY_BYTES", 0)  # as blocks of such row groups are not tiny
    large = write(table(), tmp_path / "large", files=1, row_group_size=900)
    (rows,) = open_table(large).frame(["y", "x", "site", "month", "flag"], divided=True)[1]
    assert len(rows) > 30
    assert sum(rows) == 900
    assert open_table(large).frame()[1] == (900,)  # of predictions, whose blocks are computed in any order
    openings, batches = [], arrow.Part.batches
    monkeypatch.setattr(arrow.Part, "batches", lambda part, *args: openings.append(part) or batches(part, *args))
    small = write(table(), tmp_path / "small", files=1, row_group_size=rows[0])
    fits = [GLMRegressor("poisson", formula=FORMULA, method=OneStep(300, steps=1)).fit(each) for each in (large, small)]
    assert fits[0].n_passes_ <= len(openings) <= fits[0].n_passes_ * -(-len(rows) // 16)
    assert fingerprint(fits[0]) == fingerprint(fits[1])
    np.testing.assert_array_equal(fits[0].record_.pilot.keys, fits[1].record_.pilot.keys)
    openings.clear()
    pd.testing.assert_series_equal(*(fits[0].predict(each).compute() for each in (large, small)))
    pd.testing.assert_series_equal(*(fits[0].residuals(each).compute() for each in (large, small)))
    assert not openings
    assert len({repr(fits[0].avg_predictions(each)) for each in (large, small)}) == 1
    assert openings


def test_a_large_row_group_is_read_again_after_a_failure(tmp_path, synchronous, small_blocks, monkeypatch):
    monkeypatch.setattr(arrow, "_MOST_OF_ROW_GROUP", 1000)
    large, batches, failures = write(table(), tmp_path / "large", files=1, row_group_size=900), arrow.Part.batches, []

    def failing(part, *args):
        for number, batch in enumerate(batches(part, *args)):
            if number == 1 and not failures:
                failures.append(part)
                raise OSError("connection reset")
            yield batch

    monkeypatch.setattr(arrow.Part, "batches", failing)
    frame, _ = open_table(large).frame(divided=True)
    first, second = frame.partitions[0], frame.partitions[1]
    read = [first.compute()]
    with pytest.raises(OSError, match="connection reset"):
        second.compute()
    read += [second.compute(), frame.partitions[2:].compute()]
    pd.testing.assert_series_equal(pd.concat(read)["x"], table()["x"])
    write(table(100), large, files=1, row_group_size=900)
    with pytest.raises(ValueError, match=r"has changed since it was opened: row group 0 of .*0\.parquet now has fewer"):
        frame.compute()


def test_effects_by_columns_that_the_model_does_not_read(tmp_path, small_blocks, threads):
    folder, frame = write(table(), tmp_path / "t"), table()
    glm = GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit(folder)
    found, expected = (glm.avg_predictions(data, by="unit") for data in (folder, frame))
    pd.testing.assert_frame_equal(found, expected, rtol=1e-12)


class CountingFiles(LocalFileSystem):
    """Local files that note each opening in a folder, whatever process opens."""

    cachable = False

    def __init__(self, notes, **options):
        super().__init__(**options)
        self.notes = notes

    def open(self, path, mode="rb", **options):
        _note(self.notes, Path(path).stem)
        return super().open(path, mode, **options)


def test_footers_are_read_once_and_row_groups_once_a_pass(tmp_path, small_blocks, scheduler):
    folder, notes = write(table(), tmp_path / "t", row_group_size=300), tmp_path / "notes"
    notes.mkdir()
    files = fs.PyFileSystem(fs.FSSpecHandler(CountingFiles(str(notes))))
    dataset = pads.dataset([str(path) for path in sorted(folder.glob("*"))], filesystem=files, schema=pq_schema(folder))

    def opened():
        counts = Counter({path.name: path.stat().st_size for path in notes.glob("*")})
        for path in notes.glob("*"):
            path.unlink()
        return counts

    opened()
    glm = GLMRegressor("poisson", method=OneStep(300, steps=1), formula="y ~ x + month")
    lazy = glm.fit_delayed(dataset)
    assert opened() == {f"block-{number}": 1 for number in range(3)}
    assert lazy.compute().n_passes_ == 2
    assert opened() == {f"block-{number}": 2 for number in range(3)}


def test_a_footer_is_parsed_once_as_long_as_the_file_does_not_change(tmp_path, small_blocks, threads, monkeypatch):
    parsed, opened = [], []
    parse, open_file = pq.read_metadata, pq.ParquetFile
    monkeypatch.setattr(arrow.pq, "read_metadata", lambda source: parsed.append(source) or parse(source))
    monkeypatch.setattr(arrow.pq, "ParquetFile", lambda *given, **named: opened.append(1) or open_file(*given, **named))
    glm = GLMRegressor("poisson", method=EXACT, formula="y ~ x + month")
    for seed in (0, 1):
        folder = write(table(seed=seed), tmp_path / "t", files=1)
        parsed.clear()
        opened.clear()
        same(glm.fit(folder), GLMRegressor("poisson", method=EXACT, formula="y ~ x + month").fit(table(seed=seed)))
        # Threads may parse it for the first time at once.
        assert 1 <= len(parsed) <= 2 < 20 < len(opened)


def test_a_footer_belongs_to_one_file_also_where_size_and_time_are_those_of_another(tmp_path, threads):
    rng = np.random.default_rng(0)
    columns = {"x": rng.normal(size=900), "y": 3.0 + rng.normal(size=900)}
    found = []
    for folder, names in (("one", ["x", "y"]), ("two", ["y", "x"])):
        path = tmp_path / folder / "t.parquet"
        path.parent.mkdir()
        pq.write_table(
            pa.table({name: columns[name] for name in names}), path, use_dictionary=False, compression="none"
        )
        os.utime(path, (1000, 1000))
        files = fs.SubTreeFileSystem(str(path.parent), fs.LocalFileSystem())
        data = pads.dataset("t.parquet", filesystem=files, format="parquet")
        found.append(GLMRegressor("gaussian", method=MLE(), formula="y ~ x").fit(data).record_.coef)
    np.testing.assert_array_equal(*found)


def pq_schema(folder):
    return pq.read_schema(next(folder.glob("*")))


def test_nothing_is_computed_when_graphs_are_built(tmp_path, small_blocks):
    folder = write(table(), tmp_path / "t")
    with raise_if_dask_computes():
        lazy = GLMRegressor("poisson", formula="y ~ x + month", method=OneStep(300)).fit_delayed(folder)
    glm = lazy.compute(scheduler="synchronous")
    with raise_if_dask_computes():
        glm.predict(folder)


def test_only_the_columns_that_are_read_are_read(tmp_path, small_blocks):
    folder = write(table(), tmp_path / "t")
    frame, _ = open_table(folder).frame(["y", "x"])
    assert list(frame.columns) == ["y", "x"]
    assert list(frame.partitions[0].compute().columns) == ["y", "x"]


def test_fits_read_blocks_as_arrays_and_other_data_of_files_as_frames(tmp_path, small_blocks, synchronous, monkeypatch):
    folder, read = write(table(), tmp_path / "t"), Counter()
    for name in ("table_of_arrow", "frame_of_arrow"):
        made = getattr(arrow, name)

        def counted(rows, *args, name=name, made=made):
            read[name] += len(rows) > 0  # without rows it is what Dask is told of the columns
            return made(rows, *args)

        monkeypatch.setattr(arrow, name, counted)
    glm = GLMRegressor("poisson", formula="y ~ x + site", method="mle").fit(folder)
    blocks = len(open_table(folder).frame(["x"])[1])
    assert read == {"table_of_arrow": blocks * glm.n_passes_, "frame_of_arrow": 0}
    read.clear()
    weighted = GLMRegressor("poisson", formula="y ~ x + site", method="mle").fit(folder, sample_weight="w")
    assert read == {"frame_of_arrow": blocks * weighted.n_passes_}


def test_blocks_are_a_function_of_the_data_alone(tmp_path):
    rows = pa.table({"a": np.zeros(3_000_000), "b": np.zeros(3_000_000)})
    pq.write_table(rows, tmp_path / "a.parquet", row_group_size=100_000)
    opened = open_table(tmp_path)
    assert opened.frame(["a"])[1] == (1_500_000,) * 2  # 12 MiB and no more
    assert opened.frame()[1] == (*(700_000,) * 4, 200_000)  # as many
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrow, "_BLOCK_BYTES", 2**20)
        assert set(opened.frame()[1]) == {100_000}  # row groups are not cut


@pytest.mark.parametrize("name", [None, "id"])
def test_the_index_of_a_frame_is_no_covariate(tmp_path, threads, name):
    frame = table()[["x", "w", "y"]].rename_axis(name).iloc[::2]
    frame.to_parquet(tmp_path / "a.parquet")
    expected = GLMRegressor("poisson", method=EXACT).fit(frame, "y")
    dataset = pads.dataset(tmp_path).filter(pads.field("y") >= 0)
    for source in (tmp_path, dataset, pa.Table.from_pandas(frame)):
        same(GLMRegressor("poisson", method=EXACT).fit(source, "y"), expected)


@pytest.mark.parametrize("kind", ["feather", "csv"])
def test_datasets_of_other_formats(tmp_path, threads, kind):
    frame = table()
    for number, part in enumerate(np.array_split(np.arange(900), 3)):
        path = tmp_path / f"{number}.{kind}"
        rows = frame.iloc[part].reset_index(drop=True)
        rows.to_feather(path) if kind == "feather" else rows.to_csv(path, index=False)
    expected = GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit(frame)
    for source in (tmp_path, tmp_path / f"*.{kind}", pads.dataset(tmp_path, format=kind)):
        if kind == "csv" and source == tmp_path:
            continue
        # Where lengths are unknown the pilot is another one, and λ² is below 1e-20 only.
        same(GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit(source), expected, 1e-10)
    lengths = open_table(pads.dataset(tmp_path, format=kind)).frame()[1]
    assert lengths == ((900,) if kind == "feather" else None)


def test_footers_tell_how_many_ranges_a_column_has(tmp_path):
    folder = tmp_path / "files"
    for month in (1, 2):
        frame = pd.DataFrame({"site": list("abcabcabc"), "day": np.arange(9) + 9 * month, "none": [None] * 9})
        (folder / f"month={month}").mkdir(parents=True)
        frame.to_parquet(folder / f"month={month}" / "rows.parquet", row_group_size=3)
    table = open_table(folder)
    # Of three row groups in each of two files; where all values are missing a footer tells nothing.
    assert table.ranges(["site", "day", "none", "month"]) == {"site": 1, "day": 6, "none": 6, "month": 2}
    rows = pa.table(table.frame(["site", "day"])[0].compute().astype({"site": str}))
    pq.write_table(rows, tmp_path / "bare.parquet", row_group_size=6, write_statistics=False)
    assert open_table(tmp_path / "bare.parquet").ranges(["site"]) == {"site": 3}
    assert open_table(tmp_path / "bare.parquet").ranges([]) == {}
    pads.write_dataset(rows, tmp_path / "feather", format="feather")
    assert open_table(pads.dataset(tmp_path / "feather", format="feather")).ranges(["site"]) == {}


def test_texts_in_footers_may_be_cut_within_a_character(tmp_path, threads):
    frame = pd.DataFrame({"site": ["\u20aca", "\u20acb"] * 50, "y": np.arange(100.0)})
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path, row_group_size=50, store_schema=False)
    expected = GLMRegressor(formula="y ~ site").fit(path).coef_
    data = path.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    path.write_bytes(data[:start] + data[start:].replace("\u20acb".encode(), b"\xe2\x82\xff\xff"))
    assert open_table(path).ranges(["site"]) == {"site": 1}
    np.testing.assert_array_equal(GLMRegressor(formula="y ~ site").fit(path).coef_, expected)


def test_partition_keys_are_columns(tmp_path, small_blocks, threads):
    frame = table()
    frame.to_parquet(tmp_path / "t", partition_cols=["site", "month"])
    expected = GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit(frame)
    for source in (tmp_path / "t", pads.dataset(tmp_path / "t", partitioning="hive")):
        same(GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit(source), expected, 1e-10)


def test_filters(tmp_path, small_blocks, threads, monkeypatch):
    frame = table()
    dataset = pads.dataset(write(frame, tmp_path / "t"))
    expected = GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit(frame[frame["x"] > 0])
    filtered = dataset.filter(pads.field("x") > 0)
    glm = GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit(filtered)
    same(glm, expected, 1e-10)
    assert len(glm.predict(filtered)) == glm.n_samples_
    fragments = list(dataset.get_fragments(pads.field("month") > 0))
    subset = pads.FileSystemDataset(fragments[:1], dataset.schema, dataset.format, dataset.filesystem)
    assert GLMRegressor("poisson", formula=FORMULA).fit(subset).n_samples_ == 300
    monkeypatch.setattr(arrow, "_MOST_IN_MEMORY", 1000)
    with pytest.raises(ValueError, match=r"selects more than .* GiB .*read_parquet\(path, filters=\.\.\.\)"):
        GLMRegressor("poisson", formula=FORMULA).fit(filtered)


def test_row_groups_of_a_fragment(tmp_path, threads):
    dataset = pads.dataset(write(table(), tmp_path / "t", files=1, row_group_size=100))
    (fragment,) = dataset.get_fragments()
    some = fragment.subset(row_group_ids=[0, 2, 5])
    subset = pads.FileSystemDataset([some], dataset.schema, dataset.format, dataset.filesystem)
    rows = table().iloc[[*range(100), *range(200, 300), *range(500, 600)]]
    glm = GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit(subset)
    same(glm, GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit(rows), 1e-10)


def test_missing_values_of_every_kind(tmp_path, small_blocks, threads):
    frame = table()
    frame["flag"] = frame["flag"].astype("boolean")
    frame["month"] = frame["month"].astype("Int64")
    for at, name in enumerate(("x", "flag", "site", "month", "y", "w")):
        frame.loc[at::50, name] = None
    folder = write(frame, tmp_path / "t")
    glm = GLMRegressor("poisson", formula=FORMULA, method=EXACT, missing="drop").fit(folder, sample_weight="w")
    complete = frame.dropna(subset=["x", "flag", "site", "month", "y", "w"])
    complete = complete.astype({"flag": bool, "month": int, "y": int})
    same(glm, GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit(complete, sample_weight="w"), 1e-10)
    assert glm.n_missing_ == 108
    with pytest.raises(
        ValueError, match=r"in column x \(18 rows\).*In row group 0 of .*0\.parquet, row group 1 of .*, …\."
    ):
        GLMRegressor("poisson", formula=FORMULA).fit(folder)


@pytest.mark.parametrize("empty", [(0,), (0, 1), (2,)])
def test_a_column_may_have_no_value_in_some_files(tmp_path, empty):
    frame = table()
    pieces = [frame[start : start + 300].reset_index(drop=True) for start in range(0, 900, 300)]
    for number, piece in enumerate(pieces):
        kept = piece.assign(site=None) if number in empty else piece
        columns = pa.Table.from_pandas(kept, preserve_index=False)
        assert pa.types.is_null(columns.schema.field("site").type) == (number in empty)
        pq.write_table(columns, tmp_path / f"{number}.parquet")
    complete = pd.concat([piece for number, piece in enumerate(pieces) if number not in empty], ignore_index=True)
    glm = GLMRegressor("poisson", formula="y ~ x + site", method=EXACT, missing="drop").fit(tmp_path)
    same(glm, GLMRegressor("poisson", formula="y ~ x + site", method=EXACT).fit(complete), 1e-10)
    assert glm.n_missing_ == 300 * len(empty)


def test_columns_of_every_arrow_type(tmp_path, small_blocks, threads):
    frame = table()
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(int(month)) for month in frame["month"]]
    columns = {
        "y": pa.array(frame["y"], pa.int16()),
        "x": pa.array([Decimal(f"{x:.6f}") for x in frame["x"]]),
        "site": pa.array(frame["site"], pa.large_string()),
        "unit": pa.array(frame["unit"]).dictionary_encode(),
        "day": pa.array(days, pa.date32()),
        "small": pa.array(frame["o"], pa.float32()),
        "count": pa.array(frame["month"], pa.uint8()),
        "half": pa.array(frame["w"].to_numpy(np.float16)),
    }
    (tmp_path / "t").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "t" / "a.parquet", row_group_size=60)
    formula = "y ~ x + site + unit + C(day) + small + count + half + C(site == 'east')"
    formula = formula.replace(" + C(site == 'east')", "").replace(" + count", "")
    plain = pd.DataFrame(
        {
            "y": frame["y"],
            "x": frame["x"].round(6),
            "site": frame["site"],
            "unit": frame["unit"],
            "day": pd.to_datetime(days),
            "small": frame["o"].astype(np.float32),
            "half": frame["w"].astype(np.float16).astype(float),
        }
    )
    glm = GLMRegressor("poisson", formula=formula, method=EXACT).fit(tmp_path / "t")
    expected = GLMRegressor("poisson", formula=formula, method=EXACT).fit(plain)
    np.testing.assert_allclose(glm.coef_, expected.coef_, rtol=1e-10)


def test_strings_that_a_formula_computes_with(tmp_path, small_blocks, threads):
    frame = table()
    formula = "y ~ x + C(site == 'east')"
    glm = GLMRegressor("poisson", formula=formula, method=EXACT).fit(write(frame, tmp_path / "t"))
    same(glm, GLMRegressor("poisson", formula=formula, method=EXACT).fit(frame))


def test_dictionaries_that_differ_from_file_to_file(tmp_path, small_blocks, threads):
    frame = table().sort_values("site", kind="stable").reset_index(drop=True)
    folder = write(frame.astype({"site": "category"}), tmp_path / "t")
    part = pd.read_parquet(folder / "1.parquet").astype({"site": str})
    part.to_parquet(folder / "1.parquet")
    glm = GLMRegressor("poisson", formula="y ~ x + site", method=EXACT).fit(folder)
    same(glm, GLMRegressor("poisson", formula="y ~ x + site", method=EXACT).fit(frame), 1e-10)


def test_files_that_are_unlike_the_first_are_named(tmp_path):
    folder = write(table(), tmp_path / "t")
    rows = table(50)
    rows.drop(columns="x").to_parquet(folder / "8.parquet")
    with pytest.raises(ValueError, match=r"8\.parquet has no column 'x', which .*0\.parquet has"):
        GLMRegressor("poisson", formula="y ~ x").fit(folder)
    assert GLMRegressor("poisson", formula="y ~ w").fit(folder).n_samples_ == 950
    rows.astype({"x": str}).to_parquet(folder / "8.parquet")
    with pytest.raises(ValueError, match=r"column 'x' is float64 in .*0\.parquet and string in .*8\.parquet"):
        GLMRegressor("poisson", formula="y ~ x").fit(folder)
    (folder / "9.parquet").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"9\.parquet cannot be read as Parquet"):
        GLMRegressor("poisson", formula="y ~ w").fit(folder)


def test_errors_while_reading_name_the_file_and_the_row_groups(tmp_path, small_blocks, synchronous):
    folder = write(table(), tmp_path / "t", files=1, row_group_size=450)
    frame, _ = open_table(folder).frame(["x"])
    damaged = bytearray((folder / "0.parquet").read_bytes())
    start = pq.read_metadata(folder / "0.parquet").row_group(1).column(0).data_page_offset
    damaged[start : start + 100] = bytes(100)
    (folder / "0.parquet").write_bytes(damaged)
    with pytest.raises(OSError) as caught:  # noqa: PT011
        frame.compute()
    assert any("row group 1 of" in note and "0.parquet" in note for note in caught.value.__notes__)


def test_lists_are_refused_by_name(tmp_path):
    pq.write_table(pa.table({"y": [1.0, 2.0], "z": [[1], [2]]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"Column 'z' \(list<.*\) holds lists or dicts"):
        GLMRegressor().fit(tmp_path, "y")


def test_columns_that_are_not_there(tmp_path):
    folder = write(table(), tmp_path / "t")
    with pytest.raises(ValueError, match=r"names \['none'\], which are not columns\. These are: \['flag', 'label'"):
        GLMRegressor("poisson", formula="y ~ none").fit(folder)
    with pytest.raises(ValueError, match="sample_weight='none' is not a column of X"):
        GLMRegressor("poisson", formula="y ~ x").fit(folder, sample_weight="none")
    glm = GLMRegressor("poisson", formula="y ~ x").fit(folder)
    table()[["y"]].to_parquet(tmp_path / "other.parquet")
    with pytest.raises(ValueError, match=r"present in fit: \['x'\]"):
        glm.predict(tmp_path / "other.parquet")


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        GLMRegressor(formula="y ~ x").fit(tmp_path / "*.parquet")
    with pytest.raises(FileNotFoundError, match="there is no file in the directory"):
        GLMRegressor(formula="y ~ x").fit(tmp_path)
    table().to_csv(tmp_path / "a.csv")
    table().to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="of several kinds: give either Parquet or CSV"):
        GLMRegressor(formula="y ~ x").fit([tmp_path / "a.csv", tmp_path / "a.parquet"])


def test_files_without_rows(tmp_path, small_blocks, threads):
    folder = write(table(), tmp_path / "t")
    table().iloc[:0].to_parquet(folder / "1a.parquet")
    glm = GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit(folder)
    same(glm, GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit(table()))
    table().iloc[:0].to_parquet(tmp_path / "empty.parquet")
    with pytest.raises(ValueError, match=r"0 sample"):
        GLMRegressor("poisson", formula=FORMULA).fit(tmp_path / "empty.parquet")
    assert len(glm.predict(tmp_path / "empty.parquet").compute()) == 0


def test_files_of_other_file_systems(threads):
    memory = fsspec.filesystem("memory")
    try:
        with memory.open("/trips/a.parquet", "wb") as file:
            table().to_parquet(file)
        glm = GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit("memory://trips/*.parquet")
        same(glm, GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit(table()))
    finally:
        memory.rm("/trips", recursive=True)


def test_the_columns_of_a_model_are_all_that_dask_dataframe_reads(tmp_path, synchronous):
    folder, read = write(table(), tmp_path / "t"), []
    frame = dd.from_map(_read_noting, sorted(folder.glob("*")), notes=read, meta=table().iloc[:0])
    GLMRegressor("poisson", formula="y ~ x").fit(frame)
    assert {tuple(sorted(columns)) for columns in read} == {("x", "y")}
    read.clear()
    GLMRegressor("poisson").fit(frame[["x", "month", "y"]], "y", sample_weight=frame["w"])
    assert {tuple(sorted(columns)) for columns in read} == {("month", "w", "x", "y")}


def _read_noting(path, notes, columns=None):
    notes.append(columns)
    return pd.read_parquet(path, columns=columns)
