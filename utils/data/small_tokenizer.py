"""A small tokenizer trained on given texts, for models that start from random weights on a laptop."""

import shutil
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ..artifacts.files import publish_folder

END_OF_SEQUENCE = "<|endoftext|>"
VOCAB_SIZE = 1024

# Letters with the space before them, single digits (so that numbers can be computed with), other signs.
# "Response:" and a letter, a digit or a space behind it never share a token.
_PIECES = r" ?[A-Za-z]+|\d| ?[^\sA-Za-z\d]+|\s+"


def train_tokenizer(texts: list[str], folder: Path, vocab_size: int = VOCAB_SIZE) -> None:
    """Byte-pair encoding over bytes, which can write every text. The same texts give the same tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_SEQUENCE],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    temporary = folder.with_name(f".{folder.name}.parts")
    shutil.rmtree(temporary, ignore_errors=True)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END_OF_SEQUENCE).save_pretrained(temporary)
    publish_folder(temporary, folder)
