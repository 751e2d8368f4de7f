"""What users do with the official Python SDK, done against a server of ours.

    python scenarios.py URL sync|aio [without-aiohttp]

Runs under any version of google-genai that has batches, in an environment that has nothing else: it
knows the server by its URL only. Each scenario is written once; `do` awaits what the asynchronous
client returns and passes through what the synchronous one does. Exits with 1 if any scenario fails.
"""

import asyncio
import inspect
import io
import json
import sys
import tempfile
import time
import traceback
from importlib.metadata import version
from pathlib import Path

if "without-aiohttp" in sys.argv:
    sys.modules["aiohttp"] = None  # the SDK then falls back to its other asynchronous HTTP library

from google import genai
from google.genai import errors, types

MODEL = "gemini-3.5-flash"
EMBEDDING_MODEL = "gemini-embedding-001"
DONE = {"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED"}
CHUNK = 8 * 1024 * 1024
WAIT_SECONDS = 300

CHEESE = {
    "type": "OBJECT",
    "properties": {"name": {"type": "STRING"}, "soft": {"type": "BOOLEAN"}},
    "required": ["name", "soft"],
    "property_ordering": ["name", "soft"],
}


async def do(result):
    """Return what a call came to, from either client."""
    return await result if inspect.isawaitable(result) else result


async def everything(pager):
    """Return all that a pager yields."""
    if hasattr(pager, "__aiter__"):
        return [entry async for entry in pager]
    return list(pager)


async def refused(call, code, says):
    """Make a call that must be refused."""
    try:
        await do(call())
    except errors.APIError as error:
        refusal = error
    else:
        raise AssertionError(f"not refused with {code}: {says}")
    assert refusal.code == code, (refusal.code, str(refusal))
    assert says in str(refusal), str(refusal)


def line(key, text, **request):
    body = {"contents": [{"parts": [{"text": text}]}], **request}
    return json.dumps({"key": key, "request": body}).encode() + b"\n"


async def upload(client, content, **config):
    return await do(client.files.upload(file=io.BytesIO(content), config={"mime_type": "jsonl", **config}))


