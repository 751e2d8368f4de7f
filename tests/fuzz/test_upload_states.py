"""Any sequence of calls about uploads, against a model of a few lines."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from halfrate.app import App, open_app
from halfrate.config import Config, Limits, ModelConfig
from halfrate.domain.errors import FailedPrecondition, InvalidArgument, NotFound, Refusal
from halfrate.engines.scripted import ScriptedEngine
from halfrate.service import uploads as service
from halfrate.service.uploads import Digests
from tests.fakes import pieces
from tests.fuzz.budget import state_settings

FILE_BYTES_MAX = 60
PIECES = st.binary(max_size=40)


@dataclass
class Model:
    """An upload as the protocol describes it."""

    id: str
    declared_bytes: int | None = None
    sha256: str | None = None
    received: bytes = b""
    file_id: str | None = None
    gone: bool = False
    said: list[str] = field(default_factory=list)

    def may_grow_to(self, size_bytes: int) -> bool:
        return size_bytes <= (FILE_BYTES_MAX if self.declared_bytes is None else self.declared_bytes)


class Uploading(RuleBasedStateMachine):
    uploads = Bundle("uploads")

    @initialize()
    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.models: list[Model] = []
        self.open()

    def open(self) -> None:
        config = Config(
            data_dir=str(Path(self.folder.name) / "data"),
            models={"scripted": ModelConfig(path="scripted-1")},
            limits=Limits(file_bytes=FILE_BYTES_MAX),
        )
        self.stack = AsyncExitStack()
        opening = self.stack.enter_async_context(open_app(config, make_engine=lambda _: ScriptedEngine()))
        self.app: App = self.run(opening)

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    def refused(self, work: Any) -> type[Refusal]:
        with pytest.raises(Refusal) as refusal:
            self.run(work)
        return type(refusal.value)

    # What a client may do

    @rule(target=uploads, declared=st.none() | st.integers(0, FILE_BYTES_MAX), digest=st.none() | PIECES)
    def begin(self, declared: int | None, digest: bytes | None) -> Model:
        sha256 = None if digest is None else hashlib.sha256(digest).hexdigest()
        begun = self.run(
            self.app.uploads.begin(
                file_id=None,
                display_name="",
                mime_type="jsonl",
                declared_bytes=declared,
                digests=Digests(sha256=sha256),
            )
        )
        self.models.append(Model(begun.id, declared, sha256))
        return self.models[-1]

    @rule()
    def begin_too_large(self) -> None:
        work = self.app.uploads.begin(
            file_id=None, display_name="", mime_type="jsonl", declared_bytes=FILE_BYTES_MAX + 1
        )
        assert self.refused(work) is InvalidArgument

    @rule(model=uploads, shift=st.integers(-60, 3), data=PIECES, size=st.integers(1, 9))
    def append(self, model: Model, shift: int, data: bytes, size: int) -> None:
        offset = max(0, len(model.received) + shift)
        work = self.app.uploads.append(model.id, offset=offset, chunks=pieces(data, size))
        if model.gone:
            assert self.refused(work) is NotFound
        elif model.file_id is not None:
            assert self.run(work) == len(model.received)
        elif offset > len(model.received):
            assert self.refused(work) is InvalidArgument
        else:
            fresh = data[len(model.received) - offset :]
            if fresh and not model.may_grow_to(len(model.received) + len(fresh)):
                assert self.refused(work) is InvalidArgument
            else:
                model.received += fresh
                assert self.run(work) == len(model.received)

    @rule(model=uploads, data=PIECES)
    def break_off(self, model: Model, data: bytes) -> None:
        async def cut() -> AsyncIterator[bytes]:
            yield data
            raise ConnectionError("cut")

        offset = len(model.received)
        work = self.app.uploads.append(model.id, offset=offset, chunks=cut())
        if model.gone or model.file_id is not None:
            return work.close()
        with pytest.raises((ConnectionError, InvalidArgument)):
            self.run(work)
        if model.may_grow_to(offset + len(data)):
            model.received += data
        return None

    @rule(model=uploads, data=PIECES)
    def ask_while_sending(self, model: Model, data: bytes) -> None:
        """The query ends what is being sent, and says what has arrived."""
        if model.gone or model.file_id is not None or not model.may_grow_to(len(model.received) + len(data)):
            return

        async def both() -> int:
            held = asyncio.Event()

            async def stuck() -> AsyncIterator[bytes]:
                yield data
                held.set()
                await asyncio.Event().wait()

            sending = asyncio.create_task(
                self.app.uploads.append(model.id, offset=len(model.received), chunks=stuck())
            )
            await held.wait()
            progress = await self.app.uploads.progress(model.id)
            with pytest.raises(FailedPrecondition):
                await sending
            return progress.received_bytes

        received_bytes = self.run(both())
        model.received += data
        assert received_bytes == len(model.received)

    @rule(model=uploads)
    def query(self, model: Model) -> None:
        work = self.app.uploads.progress(model.id)
        if model.gone:
            assert self.refused(work) is NotFound
        else:
            progress = self.run(work)
            assert progress.received_bytes == len(model.received)
            assert (progress.file and progress.file.id) == model.file_id

    @rule(model=uploads, digest=st.sampled_from(["none", "right", "wrong", "right md5", "wrong md5"]))
    def finish(self, model: Model, digest: str) -> None:
        digests = {
            "none": Digests(),
            "right": Digests(sha256=hashlib.sha256(model.received).hexdigest()),
            "wrong": Digests(sha256="0" * 64),
            "right md5": Digests(md5=hashlib.md5(model.received).hexdigest()),
            "wrong md5": Digests(md5="0" * 32),
        }[digest]
        work = self.app.uploads.finish(model.id, digests=digests)
        announced_wrong = model.sha256 not in (None, hashlib.sha256(model.received).hexdigest())
        if model.gone:
            assert self.refused(work) is NotFound
        elif model.file_id is not None:
            assert self.run(work).id == model.file_id
        elif len(model.received) < (model.declared_bytes or 0):
            assert self.refused(work) is InvalidArgument
        elif announced_wrong or digest.startswith("wrong"):
            assert self.refused(work) is InvalidArgument
            model.gone = True
        else:
            file = self.run(work)
            model.file_id = file.id
            assert file.size_bytes == len(model.received)
            assert file.sha256 == hashlib.sha256(model.received).hexdigest()
            assert self.run(self.content(file.id)) == model.received

    async def content(self, file_id: str) -> bytes:
        _, chunks = await self.app.files.download(file_id)
        return b"".join([chunk async for chunk in chunks])

    @rule(model=consumes(uploads))
    def cancel(self, model: Model) -> None:
        work = self.app.uploads.cancel(model.id)
        if model.gone:
            assert self.refused(work) is NotFound
        elif model.file_id is not None:
            assert self.refused(work) is FailedPrecondition
        else:
            self.run(work)
            model.gone = True

    @rule(data=PIECES)
    def guess(self, data: bytes) -> None:
        for work in (
            self.app.uploads.append("guess", offset=0, chunks=pieces(data)),
            self.app.uploads.progress("guess"),
            self.app.uploads.finish("guess"),
            self.app.uploads.cancel("guess"),
        ):
            assert self.refused(work) is NotFound

    @rule()
    def restart(self) -> None:
        self.run(self.stack.aclose())
        self.open()

    # What is true at any time

    @invariant()
    def nothing_is_kept_but_what_is_under_way_or_finished(self) -> None:
        if not hasattr(self, "app"):
            return
        under_way = [model for model in self.models if not model.gone and model.file_id is None]
        finished = [model for model in self.models if model.file_id is not None]
        assert len(list(self.app.blobs.names("uploads"))) == len(under_way)
        assert len(list(self.app.blobs.names("inputs"))) == len(finished)
        assert len(self.app.uploads._incoming) <= service.INCOMING_MAX

    def teardown(self) -> None:
        if hasattr(self, "app"):
            self.run(self.stack.aclose())
            self.folder.cleanup()
            self.loop.close()


@pytest.fixture(autouse=True)
def few_are_kept_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "INCOMING_MAX", 2)


class TestUploading(Uploading.TestCase):
    settings = state_settings()
