"""Which texts are run together, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from halfrate.domain.embedding import Embedding
from halfrate.domain.outcome import Cause
from halfrate.engines.embedded import EmbeddedSettings, protocol
from halfrate.engines.embedded.admission import INTERACTIVE_RUN
from halfrate.engines.embedded.bert.embedder import Embedder
from halfrate.engines.embedded.bert.encoder import BATCH_TOKENS, load
from tests.bert import small_folder
from tests.engines import ask


class Heard(list[protocol.FromChild]):
    """What an Embedder said."""

    @property
    def ids(self) -> list[int]:
        return [message.id for message in self if isinstance(message, protocol.Vector)]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def embedder(tmp_path: Path, heard: Heard) -> Embedder:
    return Embedder(load(small_folder(tmp_path / "model"), EmbeddedSettings(threads=1)), heard.append)


def embed(embedder: Embedder, id: int, words: int, *, interactive: bool = False) -> None:
    embedder.take(protocol.Embed(id, Embedding("cat " * words), interactive))


def test_texts_of_one_length_are_run_together_in_the_order_they_came(
    embedder: Embedder, heard: Heard
) -> None:
    for id, words in enumerate([3, 20, 4, 20]):
        embed(embedder, id, words)
    embedder.turn()
    assert heard.ids == [0, 2]
    embedder.turn()
    assert heard.ids == [0, 2, 1, 3]
    assert not embedder.busy


def test_no_more_are_run_together_than_fit(embedder: Embedder, heard: Heard) -> None:
    most = BATCH_TOKENS // 16
    for id in range(most + 5):
        embed(embedder, id, 10)
    ran = []
    while embedder.busy:
        embedder.turn()
        ran.append(len(heard.ids) - sum(ran))
    assert heard.ids == list(range(most + 5))
    assert ran == [most, 4, 1]  # powers of two, so that few sizes are ever compiled


def test_interactive_texts_go_ahead(embedder: Embedder, heard: Heard) -> None:
    for id in range(3):
        embed(embedder, id, 3)
    embed(embedder, 3, 20, interactive=True)
    embed(embedder, 4, 3, interactive=True)
    embedder.turn()
    assert heard.ids == [3]
    embedder.turn()
    assert heard.ids == [3, 4, 0, 1, 2]


def test_batch_texts_are_not_held_up_for_ever(embedder: Embedder, heard: Heard) -> None:
    embed(embedder, 0, 3)
    for id in range(1, INTERACTIVE_RUN + 2):
        embed(embedder, id, 20, interactive=True)
        embedder.turn()
    assert heard.ids == [*range(1, INTERACTIVE_RUN + 1), 0]


def test_what_is_cancelled_is_not_run(embedder: Embedder, heard: Heard) -> None:
    embed(embedder, 0, 3)
    embed(embedder, 2, 3)
    embed(embedder, 1, 20)
    embedder.take(protocol.Cancel(0))  # new
    embedder.turn()
    embedder.take(protocol.Cancel(1))  # waiting
    embedder.take(protocol.Cancel(9))  # unknown
    assert heard.ids == [2]
    assert not embedder.busy


def test_what_is_no_text_is_refused_by_itself(embedder: Embedder, heard: Heard) -> None:
    embed(embedder, 0, 0)
    embed(embedder, 1, 1)
    embedder.take(protocol.Ask(2, ask("Write."), False))
    embedder.take(protocol.Count(3, ask("Write.")))
    embedder.turn()
    assert heard.ids == [1]
    refused = {message.id: message.cause for message in heard if isinstance(message, protocol.Refused)}
    assert refused == {0: Cause.INVALID, 2: Cause.UNSUPPORTED, 3: Cause.UNSUPPORTED}


def test_tokens_are_counted_as_they_are_run(embedder: Embedder, heard: Heard) -> None:
    embed(embedder, 0, 7)
    embedder.take(protocol.CountText(1, Embedding("cat " * 7)))
    embedder.turn()
    (vector,) = [message for message in heard if isinstance(message, protocol.Vector)]
    (counted,) = [message for message in heard if isinstance(message, protocol.Counted)]
    assert vector.usage.input_tokens == counted.tokens == 9


def test_it_tells_how_it_gets_on(embedder: Embedder, heard: Heard) -> None:
    embed(embedder, 0, 3)
    embedder.turn()
    assert heard[-1] == protocol.Beat(1, 0, 0, 0.0)
    with pytest.raises(protocol.BadFrame):
        embedder.take(protocol.Load("again", EmbeddedSettings()))
