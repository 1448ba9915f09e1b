"""The airline files: made ones, read in every form in which people have them, and fetched from this machine."""

import bz2
import gzip
import hashlib
import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse

import dask
import numpy as np
import pandas as pd
import pytest
from dask.dataframe.dispatch import make_meta

from dask_onestep import MLE, GLMClassifier
from dask_onestep.datasets import fetch_airline, load_airline

COLUMNS = ["Year", "Month", "DepTime", "CRSArrTime", "UniqueCarrier", "ActualElapsedTime", "ArrDelay", "Distance"]
MODEL = ["DepTime", "CRSArrTime", "ActualElapsedTime", "Distance"]


def make_year(year, rows=60):
    """Return a year's table; every tenth flight has no arrival."""
    rng = np.random.default_rng(year)
    table = pd.DataFrame(
        {
            "Year": year,
            "Month": rng.integers(1, 13, rows),
            "DepTime": rng.integers(1, 2401, rows),
            "CRSArrTime": rng.integers(1, 2401, rows),
            "UniqueCarrier": "Æ",
            "ActualElapsedTime": rng.integers(30, 400, rows),
            "ArrDelay": rng.integers(-30, 60, rows),
            "Distance": rng.integers(50, 3000, rows),
        }
    )[COLUMNS].astype(object)
    table.loc[::10, ["ActualElapsedTime", "ArrDelay"]] = "NA"
    return table


def content(year, **options):
    return make_year(year, **options).to_csv(index=False).encode("latin-1")


def numbers(*years):
    """The six columns of several years, read by pandas."""
    table = pd.concat([make_year(year) for year in years], ignore_index=True)
    table = table[[name for name in COLUMNS if name not in ("Month", "UniqueCarrier")]]
    return table.where(table != "NA")


@pytest.fixture
def folder(tmp_path):
    for year in (1987, 1988, 1989, 1990, 1992, 1993):
        (tmp_path / f"{year}.csv").write_bytes(content(year))
    (tmp_path / "airports.txt").write_text("not a year")
    return tmp_path


@pytest.mark.parametrize(("suffix", "pack"), [(".csv", bytes), (".csv.bz2", bz2.compress), (".csv.gz", gzip.compress)])
def test_files_are_read_as_they_are(tmp_path, suffix, pack):
    for year in (1995, 1996):
        (tmp_path / f"{year}{suffix}").write_bytes(pack(content(year)))
    frame = load_airline(tmp_path)
    expected = numbers(1995, 1996)
    found = frame.compute().reset_index(drop=True)
    assert list(found.columns) == ["Year", *MODEL, "ArrDelay", "delayed"]
    pd.testing.assert_frame_equal(found[expected.columns], expected.astype(float), check_dtype=False)
    late = (expected["ArrDelay"].astype(float) > 0).astype(float).where(expected["ArrDelay"].notna())
    np.testing.assert_array_equal(found["delayed"], late)
    assert found.dtypes.equals(make_meta(frame).dtypes)


def test_a_block_holds_three_years_from_1987_on(folder):
    frame = load_airline(folder)
    years = [sorted(set(part["Year"])) for part in dask.compute(*frame.to_delayed())]
    assert years == [[1987, 1988, 1989], [1990, 1992], [1993]]
    assert load_airline(folder, years_per_block=1).npartitions == 6
    assert load_airline(folder, years_per_block=100).npartitions == 1


@pytest.mark.parametrize("form", ["glob", "list", "file"])
def test_paths_take_every_form(folder, form):
    path = {
        "glob": str(folder / "198*.csv"),
        "list": [folder / "1988.csv", str(folder / "1987.csv"), folder / "1989.csv"],
        "file": folder / "1988.csv",
    }[form]
    years = [1988] if form == "file" else [1987, 1988, 1989]
    assert sorted(set(load_airline(path)["Year"].compute())) == years


def test_a_name_without_a_year_is_read_for_it(tmp_path):
    (tmp_path / "first.csv").write_bytes(content(1999))
    (tmp_path / "second.csv").write_bytes(content(1988))
    frame = load_airline(tmp_path / "*.csv")
    assert [set(part["Year"]) for part in dask.compute(*frame.to_delayed())] == [{1988}, {1999}]


def test_the_model_is_that_of_the_complete_rows(folder):
    X, y = load_airline(folder, return_X_y=True)
    table = numbers(1987, 1988, 1989, 1990, 1992, 1993).astype(float).dropna()
    expected = table[MODEL] / [100, 100, 1, 100]
    pd.testing.assert_frame_equal(X.compute().reset_index(drop=True), expected.reset_index(drop=True))
    np.testing.assert_array_equal(y.compute(), table["ArrDelay"] > 0)
    lazy = GLMClassifier(method=MLE()).fit(X, y)
    local = GLMClassifier(method=MLE()).fit(expected.to_numpy(), (table["ArrDelay"] > 0).to_numpy(float))
    np.testing.assert_allclose(lazy.coef_, local.coef_, rtol=1e-8)


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="fetch_airline downloads"):
        load_airline(tmp_path)
    (tmp_path / "1990.csv").write_bytes(content(1990))
    (tmp_path / "1990.csv.gz").write_bytes(gzip.compress(content(1990)))
    with pytest.raises(ValueError, match="Two files are of the year 1990"):
        load_airline(tmp_path)
    (tmp_path / "1991.csv").write_bytes(make_year(1991).drop(columns="ArrDelay").to_csv(index=False).encode("latin-1"))
    with pytest.raises(ValueError, match=r"1991\.csv is not a file of the ASA Data Expo 2009.*ArrDelay"):
        load_airline(tmp_path / "1991.csv").compute()
    (tmp_path / "empty.csv").write_text(",".join(COLUMNS))
    with pytest.raises(ValueError, match="no rows, and its name no year"):
        load_airline(tmp_path / "empty.csv")
    with pytest.raises(ValueError, match="years_per_block=0"):
        load_airline(tmp_path / "1991.csv", years_per_block=0)


