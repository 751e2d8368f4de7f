"""A small byte-level BPE tokenizer and the chat format that `pocket-1` is trained on."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as PreTokenizers
from tokenizers.trainers import BpeTrainer

from tools.pocket.draw import Turn

# No character of a special token may mean anything in a regular expression: the GGUF reader of
# OpenVINO GenAI joins them with "|" into one pattern, so "<|im_end|>" would split ordinary text.
PAD = "<pad>"
END_OF_TURN = "<end_of_turn>"
TURN_OF = {"system": "<turn_system>", "user": "<turn_user>", "model": "<turn_model>"}
SPECIAL_TOKENS = (PAD, END_OF_TURN, *TURN_OF.values())
PAD_ID, END_OF_TURN_ID = 0, 1

# What GGUF calls the "qwen2" pre-tokenizer; OpenVINO GenAI and llama.cpp both know it by that name.
PRE_TOKENIZER_NAME = "qwen2"
PRE_TOKENIZER_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# What merges are learnt from: every space, digit and symbol that may open a value stands alone.
_LEARNING_PATTERN = r" |\p{N}|[$€£#+(@]|\p{L}+|[^\s\p{L}\p{N}$€£#+(@]+|\n+|\s"
_SPACE = "Ġ"  # how byte-level BPE spells a space

# The same format as `encode_chat`, in the language of chat templates.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}<turn_system>"
    "{% elif message['role'] == 'user' %}<turn_user>"
    "{% else %}<turn_model>{% endif %}"
    "{{ message['content'] | trim }}<end_of_turn>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<turn_model>{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocabulary_size: int, spaced_words: int) -> Tokenizer:
    """Learn a vocabulary of exactly `vocabulary_size` tokens, special tokens first.

    Copying is most of what the model does, so a word has to fall into the same pieces wherever it
    stands: after a space, after a quotation mark, at the start of an answer. Merges are therefore
    learnt without the space before a word. Only then do the `spaced_words` most frequent pieces
    get a twin that includes the space, which shortens text and leaves every boundary in place.
    """
    texts = list(texts)
    learnt = _learn_merges(texts, vocabulary_size - spaced_words)
    vocabulary = learnt.get_vocab()
    merges = [tuple(pair) for pair in json.loads(learnt.to_str())["model"]["merges"]]
    for piece in _frequent_after_space(learnt, texts, spaced_words):
        vocabulary[_SPACE + piece] = len(vocabulary)
        merges.append((_SPACE, piece))
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=merges))
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    tokenizer.pre_tokenizer = PreTokenizers(
        [
            Split(Regex(PRE_TOKENIZER_PATTERN), behavior="isolated"),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = ByteLevelDecoder()
    return tokenizer


def _learn_merges(texts: Sequence[str], vocabulary_size: int) -> Tokenizer:
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = PreTokenizers(
        [
            Split(Regex(_LEARNING_PATTERN), behavior="isolated"),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _frequent_after_space(learnt: Tokenizer, texts: Sequence[str], count: int) -> list[str]:
    """The pieces that most often follow a single space."""
    seen: Counter[str] = Counter()
    for encoding in learnt.encode_batch(texts):
        for before, piece in pairwise(encoding.tokens):
            if before == _SPACE and piece[0] != _SPACE:
                seen[piece] += 1
    return [piece for piece, _ in seen.most_common(count)]


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer that `train_tokenizer` made and `Tokenizer.save` wrote."""
    return Tokenizer.from_file(str(path))


def encode_chat(tokenizer: Tokenizer, turns: Sequence[Turn]) -> tuple[list[int], list[bool]]:
    """Encode a conversation; the flags mark the tokens the model itself would have written."""
    ids: list[int] = []
    is_answer: list[bool] = []
    for turn in turns:
        text_ids = tokenizer.encode(turn.text.strip(), add_special_tokens=False).ids
        by_model = turn.role == "model"
        ids += [_opening_id(turn.role), *text_ids, END_OF_TURN_ID]
        is_answer += [False] + [by_model] * (len(text_ids) + 1)
    return ids, is_answer


def encode_prompt(tokenizer: Tokenizer, turns: Sequence[Turn]) -> list[int]:
    """Encode a conversation and open the turn in which the model answers."""
    ids, _ = encode_chat(tokenizer, turns)
    return [*ids, _opening_id("model")]


def _opening_id(role: str) -> int:
    return SPECIAL_TOKENS.index(TURN_OF[role])
