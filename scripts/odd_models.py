"""Small random models with odd tokenizers and files, for `compare-lm-eval --odd`: what guesses about either get wrong."""
import pathlib

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from check_exports import CORPUS, byte_level, config_of, sentence_piece


def normalised(normalizer):
    """Byte-level BPE behind a normaliser, which makes other characters of a text, or fewer."""
    tokenizer = byte_level(["<|endoftext|>"])
    tokenizer.normalizer = normalizer
    return tokenizer


def characters():
    """Characters without spaces: words are cut at them and they are lost."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.Fuse()
    trainer = trainers.BpeTrainer(vocab_size=90, special_tokens=["<unk>", "<|endoftext|>"])
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def kinds():
    """Name, tokenizer, config, names of the tokens that begin and end a text, and whether the tied head is stored, too."""
    end = dict(eos_token="<|endoftext|>")
    plain = byte_level(["<|endoftext|>"])
    size = plain.get_vocab_size()
    yield "a head that is tied and stored", plain, config_of("llama", size, tie_word_embeddings=True), end, True
    yield "a tied head, more rows than tokens", plain, config_of("llama", size + 9, tie_word_embeddings=True), end, False
    pieces = sentence_piece()
    names = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    yield "a space before every text", pieces, config_of("llama", pieces.get_vocab_size()), names, False
    for name, normalizer in [
        ("case is folded", normalizers.Lowercase()),
        ("accents and widths are folded", normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents()])),
        ("vowels are dropped", normalizers.Replace("e", "")),
    ]:
        tokenizer = normalised(normalizer)
        yield name, tokenizer, config_of("llama", tokenizer.get_vocab_size()), end, False
    lost = characters()
    yield "spaces are lost", lost, config_of("llama", lost.get_vocab_size()), dict(unk_token="<unk>", **end), False
    odd = byte_level(["<|fin|>", "<|go|>"], template="<|go|>")
    names = dict(bos_token="<|go|>", eos_token="<|fin|>")
    yield "other names, and a beginning by template", odd, config_of("llama", odd.get_vocab_size()), names, False
    yield "biases (Qwen2)", plain, config_of("qwen2", size), end, False
    own = config_of("mistral", size, num_attention_heads=3, num_key_value_heads=1, head_dim=8, sliding_window=None)
    yield "heads that do not fill the width (Mistral)", plain, own, end, False


def write(parent):
    """Writes every model to a folder of its own; yields name and folder."""
    for number, (name, tokenizer, config, names, is_stored_twice) in enumerate(kinds()):
        folder = pathlib.Path(parent) / str(number)
        torch.manual_seed(number)
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.3)
        model.save_pretrained(folder)
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
        if is_stored_twice:
            path = folder / "model.safetensors"
            tensors = load_file(path)
            tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
            save_file(tensors, path, metadata={"format": "pt"})
        yield name, folder
