// What users do with the official JavaScript SDK, done against a server of ours.
//
//     node scenarios.mjs URL FOLDER
//
// FOLDER is where @google/genai is installed. Exits with 1 if any scenario fails.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const [url, folder] = process.argv.slice(2);
const { GoogleGenAI } = createRequire(join(resolve(folder), "index.js"))("@google/genai");

const MODEL = "gemini-3.5-flash";
const DONE = ["JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED"];
const CHUNK = 8 * 1024 * 1024;
const WAIT_SECONDS = 300;
const CHEESE = {
  type: "OBJECT",
  properties: { name: { type: "STRING" }, soft: { type: "BOOLEAN" } },
  required: ["name", "soft"],
  propertyOrdering: ["name", "soft"],
};

const ai = new GoogleGenAI({ apiKey: "any", httpOptions: { baseUrl: url } });
const workspace = await mkdtemp(join(tmpdir(), "scenarios-"));

const line = (key, text, request = {}) =>
  JSON.stringify({ key, request: { contents: [{ parts: [{ text }] }], ...request } }) + "\n";

const upload = (content, config = {}) =>
  ai.files.upload({ file: new Blob([content]), config: { mimeType: "jsonl", ...config } });

async function refused(call, code, says) {
  await assert.rejects(call, (error) => {
    assert.equal(error.status, code, error.message);
    assert.ok(error.message.includes(says), error.message);
    return true;
  });
}

async function finished(name) {
  const deadline = Date.now() + WAIT_SECONDS * 1000;
  for (;;) {
    const job = await ai.batches.get({ name });
    if (DONE.includes(job.state)) return job;
    assert.ok(Date.now() < deadline, `${name} is still ${job.state}`);
    await sleep(200);
  }
}

async function download(file) {
  const path = join(workspace, "download");
  await rm(path, { force: true });
  await ai.files.download({ file, downloadPath: path });
  // The SDK returns before it has written everything.
  for (let size = -1, tries = 0; tries < 100; tries++) {
    const content = await readFile(path).catch(() => null);
    if (content !== null && content.length === size) return content;
    size = content?.length ?? -1;
    await sleep(100);
  }
  throw new Error(`${path} did not settle`);
}

async function results(job) {
  const content = await download(job.dest.fileName);
  return content.toString().trimEnd().split("\n").map((result) => JSON.parse(result));
}

async function everything(pager) {
  const entries = [];
  for await (const entry of pager) entries.push(entry);
  return entries;
}

