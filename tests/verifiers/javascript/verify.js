// Verifies tokens with jose, set up from the issuer's URL and the audience.
//
// Reads {"issuer": URL, "tokens": {NAME: {"audience": AUDIENCE, "token": TOKEN}}} and prints
// {"jose": {NAME: why it is rejected, empty if it is accepted}}.
import { text } from "node:stream/consumers";
import { createRemoteJWKSet, jwtVerify } from "jose";

const { issuer, tokens } = JSON.parse(await text(process.stdin));
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));
const rejected = {};
for (const [name, { audience, token }] of Object.entries(tokens)) {
  rejected[name] = await jwtVerify(token, keys, { issuer, audience }).then(
    () => "",
    (error) => `${error.code}: ${error.message}`,
  );
}
console.log(JSON.stringify({ jose: rejected }));
