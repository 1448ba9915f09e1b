"""Arrow data as pandas DataFrames: columns of tables in memory, and row groups of files as the blocks of a fit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import product
from threading import local
from typing import Any
from uuid import uuid4

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from dask.tokenize import tokenize
from pyarrow import types

from dask_onestep.kernels.designs.levels import indexed
from dask_onestep.kernels.designs.parts import SOURCE, Block, Table, labels_of
from dask_onestep.kernels.designs.terms import Terms
from dask_onestep.messages import catalogue

# Memory of a block's columns.  Smaller tables are cut into `_MANY_BLOCKS` or so, but with blocks below
# `_SMALL_BLOCK_BYTES` threads spend much of their time waiting for the interpreter's lock.  All numbers, and so
# the blocks, depend only on the data.
_BLOCK_BYTES, _SMALL_BLOCK_BYTES, _MANY_BLOCKS = 64 * 2**20, 12 * 2**20, 32
_MOST_IN_MEMORY = 2**30  # bytes of what a filter leaves of a data set
# A row group with more is read in several blocks, one after the other: Arrow decodes it from its start only.
_MOST_OF_ROW_GROUP = 4 * _BLOCK_BYTES
_STREAM_BYTES = 2**20  # of each column of such a row group that are in memory before they are decoded
_THREADS = 16  # that read footers
_FOOTERS = 8  # that are remembered: by their bytes, as not every file system tells when a file has changed
_TAIL_BYTES = 2**16  # of a file, which are read at once and mostly hold its footer
_BATCH_ROWS = 2**24  # in which Arrow makes a column of a row group in one piece
_WORDS_BYTES = 2**16  # of a dictionary that is remembered
# Rows of each block; those of the blocks of one row group are a tuple.
Lengths = tuple[int | tuple[int, ...], ...]
_NULLABLE = {
    pa.bool_(): pd.BooleanDtype(),
    **{
        kind: dtype
        for width in (8, 16, 32, 64)
        for kind, dtype in (
            (getattr(pa, f"int{width}")(), getattr(pd, f"Int{width}Dtype")()),
            (getattr(pa, f"uint{width}")(), getattr(pd, f"UInt{width}Dtype")()),
        )
    },
}


@dataclass(frozen=True)
class Layout:
    """What is known of the rows of a frame before they are read.

    Attributes
    ----------
    lengths : tuple of int, or of tuples of int, or None
        Rows of each partition, if known; those of partitions that are read in order as one tuple.
    ranges : mapping of str to int
        How many different ranges some columns have in the row groups of their files: see `ArrowTable.ranges`.
    frame : dask DataFrame or None
        The frame, if its partitions can be read as arrays.
    loads : tuple of callable
        Functions without arguments that read a partition so, as a list of one `Block`.
    """

    lengths: Lengths | None = None
    ranges: Mapping[str, int] = field(default_factory=dict)
    frame: dd.DataFrame | None = None
    loads: tuple[Callable[[], list[Block]], ...] = ()


def table_of_arrow(table: pa.Table, coded: Iterable[str] = (), encoded: Iterable[str] = ()) -> Table:
    """Return an Arrow table as arrays, as `frame_of_arrow` has them in a frame."""
    return Table(dict(zip(table.column_names, _arrays(table, coded, encoded), strict=True)), len(table))


def frame_of_arrow(table: pa.Table, coded: Iterable[str] = (), encoded: Iterable[str] = ()) -> pd.DataFrame:
    """Return an Arrow table as a DataFrame, its numbers without a copy where Arrow has them in one piece.

    Integers with missing values become float64, or nullable integers where they are categories; decimals become
    float64.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from dask_onestep.data.arrow import frame_of_arrow
    >>> frame_of_arrow(pa.table({"x": [1, None], "s": ["a", "b"]}), encoded=["s"]).dtypes.astype(str).to_dict()
    {'x': 'float64', 's': 'category'}
    """
    columns = dict(enumerate(_arrays(table, coded, encoded)))
    frame = pd.DataFrame(columns, index=pd.RangeIndex(len(table)), copy=False)
    frame.columns = labels_of(tuple(table.column_names))
    return frame


def column_of_arrow(part: Any) -> np.ndarray:
    """Return what has one value per row, a column of Arrow data or a table of one, as an array.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from dask_onestep.data.arrow import column_of_arrow
    >>> column_of_arrow(pa.table({"y": [1, None]}))
    array([ 1., nan])
    """
    column = pa.chunked_array(part)
    if types.is_struct(column.type):
        columns = column.flatten()
        if len(columns) != 1:
            raise ValueError(f"Expected one value per row, got a table of {len(columns)} columns; select one.")
        (column,) = columns
    return np.asarray(_array(column, False, False))


def _arrays(table: pa.Table, coded: Iterable[str], encoded: Iterable[str]) -> list[Any]:
    _refuse_nested(table.schema)
    coded, encoded = set(coded), set(encoded)
    named = zip(table.column_names, table.columns, strict=True)
    return [_array(column, name in coded, name in encoded) for name, column in named]


def _array(column: pa.ChunkedArray, coded: bool, encoded: bool) -> Any:
    """Return a column as an array of NumPy or pandas; of each Series the frame would compare the index."""
    kind = column.type
    if types.is_floating(kind) or (types.is_integer(kind) and not (coded and column.null_count)):
        return column.to_numpy()
    if types.is_decimal(kind):
        column = column.cast(pa.float64())
    if encoded and not types.is_dictionary(kind):
        column = column.dictionary_encode()
    if types.is_dictionary(column.type):
        return _categories(column)
    if column.null_count and (types.is_boolean(kind) or (coded and types.is_integer(kind))):
        return column.to_pandas(types_mapper=_NULLABLE.get).array
    return column.to_pandas(date_as_object=coded).array  # levels are dates, not times


def _categories(column: pa.ChunkedArray) -> pd.Categorical:
    """Return the codes of dictionaries as a categorical; pandas' own conversion would copy and convert both twice."""
    kind, chunks = column.type, column.chunks or [column.combine_chunks()]
    if not all(chunk.dictionary.equals(chunks[0].dictionary) for chunk in chunks[1:]):
        if any(chunk.dictionary.null_count for chunk in chunks):  # Arrow does not unify these
            column = pa.chunked_array([_without_null(chunk) for chunk in chunks])
        chunks = column.unify_dictionaries().chunks
    words = chunks[0].dictionary
    levels: Any = _words(words) if _is_text(words.type) else pd.Index(words.to_pandas(date_as_object=True))
    narrow = np.min_scalar_type(-max(len(levels), 1))  # as pandas has them
    codes = np.concatenate([_signed(chunk.indices) for chunk in chunks], dtype=narrow, casting="unsafe")
    if levels.hasnans or not levels.is_unique:
        places, levels = levels.factorize()
        codes = np.append(places, -1)[codes]
    return pd.Categorical.from_codes(codes, levels, ordered=kind.ordered, validate=False)