const scenarios = {
  async modelsAreListedAndShown() {
    const listed = await everything(await ai.models.list({ config: { pageSize: 5 } }));
    assert.ok(listed.length > 0);
    const model = await ai.models.get({ model: MODEL });
    assert.equal(model.name, `models/${MODEL}`);
    await refused(() => ai.models.get({ model: "no-such-model" }), 404, "not found");
  },

  async aPromptIsAnswered() {
    const response = await ai.models.generateContent({ model: MODEL, contents: "Say hello." });
    assert.equal(typeof response.text, "string");
    const counted = await ai.models.countTokens({ model: MODEL, contents: "Say hello." });
    assert.equal(counted.totalTokens, response.usageMetadata.promptTokenCount);
  },

  async anAnswerFollowsASchema() {
    const response = await ai.models.generateContent({
      model: MODEL,
      contents: "Name a cheese.",
      config: {
        systemInstruction: "Be brief.",
        responseMimeType: "application/json",
        responseSchema: CHEESE,
        maxOutputTokens: 200,
      },
    });
    if (response.candidates[0].finishReason === "STOP") {
      assert.deepEqual(Object.keys(JSON.parse(response.text)), ["name", "soft"]);
    }
  },

  async whatCannotBeDoneIsSaid() {
    const generate = (config) => ai.models.generateContent({ model: MODEL, contents: "x", config });
    await refused(() => generate({ logprobs: 2 }), 400, "response_logprobs is true");
    await refused(() => generate({ tools: [{ googleSearch: {} }] }), 400, "google_search");
    await refused(() => ai.models.embedContent({ model: MODEL, contents: "x" }), 400, "no embeddings");
  },

  async filesOfEveryKindAreUploaded() {
    const path = join(workspace, "requests.jsonl");
    await writeFile(path, line("a", "one"));
    const fromPath = await ai.files.upload({
      file: path,
      config: { mimeType: "jsonl", displayName: "my-batch" },
    });
    assert.equal(fromPath.displayName, "my-batch");
    assert.equal(fromPath.sizeBytes, String(line("a", "one").length));
    assert.equal((await ai.files.get({ name: fromPath.name })).name, fromPath.name);

    const content = Buffer.alloc(CHUNK + 100, "x");
    const chunked = await upload(content, { mimeType: "application/octet-stream" });
    assert.equal(chunked.sizeBytes, String(content.length));
    assert.ok((await download(chunked.name)).equals(content));

    const name = `files/mine-${process.hrtime.bigint()}`;
    assert.equal((await upload("{}\n", { name })).name, name);
    for (const file of [fromPath.name, chunked.name, name]) {
      await ai.files.delete({ name: file });
      await refused(() => ai.files.get({ name: file }), 403, "may not exist");
    }
  },

  async filesAreListedInPages() {
    const made = [];
    for (let n = 0; n < 3; n++) made.push((await upload("{}\n")).name);
    const pager = await ai.files.list({ config: { pageSize: 2 } });
    assert.ok(pager.page.length <= 2);
    const listed = (await everything(pager)).map((file) => file.name);
    assert.deepEqual(listed.filter((name) => made.includes(name)), made.reverse());
    for (const name of made) await ai.files.delete({ name });
  },

  async aFileIsAnsweredInOrder() {
    const keys = Array.from({ length: 10 }, (_, n) => `request-${n}`);
    const lines = keys.map((key) => line(key, `Say ${key}.`, { generationConfig: { maxOutputTokens: 8 } }));
    const file = await upload(lines.join(""));
    const created = await ai.batches.create({ model: MODEL, src: file.name, config: { displayName: "d" } });
    assert.equal(created.displayName, "d");
    const job = await finished(created.name);
    assert.equal(job.state, "JOB_STATE_SUCCEEDED");
    const answers = await results(job);
    assert.deepEqual(answers.map((answer) => answer.key), keys);
    assert.ok(answers.every((answer) => "response" in answer));
  },

  async inlineRequestsAreAnsweredWithTheirMetadata() {
    const contents = [{ role: "user", parts: [{ text: "Name a cheese." }] }];
    const config = {
      systemInstruction: { parts: [{ text: "s" }] },
      temperature: 0.1,
      maxOutputTokens: 200,
      responseMimeType: "application/json",
      responseSchema: CHEESE,
      thinkingConfig: { thinkingBudget: 1 },
    };
    const created = await ai.batches.create({
      model: MODEL,
      src: [
        { contents, metadata: { key: "k1" }, config },
        { contents, metadata: { key: "k2" }, config: { tools: [{ googleSearch: {} }] } },
      ],
    });
    const job = await finished(created.name);
    assert.equal(job.state, "JOB_STATE_SUCCEEDED");
    const [one, two] = job.dest.inlinedResponses;
    assert.ok(one.response.candidates.length === 1);
    assert.ok(two.error.message.includes("google_search"));
    assert.deepEqual([one.metadata, two.metadata], [{ key: "k1" }, { key: "k2" }]);
  },

  async aBadFileIsRefusedWithItsLines() {
    const file = await upload(line("a", "x") + '{"key": "b", "request": {"foo": 1}}\n');
    const says = "Error on line 2: invalid JSON, near column 26: no such field: 'foo'";
    await refused(() => ai.batches.create({ model: MODEL, src: file.name }), 400, says);
    await refused(() => ai.batches.create({ model: MODEL, src: "files/nosuchfile" }), 403, "may not exist");
    await refused(() => ai.batches.get({ name: "batches/nosuchbatch" }), 404, "batches/nosuchbatch");
  },

  async aCancelledJobKeepsWhatItHad() {
    const keys = Array.from({ length: 3000 }, (_, n) => `${n}`);
    const lines = keys.map((key) => line(key, `Write ${key}.`, { generationConfig: { maxOutputTokens: 64 } }));
    const file = await upload(lines.join(""));
    const { name } = await ai.batches.create({ model: MODEL, src: file.name });
    await ai.batches.cancel({ name });
    const job = await finished(name);
    assert.equal(job.state, "JOB_STATE_CANCELLED");
    assert.deepEqual((await results(job)).map((answer) => answer.key), keys);
  },

  async aRunningJobNamesTheResultsItHas() {
    const keys = Array.from({ length: 3000 }, (_, n) => `${n}`);
    const lines = keys.map((key) => line(key, `Write ${key}.`, { generationConfig: { maxOutputTokens: 64 } }));
    const file = await upload(lines.join(""));
    const { name } = await ai.batches.create({ model: MODEL, src: file.name });
    const deadline = Date.now() + WAIT_SECONDS * 1000;
    let job = await ai.batches.get({ name });
    while (!job.dest?.fileName) {
      assert.ok(Date.now() < deadline && !DONE.includes(job.state), `${name} is ${job.state}`);
      await sleep(50);
      job = await ai.batches.get({ name });
    }
    assert.equal(job.state, "JOB_STATE_RUNNING");
    await ai.files.download({ file: job.dest.fileName, downloadPath: join(workspace, "so-far") });
    await ai.batches.delete({ name });
  },

  async jobsAreListedAndDeleted() {
    const src = [{ contents: [{ parts: [{ text: "Hi." }] }], config: { maxOutputTokens: 2 } }];
    const { name } = await ai.batches.create({ model: MODEL, src });
    const listed = await everything(await ai.batches.list({ config: { pageSize: 2 } }));
    assert.equal(listed[0].name, name);
    await ai.batches.delete({ name });
    await refused(() => ai.batches.get({ name }), 404, name);
  },
};

let failed = 0;
for (const [name, scenario] of Object.entries(scenarios)) {
  try {
    await scenario();
    console.log(`ok     ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}\n${error.stack}`);
  }
}
await rm(workspace, { recursive: true, force: true });
console.log(`@google/genai: ${failed} of ${Object.keys(scenarios).length} failed`);
process.exit(failed ? 1 : 0);
