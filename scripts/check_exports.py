"""The checks of scripts/check-exports: see there."""
import copy
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)
TEXT = "The cat sat on the mat, and 12 dogs ran off.\n\nWhat now? "
CORPUS = [TEXT, "A dog and a cat sat on a mat.", "Nothing now, and then 345 mats ran."] * 20


def byte_level(specials, template=None):
    """Byte-level BPE whose special tokens have the first ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=specials, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS, trainer)
    if template:
        special = [(template, tokenizer.token_to_id(template))]
        tokenizer.post_processor = processors.TemplateProcessing(f"{template} $A", special_tokens=special)
    return tokenizer


def sentence_piece():
    """BPE over pieces with `▁`, bytes as <0xNN>."""
    specials = ["<unk>", "<s>", "</s>"]
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=120, special_tokens=specials))
    model = json.loads(trained.to_str())["model"]
    tokens = specials + [f"<0x{byte:02X}>" for byte in range(256)] + [t for t in model["vocab"] if t not in specials]
    vocab = {token: id for id, token in enumerate(tokens)}
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in specials])
    return tokenizer


def config_of(kind, vocab, **more):
    base = dict(
        vocab_size=vocab, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=False,
    )
    base.update(more)
    return {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config, "mistral": transformers.MistralConfig}[kind](**base)


def cases():
    """name, tokenizer, config, names of tokens for the tokenizer's config, generation config"""
    plain = byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    named = dict(bos_token="<|im_start|>", eos_token="<|im_end|>")
    size = plain.get_vocab_size()
    yield "llama, a list of ends", plain, config_of("llama", size, eos_token_id=[0, 2], bos_token_id=1), named, dict(eos_token_id=[0, 2], bos_token_id=1)
    yield "llama, tied, more rows than tokens", plain, config_of("llama", size + 20, tie_word_embeddings=True, eos_token_id=2, bos_token_id=1), named, {}
    odd = byte_level(["<|fin|>", "<|go|>"], template="<|go|>")
    yield "llama, odd names, a template", odd, config_of("llama", odd.get_vocab_size(), eos_token_id=0, bos_token_id=1), dict(bos_token="<|go|>", eos_token="<|fin|>"), {}
    yield "llama, no bos", plain, config_of("llama", size, eos_token_id=0, bos_token_id=None), dict(eos_token="<|endoftext|>"), {}
    yield "qwen2", plain, config_of("qwen2", size, eos_token_id=[2, 0], bos_token_id=None), dict(eos_token="<|im_end|>", pad_token="<|endoftext|>"), dict(eos_token_id=[2, 0], pad_token_id=0)
    yield "mistral, heads that do not divide the width", plain, config_of("mistral", size, num_attention_heads=3, num_key_value_heads=1, head_dim=8, sliding_window=None, eos_token_id=2, bos_token_id=1), named, {}
    pieces = sentence_piece()
    yield "llama, pieces", pieces, config_of("llama", pieces.get_vocab_size(), eos_token_id=2, bos_token_id=1), dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>"), {}


def stops(model, ends, prompt):
    """New tokens of a model that is made to give, whatever stands before, the end token `ends` at once; without: as it is."""
    model = copy.deepcopy(model)
    if ends is not None:
        with torch.no_grad():
            head = torch.nn.Linear(model.config.hidden_size, model.config.vocab_size, bias=True)
            head.weight.zero_(), head.bias.zero_()
            head.bias[ends] = 1.0
            model.lm_head = head
    with torch.no_grad():
        out = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=12)
    return out[0].tolist()


def ids_of(value):
    return [] if value is None else sorted(value if isinstance(value, list) else [value])


def check(name, source, exported, exact):
    """`exact`: the folder holds the very weights; else a GGUF file's, of 16 bits."""
    faults = []
    before, after = (AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval() for place in (source, exported))
    _, info = AutoModelForCausalLM.from_pretrained(exported, dtype=torch.float32, output_loading_info=True)
    faults += [f"{key}: {sorted(map(str, value))}" for key, value in info.items() if value]
    one, other = AutoTokenizer.from_pretrained(source), AutoTokenizer.from_pretrained(exported)
    own = Tokenizer.from_file(os.path.join(exported, "tokenizer.json"))
    ids = one(TEXT)["input_ids"]
    if other(TEXT)["input_ids"] != ids:
        faults.append(f"AutoTokenizer gives {other(TEXT)['input_ids'][:12]}…, not {ids[:12]}…")
    # Of some families (Qwen2) transformers 5 builds the tokenizer anew, whatever the files say: then the source's, too.
    as_it_is = Tokenizer.from_file(os.path.join(source, "tokenizer.json")).encode(TEXT).ids == ids
    if as_it_is and own.encode(TEXT).ids != other(TEXT)["input_ids"]:
        faults.append("AutoTokenizer does not give the ids of tokenizer.json")
    for token in ["bos_token", "eos_token"]:
        if getattr(one, token) != getattr(other, token) and (exact or getattr(one, token) is not None):
            faults.append(f"{token} {getattr(other, token)!r}, not {getattr(one, token)!r}")
    prompt = torch.tensor([ids])
    with torch.no_grad():
        expected = before(prompt).logits
        worst = (expected - after(prompt).logits).abs().max().item()
    # F16 rounds a weight by 2^-11 of itself; some such roundings add up over two layers.
    if worst > (1e-4 if exact else 2**-8 * expected.abs().max().item()):
        faults.append(f"logits differ by {worst}")
    kept = ids_of(before.generation_config.eos_token_id)
    found = ids_of(after.generation_config.eos_token_id)
    if not set(kept) <= set(found) or ids_of(after.config.eos_token_id) != found:
        faults.append(f"ends {found} (config {ids_of(after.config.eos_token_id)}), not {kept}")
    if exact and stops(before, None, prompt) != stops(after, None, prompt):
        faults.append("generates other tokens")
    for end in kept:
        if stops(before, end, prompt) != stops(after, end, prompt):
            faults.append(f"does not stop at token {end} as the source does")
    print(f"{'FAILED' if faults else 'ok':6}  {name} ({type(after).__name__}; logits within {worst:.1e}, ends {found})")
    for fault in faults:
        print(f"        {fault}")
    return not faults


def main(binary):
    good = True
    with tempfile.TemporaryDirectory() as parent:
        for number, (name, tokenizer, config, names, generation) in enumerate(cases()):
            folder = pathlib.Path(parent) / str(number)
            source = folder / "source"
            torch.manual_seed(number)
            model = AutoModelForCausalLM.from_config(config)
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    torch.nn.init.normal_(parameter, std=0.3)
            for key, value in generation.items():
                setattr(model.generation_config, key, value)
            model.save_pretrained(source)
            PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(source)

            def export(place, out):
                command = [binary, "export", str(place), "--out", str(out), "--source-licence", "mit"]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode != 0:
                    raise SystemExit(f"{name}: {' '.join(command)} failed\n{done.stderr}")

            export(source, folder / "hf")
            good &= check(name, source, folder / "hf", True)
            if "pieces" in name:
                continue  # no GGUF tables stand for a tokenizer.json of pieces
            export(source, folder / "model.gguf")
            export(folder / "model.gguf", folder / "back")
            good &= check(f"{name}, by way of a GGUF file", source, folder / "back", False)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
