"""lm-evaluation-harness over local files, beside this crate: what compare-lm-eval and bench-vs-lm-eval share.

The harness's own task definitions are used, only their files are replaced; the model is a folder that `efficientllm
export` wrote, in f32; its `tokenizer.json` is read as it is (transformers 5 would rebuild the pre-tokenizer of some).
"""
import csv
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "true"

# Our name: folder, split that is scored, split of the examples, name in the harness.
TASKS = {
    "arc_easy": ("arc_easy", "test", "train", "arc_easy"),
    "arc_challenge": ("arc_challenge", "test", "train", "arc_challenge"),
    "openbookqa": ("openbookqa", "test", "train", "openbookqa"),
    "piqa": ("piqa", "validation", None, "piqa"),
    "boolq": ("boolq", "validation", None, "boolq"),
    "hellaswag": ("hellaswag", "validation", None, "hellaswag"),
    "winogrande": ("winogrande", "validation", None, "winogrande"),
    "social_iqa": ("siqa", "validation", None, "social_iqa"),
    "mmlu": ("mmlu", "test", "dev", "mmlu_{}"),
    "mmlu_continuation": ("mmlu", "test", "dev", "mmlu_{}_continuation"),
}
# Two of each group; their items are the first of the file.
SUBJECTS = ["abstract_algebra", "anatomy", "formal_logic", "philosophy", "econometrics", "virology"]


def say(text):
    print(text, file=sys.stderr, flush=True)


def lines_of(text):
    """Lines end at newlines alone: Python's own splitlines knows more characters."""
    return [line for line in text.split("\n") if line]


def read_lines(folder, split):
    plain, packed = folder / f"{split}.jsonl", folder / f"{split}.jsonl.zst"
    if plain.exists():
        return lines_of(plain.read_text())
    return lines_of(subprocess.run(["zstd", "-dc", str(packed)], capture_output=True, check=True).stdout.decode())


