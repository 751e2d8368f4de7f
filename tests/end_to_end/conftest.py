import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from halfrate.engines.embedded.gguf import write_toy
from tests.support.processes import Server, serving


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that loads in a moment and knows nothing."""
    path = tmp_path_factory.mktemp("model") / "toy.gguf"
    write_toy(path)
    return path


@pytest.fixture(scope="session")
def server(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("--data", tmp_path_factory.mktemp("data"), "-m", toy) as running:
        yield running


MakeRequests = Callable[..., Path]


@pytest.fixture
def make_requests(tmp_path: Path) -> MakeRequests:
    """Write a file of requests with keys k0, k1, ..."""

    def make(count: int, *, output_tokens: int = 4) -> Path:
        path = tmp_path / "requests.jsonl"
        config = {"maxOutputTokens": output_tokens, "temperature": 0}
        with path.open("w") as file:
            for number in range(count):
                contents = [{"parts": [{"text": f"Prompt {number}"}]}]
                request = {"contents": contents, "generationConfig": config}
                file.write(json.dumps({"key": f"k{number}", "request": request}) + "\n")
        return path

    return make


def keys_of(results: str | bytes) -> list[str]:
    return [json.loads(line)["key"] for line in results.splitlines()]
