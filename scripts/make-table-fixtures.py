#!/usr/bin/env python3
"""Writes tests/tables/: the same three rows as JSON Lines, Parquet (snappy, zstd) and Arrow (file, stream).

Made with pyarrow 26 (`pip install pyarrow`); the files are committed, so this is only needed to change them.
"""
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = [
    {
        "id": f"q{i}",
        "question": question,
        "choices": {"text": texts, "label": ["A", "B", "C", "D"][: len(texts)]},
        "answerKey": "AB"[i % 2],
        "label": i,
        "score": i + 0.5,
        "right": i == 1,
        "none": None,
    }
    for i, (question, texts) in enumerate(
        [("Why?", ["a", "b ", "c"]), ("Été\u2028or not?", ["x", "y"]), ("", ["one", "two", "three", "four"])]
    )
]

folder = pathlib.Path(__file__).parent.parent / "tests" / "tables"
folder.mkdir(exist_ok=True)
table = pa.Table.from_pylist(ROWS)
# As `datasets` keeps labels of repeated texts, and as newer writers keep text.
table = table.set_column(3, "answerKey", table["answerKey"].dictionary_encode())
pq.write_table(table, folder / "snappy.parquet", compression="snappy", row_group_size=2)
pq.write_table(table, folder / "zstd.parquet", compression="zstd", use_dictionary=False)
# A column without a like in JSON, which readers leave out.
times = table.append_column("time", pa.array([0, 1, 2], pa.timestamp("s")))
with pa.OSFile(str(folder / "file.arrow"), "wb") as sink, pa.ipc.new_file(sink, times.schema) as writer:
    writer.write_table(times)
options = pa.ipc.IpcWriteOptions(compression="zstd")
with pa.OSFile(str(folder / "stream.arrow"), "wb") as sink:
    with pa.ipc.new_stream(sink, times.schema, options=options) as writer:
        writer.write_table(times, max_chunksize=2)
(folder / "rows.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS))
