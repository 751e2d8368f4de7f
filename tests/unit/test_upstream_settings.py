"""How an upstream is configured, and what is said of it when that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from halfrate.app import upstream_settings
from halfrate.cli.settings import settings
from halfrate.config import UPSTREAM, Config, ModelConfig, UpstreamConfig, model_at
from halfrate.domain.errors import ConfigError
from halfrate.engines.api import Ability
from tests.support.scripted_server import scripted_server
from tests.unit.cli.conftest import Run, halfrate

__all__ = ["halfrate"]

URL = "http://127.0.0.1:9/v1"


def loaded(folder: Path, text: str) -> Config:
    path = folder / "halfrate.toml"
    path.write_text(text)
    return Config.load(path)


def test_a_model_is_at_a_path_or_has_an_upstream(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        f'[models.a]\nupstream = {{ api = "openai", urls = ["{URL}"] }}\n[models.b]\npath = "b.gguf"',
    )
    assert [entry.where for entry in config.models.values()] == [URL, "b.gguf"]
    for both_or_none in (f'path = "b"\nupstream = {{ api = "openai", urls = ["{URL}"] }}', "threads = 3"):
        with pytest.raises(ConfigError, match="give either path"):
            loaded(tmp_path, f"[models.a]\n{both_or_none}")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('api = "soap"', r"soap.*models.*upstream\.api"),
        ("urls = []", "urls is empty"),
        ('urls = ["127.0.0.1:8000"]', "must begin with http"),
        ('urls = ["http://me:secret@host/v1"]', "give the key by key_env"),
        ('urls = ["http://host/v1?key=secret"]', "give the key by key_env"),
        ('urls = ["http://host/v1/chat/completions"]', "mostly ends in /v1"),
        ('key_env = "sk-1234-secret"', "not the key"),
        ("concurrency_max = 0", "concurrency_max"),
        ("total_seconds = 0", "total_seconds"),
        ('key = "sk-1234-secret"', "unknown field `key`"),
        ('abilities = ["flying"]', "flying"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_is_shown(tmp_path: Path, wrong: str, said: str) -> None:
    right = {"api": 'api = "openai"', "urls": f'urls = ["{URL}"]'}
    lines = {**right, wrong.split(" ", maxsplit=1)[0]: wrong}
    with pytest.raises(ConfigError, match=said) as error:
        loaded(tmp_path, "[models.a.upstream]\n" + "\n".join(lines.values()))
    assert "secret" not in str(error.value)


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = UpstreamConfig(
        api="openai", urls=(URL,), key_env="THE_KEY", abilities=("logprobs",), first_token_seconds=7
    )
    with pytest.raises(ConfigError, match="THE_KEY, which key_env names, is not set"):
        upstream_settings(ModelConfig(upstream=upstream), upstream)
    monkeypatch.setenv("THE_KEY", "s3cret\nX-Header: y")
    with pytest.raises(ConfigError, match=r"THE_KEY.*holds no key") as error:
        upstream_settings(ModelConfig(upstream=upstream), upstream)
    assert "s3cret" not in str(error.value)
    monkeypatch.setenv("THE_KEY", " s3cret\n")
    told = upstream_settings(ModelConfig(upstream=upstream), upstream)
    assert (told.key, told.abilities) == ("s3cret", frozenset({Ability.LOGPROBS}))
    assert told.patience.first_token_seconds == 7
    assert "s3cret" not in repr(told)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://127.0.0.1:9/", URL])
def test_a_url_is_a_model(url: str) -> None:
    name, entry = model_at(url)
    assert (name, entry.where.rstrip("/"), entry.aliases) == (UPSTREAM, URL, ("*",))
    config = settings(config=None, data=None, model=url)
    assert list(config.models) == [UPSTREAM]
    with pytest.raises(ConfigError, match="password"):
        model_at("https://me:you@host/v1")


# --- what the doctor says


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    path = tmp_path / "halfrate.toml"
    path.write_text(f'[models.there]\nupstream = {{ api = "openai", urls = ["{URL}"] }}')
    return path


def doctor(halfrate: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What it says of the model."""
    monkeypatch.setattr("halfrate.cli.doctor._installation", lambda: iter(()))
    monkeypatch.setattr("halfrate.cli.doctor._server", lambda url: iter(()))
    findings = halfrate("doctor", "--config", str(config), "--data", str(config.parent / "data"), "--json")
    (found,) = [each for each in findings.document["findings"] if each["subject"] == "model"]
    return f"{found['verdict']} {found['detail']}"


def test_the_doctor_says_that_an_upstream_is_not_there(
    halfrate: Run, configured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = doctor(halfrate, configured, monkeypatch)
    assert told.startswith(f"bad there: {URL} cannot be reached")


def test_the_doctor_says_what_an_upstream_answers_with(
    halfrate: Run, configured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted_server(configured.parent / "there") as url:
        upstream = f'{{ api = "openai", model = "pocket-1", urls = ["{url}/openai/v1"] }}'
        configured.write_text(f"[models.there]\nupstream = {upstream}")
        told = doctor(halfrate, configured, monkeypatch)
    assert told.startswith(f"ok there: {url}/openai/v1 answers with pocket-1")
    assert told.endswith("prompts estimated")
