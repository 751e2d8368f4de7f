"""``kill -9`` in the middle of a Job, on a real server with the real engine."""

import json
import sqlite3
import urllib.request
from pathlib import Path
from typing import Any

from google import genai

from tests.engines import real_model
from tests.support.processes import Server, serving, wait_until

REQUESTS = 600


def lines() -> str:
    reviews = ["It broke after a day.", "Best purchase this year.", "It is a box.", "Loud, slow and ugly."]
    return "\n".join(
        json.dumps(
            {
                "key": f"k{number}",
                "request": {
                    "contents": [
                        {"parts": [{"text": f"Is this review good? {number}: {reviews[number % 4]}"}]}
                    ],
                    "generationConfig": {"temperature": 0, "maxOutputTokens": 12},
                },
            }
        )
        for number in range(REQUESTS)
    )


def client(server: Server) -> genai.Client:
    return genai.Client(api_key="none", http_options={"base_url": server.url})


def settled(data: Path) -> int:
    """How many Results the store holds, read as it lies on the disk."""
    database = sqlite3.connect(data / "halfrate.db")
    try:
        return int(database.execute("SELECT sum(results) FROM segment").fetchone()[0] or 0)
    finally:
        database.close()


def segments(data: Path) -> list[tuple[int, int, int]]:
    database = sqlite3.connect(data / "halfrate.db")
    try:
        return database.execute("SELECT shard, token, results FROM segment ORDER BY shard, token").fetchall()
    finally:
        database.close()


def operation(server: Server, name: str) -> dict[str, Any]:
    """What the server says of a Job."""
    with urllib.request.urlopen(f"{server.url}/v1/{name}") as response:
        return json.loads(response.read())["metadata"]


def test_a_killed_server_goes_on_and_repeats_nothing_it_had_settled(tmp_path):
    real_model()
    data = tmp_path / "data"
    source = tmp_path / "in.jsonl"
    source.write_text(lines())

    with serving("--data", data) as killed:
        sdk = client(killed)
        uploaded = sdk.files.upload(file=str(source), config={"mime_type": "jsonl"})
        job = sdk.batches.create(model="gemini-2.5-flash", src=uploaded.name)

        def settled_some() -> bool:
            stats = operation(killed, job.name).get("batchStats", {})
            return int(stats.get("successfulRequestCount", 0)) >= REQUESTS // 4

        wait_until(settled_some)
        killed.kill()
    before = settled(data)
    assert REQUESTS // 4 <= before < REQUESTS, "it was killed in the middle"

    with serving("--data", data) as server:
        sdk = client(server)
        wait_until(lambda: bool(sdk.batches.get(name=job.name).done))
        output = sdk.files.download(file=sdk.batches.get(name=job.name).dest.file_name)
        metadata = operation(server, job.name)

    results = [json.loads(text) for text in output.decode().splitlines()]
    assert [result["key"] for result in results] == [f"k{number}" for number in range(REQUESTS)]
    assert all("response" in result for result in results)
    assert metadata["batchStats"]["successfulRequestCount"] == str(REQUESTS)
    counted = [result["response"]["usageMetadata"] for result in results]
    usage = metadata["halfrate"]["usage"]
    assert int(usage["promptTokenCount"]) == sum(each["promptTokenCount"] for each in counted)
    assert int(usage["candidatesTokenCount"]) == sum(each["candidatesTokenCount"] for each in counted)

    first = [results for _, token, results in segments(data) if token == 1]
    later = [results for _, token, results in segments(data) if token > 1]
    assert sum(first) + sum(later) == REQUESTS
    assert sum(later) == REQUESTS - before, "only what was not settled was asked again"
