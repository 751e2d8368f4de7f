"""The calls that make, watch and end a batch of the Gemini API, and carry its files."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit

from halfrate.domain.errors import HalfrateError
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Cause
from halfrate.engines.upstream.dialect import Call, NoReply, Reply
from halfrate.engines.upstream.transport import Transport
from halfrate.wire.gemini.asking import failure_of
from halfrate.wire.gemini.asking_batches import (
    VERBS,
    BatchRead,
    batch_in,
    batches_in,
    create_body,
    upload_body,
    uploaded_in,
)
from halfrate.wire.rejected import Rejected

PIECE_BYTES = 8 << 20
"""What of a file is sent in one call: as much as the protocol's own clients send."""

PAGES_MAX = 100


class NotNow(HalfrateError):
    """The upstream cannot do it now. ``retry_after_seconds`` is how long it asked to be left alone."""

    def __init__(self, why: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(why)
        self.retry_after_seconds = retry_after_seconds


class Never(HalfrateError):
    """The upstream will not do it, however often it is asked.

    ``gone`` is whether something is not there any more that it takes, ``missing`` whether it says only that.
    """

    def __init__(self, why: str, *, gone: bool = False, missing: bool = False) -> None:
        super().__init__(why)
        self.gone = gone
        self.missing = missing


class BatchApi:
    """Batches of one model at the base URL of ``transport``. Each call raises `NotNow` or `Never`."""

    def __init__(self, transport: Transport, *, kind: Kind) -> None:
        self._transport = transport
        self._kind = kind

    async def upload(self, path: Path, *, display_name: str) -> str:
        """Send a file, piece by piece, and return its name there."""
        size = path.stat().st_size
        headers = {
            "Content-Type": "application/json",
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": str(size),
            "X-Goog-Upload-Header-Content-Type": "jsonl",
        }
        body = upload_body(display_name=display_name)
        begun = await self._call(Call(self._uploads(), body, from_root=True, headers=headers))
        where = self._within(begun.headers.get("x-goog-upload-url", ""))
        sent = 0
        reply = begun
        with path.open("rb") as file:
            while sent < size:
                piece = file.read(PIECE_BYTES)
                last = sent + len(piece) == size
                headers = {
                    "Content-Type": "application/octet-stream",
                    "X-Goog-Upload-Command": "upload, finalize" if last else "upload",
                    "X-Goog-Upload-Offset": str(sent),
                }
                reply = await self._call(Call(where, piece, from_root=True, headers=headers))
                sent += len(piece)
        name = uploaded_in(reply.body)
        if name is None:
            raise NotNow("The upstream took the whole file, and gave it no name.")
        return name

    async def create(self, model: str, *, file: str, display_name: str) -> BatchRead:
        """Make a batch of an uploaded file. Twice asked, it makes two."""
        body = create_body(file=file, display_name=display_name)
        path = f"/models/{model}:{VERBS[self._kind]}"
        try:
            return _batch(await self._call(Call(path, body, once=True)))
        except Never as error:
            if error.missing:
                raise NotNow(f"{error} Has {model} no batches there?") from None
            raise

    async def find(self, display_name: str) -> BatchRead | None:
        """Return the batch of this display name, None if there is none."""
        token = ""
        for _ in range(PAGES_MAX):
            more = f"&pageToken={quote(token, safe='')}" if token else ""
            page = batches_in((await self._call(Call(f"/batches?pageSize=100{more}"))).body)
            if page is None:
                raise NotNow("The upstream's list of batches cannot be read.")
            batches, token = page
            for batch in batches:
                if batch.metadata.display_name == display_name:
                    return batch
            if not token:
                return None
        return None

    async def get(self, name: str) -> BatchRead:
        """Return a batch as it stands."""
        return _batch(await self._call(Call(f"/{name}")))

    async def cancel(self, name: str) -> None:
        """Have a batch stop."""
        await self._call(Call(f"/{name}:cancel", b"{}"))

    async def delete_file(self, name: str) -> None:
        """Remove a file that was uploaded."""
        await self._call(Call(f"/{name}", method="DELETE"))

    async def download(self, name: str, path: Path) -> None:
        """Write a file to ``path``, in place of what is there."""
        with path.open("wb") as file:

            def heard(piece: bytes) -> bool:
                file.write(piece)
                return False

            reply = await self._transport.send(Call(f"/{name}:download?alt=media"), heard)
        await self._check(reply)

    async def _call(self, call: Call) -> Reply:
        return await self._check(await self._transport.send(call))

    async def _check(self, reply: Reply | NoReply) -> Reply:
        """Return the reply if it is one of success."""
        if isinstance(reply, NoReply):
            raise NotNow(reply.detail)
        if reply.status == 200:
            return reply
        said = failure_of(reply.status, reply.body, reply.headers)
        if isinstance(said, Rejected):
            told = f"The upstream answered {reply.status}: {said.why}"
            # What is not there is refused in the same words as a key that is not taken.
            if reply.status == 403 and await self._lets_us_in():
                raise Never(told, gone=True)
            raise NotNow(told)
        told = f"The upstream answered {reply.status}: {said.detail}"
        if reply.status == 404:
            raise Never(told, gone=True, missing=True)
        if said.cause in {Cause.INVALID, Cause.TOO_LONG, Cause.UNSUPPORTED}:
            raise Never(told)
        raise NotNow(told, said.retry_after_seconds)

    async def _lets_us_in(self) -> bool:
        reply = await self._transport.send(Call("/models?pageSize=1"))
        return isinstance(reply, Reply) and reply.status == 200

    def _uploads(self) -> str:
        """Return the path of uploads: it has the version behind, where all others have it in front."""
        base, _, version = urlsplit(self._transport.url).path.rpartition("/")
        return f"{base}/upload/{version}/files"

    def _within(self, url: str) -> str:
        """Return the path of a URL that the upstream gave. It must be its own: the key goes along."""
        given, own = urlsplit(url), urlsplit(self._transport.url)
        if (given.scheme, given.netloc) != (own.scheme, own.netloc):
            raise Never(f"The upstream sends uploads on to {given.netloc or 'nowhere'}, which is not itself.")
        return f"{given.path}?{given.query}"


def _batch(reply: Reply) -> BatchRead:
    batch = batch_in(reply.body)
    if batch is None:
        raise NotNow("The upstream's answer shows no batch.")
    return batch
