"""What holds for every route: who is let in, and what is answered when nothing fits."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/", 404, "NOT_FOUND"),
        ("GET", "/v2/files", 404, "NOT_FOUND"),
        ("GET", "/v1beta/nonsense", 404, "NOT_FOUND"),
        ("GET", "/v1beta/batches/none", 404, "NOT_FOUND"),
        ("PATCH", "/v1beta/files/x", 405, "UNIMPLEMENTED"),
        ("PUT", "/v1/webhooks", 405, "UNIMPLEMENTED"),
        ("POST", "/v1/webhooks/x:ping", 404, "NOT_FOUND"),
        ("POST", "/v1/files:register", 501, "UNIMPLEMENTED"),
        ("POST", "/v1/files", 400, "INVALID_ARGUMENT"),
    ],
)
async def test_errors_are_json_wherever_they_come_from(client, method, path, status, name):
    reply = await client.request(method, path)
    assert reply.status_code == status
    error = reply.json()["error"]
    assert (error["code"], error["status"]) == (status, name)
    assert error["message"]


async def test_what_nobody_expected_is_told_without_a_trace(client, app, monkeypatch, caplog):
    async def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(app.jobs, "get", broken)
    reply = await client.get("/v1/batches/x")
    assert reply.status_code == 500
    assert reply.json() == {
        "error": {"code": 500, "message": "An internal error has occurred.", "status": "INTERNAL"}
    }
    assert "secret detail" in caplog.text


async def test_other_names_for_this_machine_are_not_answered(connect):
    """A page elsewhere may point its own name at the loopback: nothing may come of it."""
    client = connect(public_url="https://api.example/x", hosts=["lan.example"])

    async def status(**headers: str) -> int:
        return (await client.get("/healthz", headers=headers)).status_code

    for host in ("localhost", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST", "api.example", "lan.example:1"):
        assert await status(Host=host) == 200, host
        assert await status(Host="localhost", Origin=f"http://{host}") == 200, host
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0", "[::", ":"):
        assert await status(Host=host) == 403, host
        assert await status(Host="localhost", Origin=f"http://{host}") == 403, host
    assert await status(Host="localhost", Origin="null") == 403


async def test_health(client, app, engine):
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    await engine.ready()
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["models"]) == (200, {"scripted": "ready"})


async def test_a_model_that_loads_is_not_ready(client, app, engine, monkeypatch):
    monkeypatch.setattr(type(engine), "state", "loading")
    assert (await client.get("/readyz")).status_code == 503
