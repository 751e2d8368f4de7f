// Import the document of a server of ours into Postman, with the converter that Postman has.
//
//     node import_into_postman.mjs URL FOLDER
//
// FOLDER has openapi-to-postmanv2 in its node_modules. Exits with 1 if a call of the document is not in what comes out.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const [url, folder] = process.argv.slice(2);
const { convertV2 } = createRequire(path.join(folder, "package.json"))("openapi-to-postmanv2");

const text = await (await fetch(`${url}/openapi.json`)).text();
const options = { requestParametersResolution: "Example", folderStrategy: "Tags" };
const converted = await new Promise((resolve, reject) =>
  convertV2({ type: "string", data: text }, options, (error, result) => (error ? reject(error) : resolve(result))),
);
assert.ok(converted.result, converted.reason);
const collection = converted.output[0].data;
assert.equal(collection.variable.find((one) => one.key === "baseUrl").value, url);

function* requests(items) {
  for (const item of items) {
    if (item.item) yield* requests(item.item);
    if (item.request) yield item.request;
  }
}

// A piece is `:name` where it is all between two slashes, else `{{name}}`.
const spelled = (piece) => piece.replace(/^:(\w+)$/, "{$1}").replace(/\{\{(\w+)\}\}/g, "{$1}");
const calls = [...requests(collection.item)].map(
  (request) => `${request.method} /${request.url.path.map(spelled).join("/")}`,
);
const described = Object.entries(JSON.parse(text).paths).flatMap(([route, methods]) =>
  Object.keys(methods).map((method) => `${method.toUpperCase()} ${route}`),
);
assert.deepEqual(calls.sort(), described.sort());
const answer = [...requests(collection.item)].find((one) => one.url.path.join("/").endsWith(":generateContent"));
assert.ok(JSON.parse(answer.body.raw).contents[0].parts[0].text);