def _without_null(column: pa.DictionaryArray) -> pa.DictionaryArray:
    words = column.dictionary.drop_null()
    return pa.DictionaryArray.from_arrays(pc.index_in(column.cast(words.type), words), words)


def _signed(codes: pa.Array) -> np.ndarray:
    """Return a dictionary's codes, -1 for missing values."""
    if codes.null_count:
        codes = (codes if types.is_signed_integer(codes.type) else codes.cast(pa.int64())).fill_null(-1)
    return codes.to_numpy(zero_copy_only=False)


def _words(words: pa.Array) -> pd.Index:
    """Return strings as Python's own, which pandas would otherwise make for each look-up."""
    if words.offset or words.null_count or words.nbytes > _WORDS_BYTES or types.is_string_view(words.type):
        return pd.Index(words.to_numpy(zero_copy_only=False), dtype=object)
    return _words_of(words.type, len(words), *(part.to_pybytes() for part in words.buffers()[1:]))


@lru_cache(maxsize=256)
def _words_of(kind: pa.DataType, count: int, *parts: bytes) -> pd.Index:
    """Return strings by their buffers: each pass over a file finds the same ones."""
    words = pa.Array.from_buffers(kind, count, [None, *map(pa.py_buffer, parts)])
    levels = pd.Index(words.to_numpy(zero_copy_only=False), dtype=object)
    return indexed(levels) if levels.is_unique else levels


