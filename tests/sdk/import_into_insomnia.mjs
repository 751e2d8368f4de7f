// Import the document of a server of ours into Insomnia, with the importer that Insomnia has published.
//
//     node import_into_insomnia.mjs URL FOLDER
//
// FOLDER has insomnia-importers in its node_modules. Exits with 1 if a call of the document is not in what comes out.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const [url, folder] = process.argv.slice(2);
const { convert } = createRequire(path.join(folder, "package.json"))("insomnia-importers");

const text = await (await fetch(`${url}/openapi.json`)).text();
console.log = () => {}; // it says that it cannot validate version 3.1, and goes on
const { data } = await convert(text);

const calls = data.resources
  .filter((resource) => resource._type === "request")
  .map((request) => `${request.method} ${request.url.replace(/^\{\{ base_url \}\}/, "").replace(/\{\{\s*(\w+)\s*\}\}/g, "{$1}")}`);
const described = Object.entries(JSON.parse(text).paths).flatMap(([route, methods]) =>
  Object.keys(methods).map((method) => `${method.toUpperCase()} ${route}`),
);
assert.deepEqual(calls.sort(), described.sort());
