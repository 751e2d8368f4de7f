"""``llama-server`` of the xllamacpp wheel as a process, and its client, both in it.

``python -m benchmarks.peers.llama_server MODEL THREADS SLOTS``. The client asks over HTTP, as many at a time
as there are slots; the server's prompt cache is on.
"""

from __future__ import annotations

import http.client
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

from benchmarks.peers import lines

SLOT_TOKENS = 1280
"""Room for the longest prompt and answer that is asked for."""


def main() -> None:
    """Start the server; then answer sets of prompts, given as texts."""
    model, threads, slots = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    replies = lines.take_output()
    import xllamacpp  # noqa: PLC0415 - it prints

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_parallel = slots
    params.n_ctx = slots * SLOT_TOKENS
    params.n_batch = params.n_ubatch = 1024
    params.cont_batching = params.cache_prompt = True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_threads_http = slots + 2
    params.port = 0
    params.verbosity = 0
    server = xllamacpp.Server(params)
    address = urlsplit(server.listening_address)

    def ask(prompt: object, output_tokens: int) -> str:
        # A connection for each: while others are measured this process is stopped, and the server then
        # closes those that were left open. It costs a ten thousandth of what it waits for.
        connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port)
        body = {"prompt": prompt, "n_predict": output_tokens, "temperature": 0, "cache_prompt": True}
        with closing(connection):
            connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
            said = json.loads(connection.getresponse().read())
        return str(said.get("content", said))

    with ThreadPoolExecutor(slots) as clients:

        def answer(asked: lines.Asked) -> list[str]:
            return list(clients.map(lambda prompt: ask(prompt, asked["output_tokens"]), asked["prompts"]))

        lines.serve(replies, answer)


if __name__ == "__main__":
    main()