def _is_text(kind: pa.DataType) -> bool:
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _values(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if types.is_dictionary(kind) else kind


def _refuse_nested(schema: pa.Schema) -> None:
    for each in schema:
        if types.is_nested(each.type):
            raise catalogue.LISTS_OR_DICTS.error(name=f"Column {each.name!r} ({each.type})")


def data_columns(schema: pa.Schema) -> list[str]:
    """Return the columns of a table but for those that were the index of the pandas frame that it was made of."""
    index = [name for name in (schema.pandas_metadata or {}).get("index_columns", ()) if isinstance(name, str)]
    return [name for name in schema.names if name not in index]


def coded_columns(*terms: Terms) -> tuple[frozenset[str], frozenset[str]]:
    """Return the columns that formulas have as categories by ``C(...)``, and those that they compute with."""
    factors = [factor for each in terms for factor in (*each.factors, each.response) if factor is not None]
    coded = frozenset(name for factor in factors if factor.coded for name in factor.columns)
    plain = {factor for factor in factors if factor.source is None or factor.source in factor.columns}
    return coded, frozenset(name for factor in factors if factor not in plain for name in factor.columns)


@dataclass(frozen=True, eq=False)
class Part:
    """A file, or row groups of one, as plain values: a fragment itself would read its footer whenever it is pickled.

    Attributes
    ----------
    format : pyarrow.dataset.FileFormat or None
        How it is read; None of Parquet whose columns all have the types wanted, so that it is read without a scan,
        whose threads, filters and conversions cost as much as some columns.
    source : str or pyarrow.Buffer
        Its path.
    filesystem : pyarrow.fs.FileSystem or None
        Where it is.
    keys : pyarrow.dataset.Expression or None
        Its partition keys, if it is scanned.
    row_groups : tuple of int
        The row groups wanted, of Parquet.
    """

    format: pads.FileFormat | None
    source: Any
    filesystem: Any
    keys: pads.Expression | None
    row_groups: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Its path."""
        return self.source if isinstance(self.source, str) else "a buffer"

    def __str__(self) -> str:
        if not self.row_groups:
            return self.name
        first, last = self.row_groups[0], self.row_groups[-1]
        return f"row group {first} of {self.name}" if first == last else f"row groups {first} to {last} of {self.name}"

    def read(self, schema: pa.Schema) -> pa.Table:
        """Return its columns."""
        groups = {"row_groups": list(self.row_groups)} if self.row_groups else {}
        if self.format is None:
            with self._opened(schema, pre_buffer=True) as file:
                table = file.read_row_groups(**groups, columns=schema.names, use_threads=False)
            return table.select(schema.names)
        fragment = self.format.make_fragment(self.source, self.filesystem, self.keys, **groups)
        return fragment.to_table(schema=schema, use_threads=False, batch_size=_BATCH_ROWS)

    def batches(self, schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
        """Yield its columns, so many rows at a time, of which a batch holds some or all."""
        with self._opened(schema, pre_buffer=False, buffer_size=_STREAM_BYTES) as file:
            names = {"columns": schema.names, "row_groups": list(self.row_groups)}
            yield from file.iter_batches(rows, **names, use_threads=False)

    @contextmanager
    def _opened(self, schema: pa.Schema, **options: Any) -> Iterator[pq.ParquetFile]:
        """Yield its file, whose footer a process parses once: one of hundreds of row groups takes milliseconds."""
        text = [each.name for each in schema if types.is_dictionary(each.type)]
        with self.filesystem.open_input_file(self.source) as file:
            footer = _footer(file)
            yield pq.ParquetFile(file, metadata=_parsed(footer) if footer else None, read_dictionary=text, **options)


def _footer(file: pa.NativeFile) -> bytes:
    """Return the end of a Parquet file from its footer on; nothing if that is not where it should be."""
    size = file.size()
    tail = file.read_at(min(size, _TAIL_BYTES), max(size - _TAIL_BYTES, 0))
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if tail[-4:] != b"PAR1" or length > size:
        return b""
    return tail[-length:] if length <= len(tail) else file.read_at(length, size - length)


@lru_cache(maxsize=_FOOTERS)
def _parsed(footer: bytes) -> pq.FileMetaData:
    return pq.read_metadata(pa.BufferReader(footer))


@dataclass(frozen=True, eq=False)
class Piece:
    """What one task reads.

    Attributes
    ----------
    parts : tuple of Part
        Files, or row groups of these, one after the other.
    rows : int or None
        How many rows they have, if known.
    start : int or None
        The number of their first row in the whole table, if known.
    token : str
        Identifies them.
    cut : tuple of str and two int, or None
        Of some rows of a large row group: what identifies this opening of it, how many rows are before them, and how
        many rows all pieces but the last have.
    """

    parts: tuple[Part, ...]
    rows: int | None
    start: int | None
    token: str
    cut: tuple[str, int, int] | None = None

    def __str__(self) -> str:
        first, last = self.parts[0], self.parts[-1]
        return str(first) if len(self.parts) == 1 else f"{first.name} to {last.name}"

    def __dask_tokenize__(self) -> str:
        return self.token


@dataclass(frozen=True)
class _Unit:
    """The smallest part of a data set that is read by itself: a row group, or a file of another format than Parquet."""

    file: int
    row_group: int | None
    rows: int | None
    n_bytes: int


@dataclass(frozen=True, eq=False)
class ArrowTable:
    """A table in files, opened and not read; the footers of Parquet files are read once.

    Attributes
    ----------
    schema : pyarrow.Schema
        Its columns.
    fragments : tuple of pyarrow.dataset.FileFragment
        The files, in order.
    units : tuple
        Row groups of Parquet files, and files of other kinds.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> import pyarrow.dataset as pads
    >>> from dask_onestep.data.arrow import ArrowTable
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pd.DataFrame({"x": [1, 3], "y": [2, 4]}).to_parquet(f"{folder}/a.parquet")
    ...     frame, lengths = ArrowTable.of(pads.dataset(folder)).frame(["x"])
    ...     frame.compute()["x"].tolist(), lengths
    ([1, 3], (2,))
    """

    schema: pa.Schema
    fragments: tuple[pads.FileFragment, ...]
    units: tuple[_Unit, ...] = field(repr=False)

    @classmethod
    def of(cls, dataset: pads.Dataset) -> ArrowTable:
        """Return a data set, opened: the footers of its Parquet files are read, in threads."""
        fragments = tuple(dataset.get_fragments())
        with ThreadPoolExecutor(_THREADS) as threads:
            units = tuple(threads.map(_units, range(len(fragments)), fragments))
        return cls(_known_types(dataset.schema, fragments), fragments, tuple(unit for file in units for unit in file))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.schema.names)

    @property
    def dtypes(self) -> Mapping[str, Any]:
        """Dtypes of the columns, strings where files have dictionaries of these."""
        return dict(zip(self.columns, _meta(self.schema).dtypes, strict=True))

    def frame(
        self,
        columns: Sequence[str] | None = None,
        coded: Iterable[str] = (),
        computed: Iterable[str] = (),
        divided: bool = False,
    ) -> tuple[dd.DataFrame, Lengths | None]:
        """Return some of the columns, lazily, and the lengths of the partitions, as `layout` has them."""
        layout = self.layout(columns, coded, computed, divided)
        assert layout.frame is not None
        return layout.frame, layout.lengths

    def layout(
        self,
        columns: Sequence[str] | None = None,
        coded: Iterable[str] = (),
        computed: Iterable[str] = (),
        divided: bool = False,
    ) -> Layout:
        """Return some of the columns, lazily, in blocks of about 64 MiB, and how they are read; nothing is read.

        Columns of strings arrive as categoricals, the categories being those of the block.  If `divided`, so are large
        row groups, whose blocks should be read in order; their lengths are one tuple.
        """
        names = list(data_columns(self.schema) if columns is None else columns)
        schema = pa.schema([self.schema.field(name) for name in names])
        _refuse_nested(schema)
        _check_columns(self.fragments, schema)
        text = {each.name for each in schema if _is_text(_values(each.type))}
        groups = self._pieces(schema, text, divided)
        pieces = [piece for group in groups for piece in group]
        known = all(piece.rows is not None for piece in pieces)
        how: dict[str, Any] = {"schema": schema, "coded": tuple(sorted(coded))}
        how["encoded"] = tuple(sorted(text.difference(computed)))
        with dask.config.set({"dataframe.convert-string": False}):  # another step for every block
            frame = dd.from_map(_read, pieces, **how, meta=_meta(schema), enforce_metadata=False, label="read-files")
        rows = [tuple(piece.rows or 0 for piece in group) for group in groups]
        lengths = tuple(each if len(each) > 1 else each[0] for each in rows) if known else None
        words = text | {each.name for each in schema if types.is_dictionary(each.type)}
        ranges = self.ranges({*words, *coded}.intersection(names)) if divided else {}
        return Layout(lengths, ranges, frame, tuple(partial(_read_block, piece, **how) for piece in pieces))

    def ranges(self, columns: Collection[str]) -> dict[str, int]:
        """Return how many different pairs of least and greatest value the row groups have, by column.

        The footers of Parquet files tell these values.  A row group whose footer does not differs from all others.
        """
        files = {unit.file: self.fragments[unit.file] for unit in self.units if unit.row_group is not None}
        if not columns or not files:
            return {}
        found: dict[str, set[Any]] = {name: set() for name in columns}
        for file, fragment in files.items():
            keys, footer = pads.get_partition_keys(fragment.partition_expression), fragment.metadata
            places = {footer.schema.column(at).path: at for at in range(footer.num_columns)}
            for row_group, name in product(fragment.row_groups, columns):
                if name in keys:
                    found[name].add(keys[name])
                    continue
                known = footer.row_group(row_group.id).column(places[name]).statistics if name in places else None
                if known is not None and known.has_min_max:
                    found[name].add((known.min_raw, known.max_raw))  # a text may be cut within a character
                else:
                    found[name].add((file, row_group.id, None))
        return {name: len(each) for name, each in found.items()}

    def _pieces(self, schema: pa.Schema, text: Collection[str], divided: bool) -> list[list[Piece]]:
        width = max(sum(map(_width, schema.types)), 1)
        known = all(unit.rows is not None for unit in self.units)
        most = _block_rows(self.units, width)
        pieces: list[list[Piece]] = []
        start = 0
        for group in _joined(self.units, most):
            files = dict.fromkeys(unit.file for unit in group)
            parts = tuple(
                _part(self.fragments[file], [unit.row_group for unit in group if unit.file == file], schema, text)
                for file in files
            )
            rows = sum(unit.rows or 0 for unit in group)
            token = tokenize(str([(str(part), str(part.keys)) for part in parts]), str(group))
            piece = Piece(parts, rows if known else None, start if known else None, token)
            large = known and rows > max(_MOST_OF_ROW_GROUP // width, most)
            alone = len(group) == 1 and parts[0].format is None
            pieces.append(_cut(piece, most) if large and alone and divided else [piece])
            start += rows
        return pieces


def _cut(piece: Piece, step: int) -> list[Piece]:
    """Return the pieces, of so many rows, of a large row group."""
    assert piece.rows is not None
    assert piece.start is not None
    opening, pieces = uuid4().hex, []
    for skip in range(0, piece.rows, step):
        rows, token = min(step, piece.rows - skip), tokenize(piece.token, skip, step)
        pieces.append(Piece(piece.parts, rows, piece.start + skip, token, (opening, skip, step)))
    return pieces


def _known_types(schema: pa.Schema, fragments: Sequence[pads.FileFragment]) -> pa.Schema:
    """Return the schema with types of later files for columns that have missing values alone in the first."""
    for number, each in enumerate(schema):
        if types.is_null(each.type):
            found = (one.type for own in fragments for one in own.physical_schema if one.name == each.name)
            kind = next((kind for kind in found if not types.is_null(kind)), each.type)
            schema = schema.set(number, each.with_type(kind))
    return schema


def is_whole(dataset: pads.Dataset) -> bool:
    """Return whether a data set can be read as a whole only: it has a filter, or is in memory."""
    try:
        fragments = dataset.get_fragments()
    except ValueError:  # as pyarrow refuses it of one with a filter
        return True
    return not all(isinstance(fragment, pads.FileFragment) for fragment in fragments)


@dataclass(frozen=True, eq=False)
class WholeTable:
    """A data set that is read as a whole: pyarrow gives neither its filter nor parts of what the filter leaves.

    Attributes
    ----------
    dataset : pyarrow.dataset.Dataset
        The data set.

    Examples
    --------
    >>> import pyarrow as pa
    >>> import pyarrow.dataset as pads
    >>> from dask_onestep.data.arrow import WholeTable
    >>> dataset = pads.dataset(pa.table({"x": [1, 2, 3], "y": [4, 5, 6]})).filter(pads.field("x") > 1)
    >>> WholeTable(dataset).frame(["y"])[0]["y"].tolist()
    [5, 6]
    """

    dataset: pads.Dataset

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.dataset.schema.names)

    @property
    def dtypes(self) -> Mapping[str, Any]:
        """Dtypes of the columns."""
        return dict(zip(self.columns, _meta(self.dataset.schema).dtypes, strict=True))

    def frame(
        self,
        columns: Sequence[str] | None = None,
        coded: Iterable[str] = (),
        computed: Iterable[str] = (),
        divided: bool = False,
    ) -> tuple[pd.DataFrame, None]:
        """Return some of the columns, read now."""
        names = data_columns(self.dataset.schema) if columns is None else columns
        reader = self.dataset.scanner(columns=list(names)).to_reader()
        batches, size = [], 0
        for batch in reader:
            size += batch.nbytes
            if size > _MOST_IN_MEMORY:
                raise ValueError(
                    f"The filter of this pyarrow Dataset selects more than {_MOST_IN_MEMORY / 2**30:g} GiB of the "
                    "columns in use, and a filtered Dataset cannot be read in parts. Use "
                    "dask.dataframe.read_parquet(path, filters=...), or write the rows with "
                    "pyarrow.dataset.write_dataset(dataset, folder) and pass the folder."
                )
            batches.append(batch)
        return frame_of_arrow(pa.Table.from_batches(batches, reader.schema), coded), None


def _part(
    fragment: pads.FileFragment, row_groups: Sequence[int | None], schema: pa.Schema, text: Collection[str]
) -> Part:
    """Return row groups of a file, strings to be read as dictionaries, as Parquet files have them."""
    kind, files = fragment.format, fragment.filesystem
    source = fragment.path if fragment.buffer is None else fragment.buffer
    numbers = tuple(number for number in row_groups if number is not None)
    if kind == pads.ParquetFileFormat() and fragment.buffer is None and _has(fragment.physical_schema, schema):
        return Part(None, source, files, None, numbers)
    if isinstance(kind, pads.ParquetFileFormat) and text:
        old = kind.read_options
        options = pads.ParquetReadOptions(
            dictionary_columns={*old.dictionary_columns, *text},
            coerce_int96_timestamp_unit=old.coerce_int96_timestamp_unit,
        )
        scanning = kind.default_fragment_scan_options
        kind = pads.ParquetFileFormat(read_options=options, default_fragment_scan_options=scanning)
    return Part(kind, source, files, fragment.partition_expression, numbers)


def _has(own: pa.Schema, wanted: pa.Schema) -> bool:
    """Return whether a file has columns with exactly these types."""
    return all(own.get_field_index(each.name) >= 0 and own.field(each.name).type == each.type for each in wanted)


def _units(number: int, fragment: pads.Fragment) -> list[_Unit]:
    """Return a file's row groups, or the file; besides Parquet only Feather tells how many rows there are."""
    try:
        if isinstance(fragment, pads.ParquetFileFragment):
            return [_Unit(number, part.id, part.num_rows, part.total_byte_size) for part in fragment.row_groups]
        tells = isinstance(getattr(fragment, "format", None), pads.IpcFileFormat)
        return [_Unit(number, None, fragment.count_rows() if tells else None, 0)]
    except (ValueError, OSError) as error:
        kind = "Parquet" if isinstance(fragment, pads.ParquetFileFragment) else "Feather"
        raise ValueError(f"{fragment.path} cannot be read as {kind}: {error}") from error


def _block_rows(units: Sequence[_Unit], row_bytes: int) -> int:
    """Return how many rows a block has at most."""
    total = sum(unit.rows or 0 for unit in units) * row_bytes
    return min(_BLOCK_BYTES, max(_SMALL_BLOCK_BYTES, total // _MANY_BLOCKS)) // row_bytes


def _joined(units: Sequence[_Unit], most: int) -> list[list[_Unit]]:
    """Return consecutive units in groups of about so many rows; one group, without units, if there are none."""
    groups: list[list[_Unit]] = [[]]
    rows = 0
    for unit in units:
        if unit.rows is None or (groups[-1] and rows + unit.rows > most):
            groups.append([])
            rows = 0
        groups[-1].append(unit)
        rows += most if unit.rows is None else unit.rows
    return [group for group in groups if group] or [[]]


def _width(kind: pa.DataType) -> int:
    """Return the bytes of a value in a block: of strings those of their codes."""
    return -(-kind.bit_width // 8) if types.is_primitive(kind) else 8


def _meta(schema: pa.Schema) -> pd.DataFrame:
    """Return a frame without rows: a file's dictionaries are strings, since each block has its own."""
    plain = pa.schema([(each.name, _values(each.type)) for each in schema])
    return frame_of_arrow(plain.empty_table())


def _check_columns(fragments: Sequence[pads.FileFragment], schema: pa.Schema) -> None:
    """Raise if a Parquet file lacks a column, or has strings where others have numbers."""
    seen: dict[str, tuple[pa.DataType, str]] = {}
    for fragment in fragments:
        if not isinstance(fragment, pads.ParquetFileFragment):
            continue
        keys = pads.get_partition_keys(fragment.partition_expression)
        own = {each.name: _values(each.type) for each in fragment.physical_schema}
        for each in schema:
            if each.name in keys:
                continue
            kind, first = seen.get(each.name, (_values(each.type), "the schema"))
            if each.name not in own:
                what = f"{fragment.path} has no column {each.name!r}, which {first} has"
                raise catalogue.UNLIKE_FILE.error(what=what)
            found = own[each.name]
            if _is_text(found) != _is_text(kind) and not types.is_null(found) and not types.is_null(kind):
                what = f"column {each.name!r} is {_said(kind)} in {first} and {_said(found)} in {fragment.path}"
                raise catalogue.UNLIKE_FILE.error(what=what)
            seen.setdefault(each.name, (found, fragment.path))


def _said(kind: pa.DataType) -> str:
    return "string" if _is_text(kind) else str(np.dtype(kind.to_pandas_dtype()))


class _Stream(local):
    """The row group that a thread reads in several blocks, and how many rows of it are decoded."""

    opening: str | None = None
    at = 0
    batches: Iterator[pa.RecordBatch] = iter(())


_stream = _Stream()


def _some_rows(piece: Piece, schema: pa.Schema) -> pa.Table:
    """Return a piece of a row group; what its thread has decoded for the pieces before it is not decoded again."""
    assert piece.cut is not None
    assert piece.rows is not None
    opening, skip, step = piece.cut
    if _stream.opening != opening or _stream.at > skip:
        _stream.at, _stream.batches = 0, piece.parts[0].batches(schema, step)
    _stream.opening = None  # a read that fails is repeated from the row group's start
    found: list[pa.RecordBatch] = []
    while _stream.at < skip + piece.rows:
        batch = next(_stream.batches, None)
        if batch is None:
            raise ValueError(f"The file has changed since it was opened: {piece} now has fewer rows.")
        found += [batch] if _stream.at >= skip else []
        _stream.at += len(batch)
    if piece.rows < step:  # the last one
        _stream.batches = iter(())
    else:
        _stream.opening = opening
    return pa.Table.from_batches(found).select(schema.names)


def _read(piece: Piece, schema: pa.Schema, coded: tuple[str, ...], encoded: tuple[str, ...]) -> pd.DataFrame:
    frame = frame_of_arrow(_arrow(piece, schema, encoded), coded, encoded)
    if piece.start is not None:
        frame.index = pd.RangeIndex(piece.start, piece.start + len(frame))
    if piece.parts:
        frame.attrs[SOURCE] = str(piece)
    return frame


def _read_block(piece: Piece, schema: pa.Schema, coded: tuple[str, ...], encoded: tuple[str, ...]) -> list[Block]:
    table = table_of_arrow(_arrow(piece, schema, encoded), coded, encoded)
    return [Block(table, source=str(piece) if piece.parts else None)]


def _arrow(piece: Piece, schema: pa.Schema, encoded: tuple[str, ...]) -> pa.Table:
    tables = []
    for part in piece.parts:
        with _noting(f"In {part}."):
            own = _as_dictionaries(schema) if part.row_groups else schema
            tables.append(part.read(own) if piece.cut is None else _some_rows(piece, own))
    table = pa.concat_tables(tables, promote_options="permissive") if tables else schema.empty_table()
    return _decoded(table, encoded)


def _as_dictionaries(schema: pa.Schema) -> pa.Schema:
    fields = [each.with_type(pa.dictionary(pa.int32(), each.type)) if _is_text(each.type) else each for each in schema]
    return pa.schema(fields)


def _decoded(table: pa.Table, encoded: Collection[str]) -> pa.Table:
    """Return a table with strings in place of dictionaries in the columns that are computed with."""
    for number, each in enumerate(table.schema):
        if types.is_dictionary(each.type) and each.name not in encoded:
            table = table.set_column(number, each.name, table[number].cast(each.type.value_type))
    return table


@contextmanager
def _noting(where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(where)
        raise
