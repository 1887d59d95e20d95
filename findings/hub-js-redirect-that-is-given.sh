#!/usr/bin/env bash
# oauthHandleRedirectIfPresent of @huggingface/hub 2.17.5 finds no sign-in in the address that it is given; oauthHandleRedirect does.
# Needs Node.js and npm.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
npm install --silent --ignore-scripts --no-audit --no-fund --no-save @huggingface/hub@2.17.5
cat > redirect.mjs <<'JAVASCRIPT'
import assert from "node:assert";
import fs from "node:fs";
import http from "node:http";
import { oauthHandleRedirect, oauthHandleRedirectIfPresent } from "@huggingface/hub";

const { version } = JSON.parse(fs.readFileSync("node_modules/@huggingface/hub/package.json"));
console.log(`@huggingface/hub ${version}, Node ${process.version}`);

// A provider that answers every question in turn: where it is, a token, and who that is.
const server = http.createServer((request, response) => {
  const at = `http://127.0.0.1:${server.address().port}`;
  const answers = {
    "/.well-known/openid-configuration": { token_endpoint: `${at}/token`, userinfo_endpoint: `${at}/user` },
    "/token": { access_token: "token", expires_in: 60, scope: "openid" },
    "/user": { preferred_username: "anna" },
  };
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(answers[request.url]));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const hubUrl = `http://127.0.0.1:${server.address().port}`;
const state = encodeURIComponent(JSON.stringify({ nonce: "n", redirectUri: "https://example.com/" }));
// What both functions document: the address to analyse, and what would otherwise be read from localStorage.
const given = (query) => ({ hubUrl, redirectedUrl: `https://example.com/?${query}`, nonce: "n", codeVerifier: "v" });

const direct = await oauthHandleRedirect(given(`code=c&state=${state}`));
console.log("oauthHandleRedirect:", direct.userInfo.preferred_username);
// The whole address is read as a query, so that its first name is "https://example.com/?code".
const first = await oauthHandleRedirectIfPresent(given(`code=c&state=${state}`));
console.log("oauthHandleRedirectIfPresent, the code first:", first);
// And where the code is found, the nonce that was given is not asked for, but that of localStorage.
globalThis.localStorage = { getItem: () => null };
const second = await oauthHandleRedirectIfPresent(given(`state=${state}&code=c`));
console.log("oauthHandleRedirectIfPresent, the code second:", second);
server.close();
assert.deepEqual([direct.userInfo.preferred_username, first, second], ["anna", false, false]);
JAVASCRIPT
node redirect.mjs
