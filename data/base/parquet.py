"""Parquet for Pivotal, by pyarrow: the program holds this text and runs it with `python3 -c`.

    read FILE                      prints each row as a line of JSON
    write LINES FILE [NAME TYPE].. writes lines of JSON as rows with these columns, and prints the
                                   number of bytes that Arrow needs for them

What goes wrong is one line on standard error; exit code 3 says that pyarrow is missing.
"""
import sys

sys.path[:] = [folder for folder in sys.path if folder]  # no modules of the current folder
import itertools
import json
import math

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    sys.stderr.write(" ".join(str(error).split()))
    sys.exit(3)


def plain(value):
    """What JSON has no number for (NaN, infinity) becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def other(value):
    """Bytes (pictures, sound) become null; dates, times and decimals become text."""
    return None if isinstance(value, (bytes, bytearray)) else str(value)


def line_of(row):
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False, default=other)
    except ValueError:
        return json.dumps(plain(row), ensure_ascii=False, default=other)


def read(path):
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            raise ValueError("two columns have the same name")
        for batch in file.iter_batches(batch_size=512):
            lines = "".join(line_of(row) + "\n" for row in batch.to_pylist())
            sys.stdout.buffer.write(lines.encode())
    sys.stdout.buffer.flush()


TYPES = {
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
    "list<int32>": pa.list_(pa.int32()),
    "list<float>": pa.list_(pa.float32()),
}


def write(lines, path, *columns):
    schema = pa.schema([(name, TYPES[kind]) for name, kind in zip(columns[::2], columns[1::2])])
    size = 0
    with open(lines, encoding="utf-8") as source:
        with pq.ParquetWriter(path, schema, write_page_checksum=True) as file:
            while rows := [json.loads(line) for line in itertools.islice(source, 10000)]:
                table = pa.Table.from_pylist(rows, schema=schema)
                file.write_table(table)
                size += table.nbytes
    print(size)


try:
    {"read": read, "write": write}[sys.argv[1]](*sys.argv[2:])
except BrokenPipeError:
    sys.exit(1)  # the program has read enough
except Exception as error:
    sys.stderr.write(" ".join(str(error).split()) or type(error).__name__)
    sys.exit(1)
