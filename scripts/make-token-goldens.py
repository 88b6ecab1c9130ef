#!/usr/bin/env python3
"""Writes tests/golden/token_ids.json: how the reference implementations cut the shared texts into tokens.

    pip install tokenizers sentencepiece
    python scripts/make-token-goldens.py ../shared/data

`tokenizer.json` files by Hugging Face's `tokenizers`, the llama2.c vocabulary by `sentencepiece` from the model that it was
exported from. A text file gives its lines, a JSON Lines file the strings of its objects by sorted keys; of long ones every
n-th piece is taken, so that about half a megabyte is left. The hash is SHA-256 over the ids of all pieces, each as four
bytes, the lowest first, and 0xffffffff after each piece.
"""
import hashlib
import json
import pathlib
import struct
import subprocess
import sys

import sentencepiece
import tokenizers

MOST_BYTES = 500_000
TEXTS = [
    "benchmarks/arc_easy/test.jsonl",
    "benchmarks/arc_challenge/test.jsonl",
    "benchmarks/boolq/validation.jsonl.zst",
    "benchmarks/hellaswag/validation.jsonl.zst",
    "benchmarks/mmlu/test.jsonl.zst",
    "benchmarks/openbookqa/test.jsonl",
    "benchmarks/piqa/validation.jsonl",
    "benchmarks/siqa/validation.jsonl",
    "benchmarks/winogrande/validation.jsonl",
    "corpora/classics/valid.txt",
    "corpora/openstax/valid.txt",
    "corpora/tinystories_sample/valid.txt",
    "corpora/wikitext-2-raw/wiki.test.raw",
]


def read(path):
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dc", str(path)], capture_output=True, check=True).stdout.decode()
    return path.read_bytes().decode()


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for element in value:
            yield from strings(element)
    elif isinstance(value, dict):
        for key in sorted(value):
            yield from strings(value[key])


def pieces(path):
    lines = read(path).split("\n")
    if ".jsonl" in path.name:
        lines = [text for line in lines if line for text in strings(json.loads(line))]
    # A piece of nothing has no tokens anywhere.
    lines = [line for line in lines if line]
    size = sum(len(line.encode()) for line in lines)
    return lines[:: size // MOST_BYTES + 1]


def is_plain(piece):
    """SentencePiece drops extra spaces, which llama2.c keeps, and what looks like a special token is one to some."""
    return "<" not in piece and "  " not in piece and piece == piece.strip(" ")


def reference(data, name):
    if name == "stories260K":
        model = sentencepiece.SentencePieceProcessor(model_file=str(data / "models/stories260K/tok512.model"))
        return lambda text: model.encode(text)
    model = tokenizers.Tokenizer.from_file(str(data / "tokenizers" / name / "tokenizer.json"))
    return lambda text: model.encode(text).ids


def main():
    data = pathlib.Path(sys.argv[1])
    rows = []
    for name in ["smollm2", "neox-20b", "stories260K"]:
        encode = reference(data, name)
        for text in TEXTS:
            digest, tokens = hashlib.sha256(), 0
            for piece in pieces(data / text):
                if name == "stories260K" and not is_plain(piece):
                    continue
                ids = encode(piece)
                tokens += len(ids)
                digest.update(struct.pack(f"<{len(ids)}I", *ids) + b"\xff\xff\xff\xff")
            rows.append({"tokenizer": name, "text": text, "tokens": tokens, "sha256": digest.hexdigest()})
    root = pathlib.Path(__file__).resolve().parent.parent
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    (root / "tests/golden/token_ids.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