class Files:
    """The first items of each task, plain, in a folder that both sides read."""

    def __init__(self, data, folder, limit, num_fewshot=0):
        self.data, self.folder, self.limit, self.num_fewshot = pathlib.Path(data), pathlib.Path(folder), limit, num_fewshot

    def write(self, task):
        place, split, examples, _ = TASKS[task]
        source, target = self.data / place, self.folder / place
        target.mkdir(parents=True, exist_ok=True)
        lines = read_lines(source, split)
        if place == "mmlu":
            lines = [line for line in lines if json.loads(line)["subject"] in SUBJECTS]
            per_subject, kept, counts = -(-self.limit // len(SUBJECTS)), [], {}
            for line in lines:
                subject = json.loads(line)["subject"]
                counts[subject] = counts.get(subject, 0) + 1
                if counts[subject] <= per_subject:
                    kept.append(line)
            lines = kept
        elif self.limit:
            lines = lines[: self.limit]
        (target / f"{split}.jsonl").write_text("".join(line + "\n" for line in lines))
        if examples and self.num_fewshot:
            lines = read_lines(source, examples)
            (target / f"{examples}.jsonl").write_text("".join(line + "\n" for line in lines))

    def harness_tasks(self, task, manager):
        """The harness's tasks over these files, in the order of our items."""
        place, split, examples, name = TASKS[task]
        files = {split: self.folder / place / f"{split}.jsonl"}
        if examples and self.num_fewshot:
            files[examples] = self.folder / place / f"{examples}.jsonl"
        if place != "mmlu":
            return [self.load(manager, name, files)]
        tasks = []
        order = list(dict.fromkeys(json.loads(line)["subject"] for line in lines_of(files[split].read_text())))
        for subject in order:
            own = {}
            for part, path in files.items():
                own[part] = self.folder / place / f"{subject}_{part}.jsonl"
                lines = [line for line in lines_of(path.read_text()) if json.loads(line)["subject"] == subject]
                own[part].write_text("".join(line + "\n" for line in lines))
            # The documented continuation form has no sentence before the question; the harness's file has one.
            extra = {"description": ""} if task == "mmlu_continuation" else {}
            tasks.append(self.load(manager, name.format(subject), own, **extra))
        return tasks

    def load(self, manager, name, files, **extra):
        kwargs = {"data_files": {split: str(path) for split, path in files.items()}}
        config = {"task": name, "dataset_path": "json", "dataset_name": None, "dataset_kwargs": kwargs, **extra}
        for split in ["training", "validation", "test"]:
            file = {"training": "train"}.get(split, split)
            config[f"{split}_split"] = file if file in files else None
        config["fewshot_split"] = None
        if self.num_fewshot:
            config["num_fewshot"] = self.num_fewshot
            config["fewshot_split"] = next(split for split in files if split in ("train", "dev"))
            config["fewshot_config"] = {"sampler": "first_n"}
        return harness_task(manager, config)


def harness_task(manager, config):
    """A task of the harness with some settings replaced; lm_eval 0.4.13 has no public way but a file."""
    return manager._factory.build(manager._entry(config["task"]), overrides=config, registry=manager._index)


def special_tokens(folder, vocabulary):
    """The tokens that begin and end a text, by the tokenizer's own configuration or else by their usual names."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) if path.exists() else {}
    usual = {
        "bos_token": ["<s>", "<|begin_of_text|>", "<bos>"],
        "eos_token": ["<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>"],
    }
    tokens = {}
    for key, names in usual.items():
        token = config.get(key) or next((name for name in names if name in vocabulary), None)
        if token:
            tokens[key] = token["content"] if isinstance(token, dict) else token
    return tokens


def export(binary, model, tokenizer, folder):
    """The model as a folder for transformers; a folder `tokenizer` lends its files."""
    ours(binary, ["export", model, "--out", folder])
    for name in ["tokenizer.json", "tokenizer_config.json"] if tokenizer else []:
        shutil.copy(pathlib.Path(tokenizer) / name, folder / name)
        # The list of what the export wrote is no longer that of the folder.
        (folder / "SHA256SUMS").unlink(missing_ok=True)


def harness_model(folder, batch_size, max_length, threads, precision="f32"):
    """The model of `folder` in the harness, on the CPU, weights and all in f32 or bf16."""
    import torch
    import transformers
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(threads)
    folder = pathlib.Path(folder)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    for key, token in special_tokens(folder, tokenizer.get_vocab()).items():
        setattr(tokenizer, key, token)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    return HFLM(
        pretrained=model, tokenizer=tokenizer, backend="causal", device="cpu", dtype=str(dtype).removeprefix("torch."),
        batch_size=batch_size, max_length=max_length,
    )


def requests_of(task, limit=None):
    """The harness's requests of one task, item by item."""
    task.build_all_requests(limit=limit, rank=0, world_size=1)
    return list(task.instances)


def ours(binary, arguments):
    """Runs the binary; returns what it printed."""
    result = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"error: {binary} {' '.join(map(str, arguments))}\n{result.stderr}")
    return result.stdout


def our_items(folder):
    """Task → item → log-likelihoods, in the order of the file."""
    tasks = {}
    with open(pathlib.Path(folder) / "items.csv", newline="") as file:
        for row in csv.DictReader(file):
            # An item is its place in the file: ids repeat.
            item = tasks.setdefault(row["task"], {}).setdefault(int(row["place"]), [])
            item.append(float(row["loglik"]))
    return tasks


def wikitext_pages(raw):
    """The documents of a raw WikiText file: each begins at a heading of level one."""
    pages, page = [], []
    for line in raw.split("\n"):
        reduced = line.replace("= = =", "===").replace("= =", "==").strip()
        if re.match(r"^= .* =$", reduced) and page:
            pages.append("\n".join(page))
            page = []
        page.append(line)
    pages.append("\n".join(page))
    return [page for page in pages if page.strip()]