@contextmanager
def dataverse(files, *, stop_after=None, published=None, sha1=False):
    """Serve files as a Dataverse does; interrupt the first transfer of each after some bytes, if asked to."""
    names = list(files)
    requested, interrupted = [], set()
    listing = [
        {
            "dataFile": {
                "id": number,
                "filename": name,
                **({"checksum": {"type": "SHA-1", "value": hashlib.sha1(files[name]).hexdigest()}} if sha1 else {}),
                "md5": (published or {}).get(name, hashlib.md5(files[name]).hexdigest()),
            }
        }
        for number, name in enumerate(names)
    ]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            place = urlparse(self.path)
            if place.path.startswith("/api/datasets/"):
                assert "HG7NV7" in place.query
                self.reply(json.dumps({"status": "OK", "data": {"files": listing}}).encode())
                return
            name = names[int(place.path.rpartition("/")[2])]
            requested.append(name)
            first = name not in interrupted
            interrupted.add(name)
            self.reply(files[name], sent=stop_after if first else None)

        def reply(self, body, sent=None):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:sent])

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requested
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def files():
    return {f"{year}.csv.bz2": bz2.compress(content(year, rows=2000)) for year in (1987, 1988)}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Pooch waits for seconds before it tries again."""
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)


def test_years_are_fetched_once(files, tmp_path, capsys):
    with dataverse(files) as (server, requested):
        found = fetch_airline([1987, 1988], tmp_path / "new" / "home", server=server)
        assert [path.name for path in found] == list(files)
        assert [path.read_bytes() for path in found] == list(files.values())
        assert "100%" in capsys.readouterr().err
        fetch_airline(1987, tmp_path / "new" / "home", server=server, progress=False)
        assert requested == list(files)
        assert capsys.readouterr().err == ""
    assert len(load_airline(found)) == 4000


def test_an_interrupted_download_is_repeated(files, tmp_path):
    with dataverse(files, stop_after=1000) as (server, requested):
        (path,) = fetch_airline(1987, tmp_path, server=server, progress=False)
    assert path.read_bytes() == files["1987.csv.bz2"]
    assert requested == ["1987.csv.bz2"] * 2
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_file_is_not_kept(files, tmp_path):
    with dataverse(files, published={"1988.csv.bz2": "0" * 32}) as (server, requested):
        with pytest.raises(
            OSError, match=r"MD5 hash of downloaded file \(1988.*expected md5:0000.*Call again to download"
        ):
            fetch_airline([1987, 1988], tmp_path, server=server, progress=False)
        assert requested == ["1987.csv.bz2", *["1988.csv.bz2"] * 4]
        assert [path.name for path in tmp_path.iterdir()] == ["1987.csv.bz2"]
    with dataverse(files) as (server, requested):
        (tmp_path / "1988.csv.bz2").write_bytes(b"damaged")
        (path,) = fetch_airline(1988, tmp_path, server=server, progress=False)
        assert path.read_bytes() == files["1988.csv.bz2"]
        assert requested == ["1988.csv.bz2"]


def test_an_unreachable_server_is_an_error_of_the_system(files, tmp_path):
    with dataverse(files) as (server, _):
        pass
    with pytest.raises(OSError, match="refused"):
        fetch_airline(1987, tmp_path, server=server)


@pytest.mark.parametrize("name", ["../1987.csv.bz2", "/etc/1987.csv.bz2", "..", "a\\..\\1987.csv.bz2", "a\n", ""])
def test_names_that_are_paths_are_refused(files, tmp_path, name):
    with dataverse({name: b"evil", **files}) as (server, requested):
        with pytest.raises(OSError, match="invalid file names"):
            fetch_airline(1987, tmp_path / "home", server=server, progress=False)
        assert requested == []
    assert list(tmp_path.iterdir()) == []


def test_checksums_other_than_md5_are_verified(files, tmp_path):
    with dataverse(files, sha1=True, published=dict.fromkeys(files, "not used")) as (server, _):
        (path,) = fetch_airline(1987, tmp_path, server=server)
    assert path.read_bytes() == files["1987.csv.bz2"]


@pytest.mark.parametrize("package", ["pooch", "tqdm"])
def test_a_missing_extra_is_named(monkeypatch, tmp_path, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install 'dask_onestep\[download\]'"):
        fetch_airline(1987, tmp_path)


def test_years_and_servers_are_checked(files, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"years=\[1986, 2009\] are not in the data"):
        fetch_airline([1986, 1990, 2009], tmp_path)
    with dataverse(files) as (server, requested):
        with pytest.raises(ValueError, match=r"no files of the years \[1999\]"):
            fetch_airline([1987, 1999], tmp_path, server=server)
        with pytest.raises(OSError, match="is not that of a Dataverse"):
            fetch_airline(1987, tmp_path, server=f"{server}/api/access/datafile/0?")
        monkeypatch.setenv("DASK_ONESTEP_DATA", str(tmp_path / "here"))
        (path,) = fetch_airline(1987, server=server, progress=False)
        assert path == tmp_path / "here" / "airline" / "1987.csv.bz2"
        assert requested == ["1987.csv.bz2"] * 2