async def finished(client, name):
    """Poll a job until it has ended, as the guide does."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        job = await do(client.batches.get(name=name))
        if job.state.name in DONE:
            return job
        assert time.monotonic() < deadline, f"{name} is still {job.state}"
        await asyncio.sleep(0.2)


async def results(client, job):
    content = await do(client.files.download(file=job.dest.file_name))
    return [json.loads(result) for result in content.decode().splitlines()]


def text_of(result):
    return result["response"]["candidates"][0]["content"]["parts"][0]["text"]


# Models ----------------------------------------------------------------------------------------------


async def models_are_listed_and_shown(client):
    listed = await everything(await do(client.models.list(config={"page_size": 5})))
    assert listed
    assert all(model.name.startswith("models/") for model in listed)
    model = await do(client.models.get(model=MODEL))
    assert model.name == f"models/{MODEL}"
    assert "batchGenerateContent" in model.supported_actions
    assert await everything(await do(client.models.list(config={"query_base": False}))) == []
    await refused(lambda: client.models.get(model="no-such-model"), 404, "not found")


async def a_prompt_is_answered(client):
    response = await do(client.models.generate_content(model=MODEL, contents="Say hello."))
    assert isinstance(response.text, str)
    assert response.candidates[0].finish_reason.name in {"STOP", "MAX_TOKENS"}
    usage = response.usage_metadata
    assert usage.prompt_token_count > 0
    assert usage.total_token_count == usage.prompt_token_count + (usage.candidates_token_count or 0)
    assert response.model_version
    counted = await do(client.models.count_tokens(model=MODEL, contents="Say hello."))
    assert counted.total_tokens == usage.prompt_token_count


async def a_conversation_with_every_setting_is_answered(client):
    response = await do(
        client.models.generate_content(
            model=MODEL,
            contents=[
                types.Content(role="user", parts=[types.Part(text="My name is Ann.")]),
                types.Content(role="model", parts=[types.Part(text="Hello, Ann.")]),
                types.Content(role="user", parts=[types.Part(text="What is"), types.Part(text="my name?")]),
            ],
            config=types.GenerateContentConfig(
                system_instruction="Be brief.",
                temperature=0.5,
                top_p=0.9,
                top_k=40,
                max_output_tokens=16,
                stop_sequences=["END"],
                seed=7,
                presence_penalty=0.1,
                frequency_penalty=0.1,
                candidate_count=1,
                response_modalities=["TEXT"],
                safety_settings=[
                    types.SafetySetting(category="HARM_CATEGORY_HARASSMENT", threshold="BLOCK_NONE")
                ],
                thinking_config=types.ThinkingConfig(thinking_budget=0),
            ),
        )
    )
    assert response.usage_metadata.candidates_token_count <= 16


async def an_answer_follows_a_schema(client):
    for form in ({"response_schema": CHEESE}, {"response_json_schema": as_json_schema(CHEESE)}):
        config = {"response_mime_type": "application/json", "max_output_tokens": 200, **form}
        response = await do(
            client.models.generate_content(model=MODEL, contents="Name a cheese.", config=config)
        )
        if response.candidates[0].finish_reason.name == "STOP":
            answer = json.loads(response.text)
            assert list(answer) == ["name", "soft"], answer
            assert isinstance(answer["soft"], bool)


def as_json_schema(schema):
    properties = {name: {"type": kind["type"].lower()} for name, kind in schema["properties"].items()}
    return {"type": "object", "properties": properties, "required": schema["required"]}


async def what_cannot_be_done_is_said(client):
    async def generate(**config):
        return await do(client.models.generate_content(model=MODEL, contents="x", config=config))

    await refused(lambda: generate(logprobs=2), 400, "response_logprobs is true")
    await refused(lambda: generate(max_output_tokens=0), 400, "max_output_tokens")
    await refused(lambda: generate(candidate_count=0), 400, "candidate_count")
    await refused(lambda: generate(tools=[{"google_search": {}}]), 400, "google_search")
    await refused(lambda: client.caches.create(model=MODEL, config={"contents": ["x"]}), 400, "too small")


# Files -----------------------------------------------------------------------------------------------


async def files_of_every_kind_are_uploaded(client):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requests.jsonl"
        path.write_bytes(line("a", "one"))
        from_path = await do(
            client.files.upload(file=str(path), config={"mime_type": "jsonl", "display_name": "my-batch"})
        )
    assert from_path.display_name == "my-batch"
    assert from_path.mime_type == "jsonl"
    assert from_path.size_bytes == len(line("a", "one"))
    assert from_path.state.name == "ACTIVE"
    assert from_path.uri.endswith(from_path.name)
    assert (await do(client.files.get(name=from_path.name))).name == from_path.name

    empty = await upload(client, b"", mime_type="text/plain")
    assert not empty.size_bytes

    content = bytes(range(256)) * (2 * CHUNK // 256) + b"x" * 100
    chunked = await upload(client, content, mime_type="application/octet-stream")
    assert chunked.size_bytes == len(content)
    assert await do(client.files.download(file=chunked.name)) == content

    name = f"files/mine-{time.time_ns()}"
    named = await upload(client, b"{}\n", name=name)
    assert named.name == name
    await refused(lambda: upload(client, b"{}\n", name=name), 409, "")
    await refused(lambda: upload(client, b"x", mime_type="bad/mime_type"), 400, "Unsupported MIME")
    for file in (from_path, empty, chunked, named):
        await do(client.files.delete(name=file.name))


async def files_are_listed_in_pages_and_deleted(client):
    made = [(await upload(client, b"{}\n")).name for _ in range(5)]
    pager = await do(client.files.list(config={"page_size": 2}))
    assert len(pager.page) <= 2
    listed = [file.name for file in await everything(pager)]
    assert [name for name in listed if name in made] == made[::-1]
    for name in made:
        await do(client.files.delete(name=name))
        await refused(lambda name=name: client.files.get(name=name), 403, "may not exist")
    await refused(lambda: client.files.delete(name="files/nosuchfile"), 403, "may not exist")


# Batches ---------------------------------------------------------------------------------------------


async def a_file_is_answered_in_order(client):
    content = b"".join(
        line(f"request-{n}", f"Say {n}.", generation_config={"maxOutputTokens": 8}) for n in range(20)
    )
    file = await upload(client, content)
    job = await do(client.batches.create(model=MODEL, src=file.name, config={"display_name": "nightly"}))
    assert job.name.startswith("batches/")
    assert job.display_name == "nightly"
    assert job.model == f"models/{MODEL}"
    assert job.state.name in {"JOB_STATE_PENDING", "JOB_STATE_RUNNING"} | DONE
    job = await finished(client, job.name)
    assert job.state.name == "JOB_STATE_SUCCEEDED", job
    assert job.create_time <= job.end_time
    answers = await results(client, job)
    assert [answer["key"] for answer in answers] == [f"request-{n}" for n in range(20)]
    assert all(text_of(answer) is not None for answer in answers)
    again = await do(client.files.get(name=job.dest.file_name))
    assert await do(client.files.download(file=again))
    await do(client.files.delete(name=file.name))


async def a_source_object_names_a_file(client):
    file = await upload(client, line("a", "Say one.", generationConfig={"max_output_tokens": 4}))
    job = await do(client.batches.create(model=MODEL, src=types.BatchJobSource(file_name=file.name)))
    assert not job.display_name
    job = await finished(client, job.name)
    assert [answer["key"] for answer in await results(client, job)] == ["a"]


async def batch_and_interactive_give_the_same_answer(client):
    config = {"temperature": 0, "max_output_tokens": 12}
    asked = await do(client.models.generate_content(model=MODEL, contents="Count to five.", config=config))
    file = await upload(
        client, line("a", "Count to five.", generationConfig={"temperature": 0, "maxOutputTokens": 12})
    )
    job = await finished(client, (await do(client.batches.create(model=MODEL, src=file.name))).name)
    (answer,) = await results(client, job)
    assert text_of(answer) == asked.text
    assert answer["response"]["modelVersion"] == asked.model_version


async def inline_requests_are_answered_with_their_metadata(client):
    def request(text, **more):
        return {"contents": [{"parts": [{"text": text}], "role": "user"}], **more}

    job = await do(
        client.batches.create(
            model=MODEL,
            src=[
                request("Say one."),
                request(
                    "Name a cheese.",
                    metadata={"key": "k2", "tag": "x"},
                    config={
                        "system_instruction": "be brief",
                        "temperature": 0.5,
                        "max_output_tokens": 200,
                        "response_mime_type": "application/json",
                        "response_schema": CHEESE,
                        "safety_settings": [
                            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}
                        ],
                        "thinking_config": {"include_thoughts": True, "thinking_budget": 128},
                    },
                ),
                request("Search.", metadata={"key": "k3"}, config={"tools": [{"google_search": {}}]}),
                request("Say four.", model=f"models/{MODEL}"),
            ],
            config={"display_name": "inline-job"},
        )
    )
    job = await finished(client, job.name)
    assert job.state.name == "JOB_STATE_SUCCEEDED", job
    one, two, three, four = job.dest.inlined_responses
    assert one.response.text is not None
    if two.response.candidates[0].finish_reason.name == "STOP":
        assert json.loads(two.response.text).keys() == {"name", "soft"}
    assert "google_search" in three.error.message
    assert four.response.text is not None
    if hasattr(two, "metadata"):
        assert two.metadata == {"key": "k2", "tag": "x"}
        assert three.metadata == {"key": "k3"}
    (listed,) = [
        entry for entry in await everything(await do(client.batches.list())) if entry.name == job.name
    ]
    assert listed.state.name == "JOB_STATE_SUCCEEDED"
    stranger = request("Say.", model="models/another-model")
    says = "Error on line 1: models/another-model is not found"
    await refused(lambda: client.batches.create(model=MODEL, src=[stranger]), 400, says)


async def a_cached_content_is_kept_changed_and_deleted(client):
    manual = "The lamp is switched on and off with the button at its foot. " * 5
    config = {
        "display_name": "manual",
        "system_instruction": "Be brief.",
        "contents": [manual],
        "ttl": "3600s",
    }
    cache = await do(client.caches.create(model=MODEL, config=config))
    assert cache.model == f"models/{MODEL}"
    assert cache.usage_metadata.total_token_count > 32
    assert 3590 < (cache.expire_time - cache.create_time).total_seconds() < 3610
    assert cache.name in {each.name for each in await everything(await do(client.caches.list()))}
    changed = await do(client.caches.update(name=cache.name, config={"ttl": "7200s"}))
    assert changed.expire_time > cache.expire_time
    assert (await do(client.caches.get(name=cache.name))).expire_time == changed.expire_time
    await do(client.caches.delete(name=cache.name))
    await refused(lambda: client.caches.get(name=cache.name), 403, "CachedContent not found")
    await refused(
        lambda: client.caches.create(model=MODEL, config={"contents": ["short"]}),
        400,
        "min_total_token_count",
    )


async def a_cached_content_is_used_in_calls_and_batches(client):
    manual = "The lamp is switched on and off with the button at its foot. " * 5
    config = {"system_instruction": "Be brief.", "contents": [manual]}
    cache = await do(client.caches.create(model=MODEL, config=config))
    asked = {"max_output_tokens": 8, "temperature": 0}
    response = await do(
        client.models.generate_content(
            model=MODEL, contents="How?", config={"cached_content": cache.name, **asked}
        )
    )
    said = await do(
        client.models.generate_content(
            model=MODEL,
            contents=[types.Content(role="user", parts=[types.Part(text=text)]) for text in (manual, "How?")],
            config={"system_instruction": "Be brief.", **asked},
        )
    )
    assert response.text == said.text
    assert response.usage_metadata.prompt_token_count == said.usage_metadata.prompt_token_count
    requests = [
        {
            "contents": [{"parts": [{"text": "How?"}], "role": "user"}],
            "config": {"cached_content": cache.name, **asked},
        }
    ]
    job = await finished(client, (await do(client.batches.create(model=MODEL, src=requests))).name)
    assert job.dest.inlined_responses[0].response.text == response.text
    request = {"cachedContent": cache.name, "generationConfig": {"maxOutputTokens": 8, "temperature": 0}}
    file = await upload(client, line("a", "How?", **request))
    job = await finished(client, (await do(client.batches.create(model=MODEL, src=file.name))).name)
    assert text_of((await results(client, job))[0]) == response.text
    await do(client.caches.delete(name=cache.name))
    await refused(lambda: client.batches.create(model=MODEL, src=file.name), 400, "Error on line 1")


async def a_prompt_points_at_a_file(client):
    text = io.BytesIO(b"The lamp is red.")
    file = await do(client.files.upload(file=text, config={"mime_type": "text/plain"}))
    asked = {"max_output_tokens": 8, "temperature": 0}
    response = await do(
        client.models.generate_content(model=MODEL, contents=[file, "Which colour?"], config=asked)
    )
    said = await do(
        client.models.generate_content(model=MODEL, contents="The lamp is red.\nWhich colour?", config=asked)
    )
    assert response.text == said.text
    await do(client.files.delete(name=file.name))
    await refused(
        lambda: client.models.generate_content(model=MODEL, contents=[file, "Which colour?"]),
        403,
        "permission",
    )


async def texts_are_embedded_alone_and_in_batches(client):
    texts = ["The weather is lovely today.", "He drove to the stadium.", "one"]
    alone = await do(client.models.embed_content(model=EMBEDDING_MODEL, contents=texts))
    expected = [embedding.values for embedding in alone.embeddings]
    assert len({len(values) for values in expected}) == 1
    short = await do(
        client.models.embed_content(
            model=EMBEDDING_MODEL, contents="one", config={"output_dimensionality": 5}
        )
    )
    assert len(short.embeddings[0].values) == 5
    await refused(
        lambda: client.models.embed_content(model=MODEL, contents="one"), 400, "makes no embeddings"
    )
    if not hasattr(client.batches, "create_embeddings"):  # as in 1.26
        return
    content = b"\n".join(
        json.dumps({"key": str(number), "request": {"content": {"parts": [{"text": text}]}}}).encode()
        for number, text in enumerate(texts)
    )
    file = await upload(client, content)
    job = await do(client.batches.create_embeddings(model=EMBEDDING_MODEL, src={"file_name": file.name}))
    found = await results(client, await finished(client, job.name))
    assert [result["key"] for result in found] == ["0", "1", "2"]
    assert [result["response"]["embedding"]["values"] for result in found] == expected
    inlined = {"inlined_requests": {"contents": texts}}
    job = await do(client.batches.create_embeddings(model=EMBEDDING_MODEL, src=inlined))
    job = await finished(client, job.name)
    responses = [each.response for each in job.dest.inlined_embed_content_responses]
    assert [response.embedding.values for response in responses] == expected
    assert all(response.token_count for response in responses)


async def a_bad_file_is_refused_with_its_lines(client):
    file = await upload(client, line("a", "x") + b'{"key": "b", "request": {"foo": 1}}\n{"key": \n')
    says = "Error on line 2: invalid JSON, near column 26: no such field: 'foo'"
    await refused(lambda: client.batches.create(model=MODEL, src=file.name), 400, says)
    await refused(lambda: client.batches.create(model="no-such-model", src=file.name), 404, "not found")
    await refused(lambda: client.batches.create(model=MODEL, src="files/nosuchfile"), 403, "may not exist")
    await refused(lambda: client.batches.get(name="batches/nosuchbatch"), 404, "batches/nosuchbatch")


async def a_cancelled_job_keeps_what_it_had(client):
    content = b"".join(
        line(str(n), f"Write story {n}.", generationConfig={"maxOutputTokens": 64}) for n in range(3000)
    )
    file = await upload(client, content)
    job = await do(client.batches.create(model=MODEL, src=file.name))
    await do(client.batches.cancel(name=job.name))
    job = await finished(client, job.name)
    assert job.state.name == "JOB_STATE_CANCELLED", job.state
    answers = await results(client, job)
    assert [answer["key"] for answer in answers] == [str(n) for n in range(3000)]
    assert any(answer.get("error", {}).get("code") == 1 for answer in answers)
    await do(client.batches.cancel(name=job.name))


async def a_running_job_names_the_results_it_has(client):
    content = b"".join(
        line(str(n), f"Write story {n}.", generationConfig={"maxOutputTokens": 64}) for n in range(3000)
    )
    file = await upload(client, content)
    job = await do(client.batches.create(model=MODEL, src=file.name))
    deadline = time.monotonic() + WAIT_SECONDS
    so_far = []
    while not so_far:
        job = await do(client.batches.get(name=job.name))
        assert job.state.name not in DONE, job.state
        assert time.monotonic() < deadline, f"{job.name} has no results"
        if job.dest is not None and job.dest.file_name is not None:
            so_far = await results(client, job)
    assert job.state.name == "JOB_STATE_RUNNING"
    assert not getattr(job, "done", False)
    assert len(so_far) < 3000
    await do(client.batches.delete(name=job.name))


async def jobs_are_listed_in_pages_and_deleted(client):
    src = [{"contents": [{"parts": [{"text": "Hi."}]}], "config": {"max_output_tokens": 2}}]
    made = [(await do(client.batches.create(model=MODEL, src=src))).name for _ in range(3)]
    pager = await do(client.batches.list(config={"page_size": 2}))
    assert len(pager.page) <= 2
    listed = [job.name for job in await everything(pager)]
    assert [name for name in listed if name in made] == made[::-1]
    for name in made:
        await do(client.batches.delete(name=name))
        await refused(lambda name=name: client.batches.get(name=name), 404, name)


async def every_version_of_the_api_is_served(client, make_client):
    for api_version in ("v1", "v1beta", "v1alpha"):
        other = make_client(api_version=api_version)
        file = await upload(other, line("a", "x"))
        shown = await do(other.files.get(name=file.name))
        assert f"/{api_version}/" in shown.uri
        await do(other.files.delete(name=file.name))


SCENARIOS = [
    models_are_listed_and_shown,
    a_prompt_is_answered,
    a_conversation_with_every_setting_is_answered,
    an_answer_follows_a_schema,
    what_cannot_be_done_is_said,
    files_of_every_kind_are_uploaded,
    files_are_listed_in_pages_and_deleted,
    a_file_is_answered_in_order,
    a_source_object_names_a_file,
    batch_and_interactive_give_the_same_answer,
    inline_requests_are_answered_with_their_metadata,
    a_cached_content_is_kept_changed_and_deleted,
    a_cached_content_is_used_in_calls_and_batches,
    a_prompt_points_at_a_file,
    texts_are_embedded_alone_and_in_batches,
    a_bad_file_is_refused_with_its_lines,
    a_cancelled_job_keeps_what_it_had,
    a_running_job_names_the_results_it_has,
    jobs_are_listed_in_pages_and_deleted,
    every_version_of_the_api_is_served,
]


async def main(url, mode):
    """Run every scenario and print how each went. Return how many failed."""

    def make_client(**options):
        client = genai.Client(api_key="any", http_options={"base_url": url, **options})
        return client.aio if mode == "aio" else client

    client = make_client()
    failed = 0
    for scenario in SCENARIOS:
        more = [make_client] if "make_client" in inspect.signature(scenario).parameters else []
        try:
            await scenario(client, *more)
            print(f"ok     {scenario.__name__}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED {scenario.__name__}\n{traceback.format_exc()}", flush=True)
    print(f"google-genai {version('google-genai')}, {mode}: {failed} of {len(SCENARIOS)} failed")
    return failed


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main(*sys.argv[1:3])) else 0)
