"""Tokenizers of encoders: as their files have them, or built from what a GGUF file says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from halfrate.engines.embedded import gguf

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_WORD_BEGINS = "\u2581"  # in front of a token in GGUF's spelling; the others continue a word
_CONTROL = 3
_CHARACTERS_MAX = 100  # of a word; a longer one is unknown


class BadVocabulary(Exception):
    """There is no tokenizer in the files that can be used here."""


def of_file(path: Path) -> Tokenizer:
    """The tokenizer in a ``tokenizer.json``, cutting and padding nothing. Raise `BadVocabulary`."""
    from tokenizers import Tokenizer  # noqa: PLC0415

    if not path.is_file():
        raise BadVocabulary(f"it has no {path.name}")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises nothing more particular
        raise BadVocabulary(f"its {path.name} cannot be read ({error})") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def of_gguf(contents: gguf.Contents) -> Tokenizer:
    """The tokenizer that a GGUF file of a BERT describes. Raise `BadVocabulary`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: PLC0415

    model = contents.header.get("tokenizer.ggml.model")
    if model != "bert":
        raise BadVocabulary(f"its tokenizer is of kind {model!r}, and 'bert' (WordPiece) can be run")
    spelled = _spelled(contents)
    begin, end, unknown = (spelled[_id(contents, name)] for name in ("cls", "seperator", "unknown"))
    words = models.WordPiece(
        vocab={token: id for id, token in enumerate(spelled)},
        unk_token=unknown,
        max_input_chars_per_word=_CHARACTERS_MAX,
    )
    tokenizer = Tokenizer(words)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        (end, _id(contents, "seperator")), (begin, _id(contents, "cls"))
    )
    tokenizer.add_special_tokens([begin, end, unknown])
    return tokenizer


def _spelled(contents: gguf.Contents) -> list[str]:
    """Tokens as WordPiece spells them, by id."""
    tokens = [str(token) for token in contents.arrays.get("tokenizer.ggml.tokens", [])]
    kinds = contents.arrays.get("tokenizer.ggml.token_type") or [1] * len(tokens)
    return [_wordpiece(token, kind == _CONTROL) for token, kind in zip(tokens, kinds, strict=True)]


def _wordpiece(token: str, control: bool) -> str:
    if control or (token.startswith("[") and token.endswith("]")):
        return token
    return token[1:] if token.startswith(_WORD_BEGINS) else f"##{token}"


_IDS_OF_BERT = {"cls": 101, "seperator": 102, "unknown": 100}  # "seperator" is the format's own spelling


def _id(contents: gguf.Contents, name: str) -> int:
    keys = (f"tokenizer.ggml.{name}_token_id", "tokenizer.ggml.separator_token_id")
    for key in keys if name == "seperator" else keys[:1]:
        if key in contents.header:
            return int(contents.header[key])
    return _IDS_OF_BERT[name]
