"""Tables by any URL that fsspec knows: the same numbers from each, and what is wrong in a line."""

import json
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import fsspec
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dask_onestep.cli import app
from dask_onestep.storage import read_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"x": rng.normal(size=500), "g": rng.choice(list("abc"), 500)})
    frame["y"] = rng.poisson(np.exp(frame["x"] / 3))
    frame.to_parquet(folder / "a.parquet")
    # More than is fetched at a time.
    pd.DataFrame({"x": rng.normal(size=10**6), "g": "a", "y": 1}).to_parquet(folder / "long.parquet")
    frame.to_csv(folder / "a.csv", index=False)
    frame.to_csv(folder / "a.tsv", index=False, sep="\t")
    frame.to_csv(folder / "a.csv.gz", index=False)
    frame.to_csv(folder / "a.csv.bz2", index=False)
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for name in ("a.csv", "a.parquet"):
            archive.write(folder / name, name)
    return folder


class InParts(SimpleHTTPRequestHandler):
    """Files by HTTP, in parts where they are asked for, as most servers give them."""

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        file, wanted = Path(self.translate_path(self.path)), self.headers.get("Range")
        if wanted is None or not file.is_file():
            super().do_GET()
            return
        content = file.read_bytes()
        first, last = wanted.removeprefix("bytes=").split("-")
        begin, end = int(first), min(int(last or len(content)), len(content) - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {begin}-{end}/{len(content)}")
        self.send_header("Content-Length", str(end + 1 - begin))
        self.end_headers()
        self.wfile.write(content[begin : end + 1])


class Whole(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module", params=[InParts, Whole])
def server(request, folder):
    """The address of a server of the folder."""
    pytest.importorskip("aiohttp")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(request.param, directory=str(folder))) as server:
        server.handle_error = lambda *arguments: None  # a client that has read enough hangs up
        Thread(target=server.serve_forever, daemon=True).start()
        yield request.param, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def fit(*files):
    words = ["fit", "y ~ x + g", *map(str, files), "--family", "poisson", "--method", "mle", "--quiet"]
    return CliRunner().invoke(app, words)


def error_of(result):
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def expected(folder):
    result = fit(folder / "a.parquet")
    assert "500 rows" in result.stdout
    return result.stdout


@pytest.mark.parametrize(
    "url",
    [
        "{}/a.csv",
        "{}/a.tsv",
        "{}/a.csv.gz",
        "{}/a.csv.bz2",
        "{}/a*.parquet",
        "file://{}/a.csv",
        "file://{}/a.parquet",
        "zip://a.csv::{}/a.zip",
        "zip://a.parquet::{}/a.zip",
        "simplecache::zip://a.csv::file://{}/a.zip",
    ],
)
def test_a_local_url_gives_the_same(folder, expected, url):
    assert fit(url.format(folder)).stdout == expected


def test_what_lies_in_memory_gives_the_same(folder, expected):
    memory = fsspec.filesystem("memory")
    for name in ("a.csv", "a.parquet"):
        memory.pipe_file(f"/tables/{name}", (folder / name).read_bytes())
    try:
        assert fit("memory://tables/a.csv").stdout == expected
        assert fit("memory://tables/*.parquet").stdout == expected
        assert "there is no file memory://tables/b.csv" in error_of(fit("memory://tables/b.csv"))
    finally:
        memory.rm("/tables", recursive=True)


@pytest.mark.parametrize("url", ["{}/a.csv", "{}/a.csv?part=1", "{}/a.csv.gz", "simplecache::{}/a.parquet"])
def test_a_web_server_gives_the_same(server, expected, url):
    assert fit(url.format(server[1])).stdout == expected


def test_parquet_of_a_web_server_is_read_in_parts_or_the_cure_is_said(server, expected):
    assert fit(f"{server[1]}/a.parquet").stdout == expected
    if server[0] is Whole:
        assert "Put simplecache:: before the URL" in error_of(fit(f"{server[1]}/long.parquet"))


def test_what_a_web_server_has_not_is_said(server):
    assert "there is no file http://127.0.0.1:" in error_of(fit(f"{server[1]}/b.csv"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nowhere://bucket/a.csv", "nowhere"),
        ("{}/b.parquet", "there is no file"),
        ("{}/*.json", "there is no file"),
        ("zip://b.csv::{}/a.zip", "there is no file zip://b.csv"),
        ("zip://b.csv::{}/b.zip", "b.zip"),
    ],
)
def test_what_cannot_be_found_is_said(folder, url, said):
    assert said in error_of(fit(url.format(folder)))


def test_a_missing_package_is_named():
    # As a protocol whose package is not installed.
    fsspec.register_implementation(
        "shelf", "no_such_package.Shelf", errtxt="Install no_such_package to access shelves", clobber=True
    )
    line = error_of(fit("shelf://bucket/a.csv"))
    assert "shelf://bucket/a.csv cannot be read here: Install no_such_package" in line


@pytest.mark.parametrize(("name", "content"), [("a.csv", b""), ("a.parquet", b"none"), ("a.csv.gz", b"no gzip")])
def test_what_is_no_table_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert f"{name}" in error_of(fit(tmp_path / name))


def test_a_damaged_file_among_others_is_named(folder, tmp_path):
    (tmp_path / "0.parquet").write_bytes((folder / "a.parquet").read_bytes())
    (tmp_path / "1.parquet").write_bytes(b"damaged")
    assert f"{tmp_path}/1.parquet cannot be read as Parquet" in error_of(fit(tmp_path / "*.parquet"))
    assert f"{tmp_path}/1.parquet cannot be read as Parquet" in error_of(fit(tmp_path))


def test_predictions_go_to_a_url_too(folder, tmp_path):
    model = tmp_path / "model.json"
    fitted = CliRunner().invoke(app, ["fit", "y ~ x", f"{folder}/a.csv", "--quiet", "--output", str(model)])
    assert fitted.exit_code == 0, fitted.output
    assert json.loads(model.read_text())["n_samples"] == 500
    written = tmp_path / "predicted.csv"
    words = ["predict", str(model), f"{folder}/a.csv", "--output", f"file://{written}", "--quiet"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert len(pd.read_csv(written)) == 500


def test_columns_not_wanted_are_not_parsed(folder):
    table = read_table([str(folder / "a.csv")], columns=["x", "y", "none"])
    assert list(table.columns) == ["x", "y"]
    assert {str(dtype) for dtype in table.dtypes} == {"float64"}
