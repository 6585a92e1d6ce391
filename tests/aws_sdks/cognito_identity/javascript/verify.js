// Verifies tokens with aws-jwt-verify, which is given the keys, since it fetches them by https alone.
//
// Reads {"issuer": URL, "audience": POOL, "tokens": [TOKEN]} and prints for each why it is rejected, empty if it is not.
import { text } from "node:stream/consumers";
import { JwtVerifier } from "aws-jwt-verify";

const { issuer, audience, tokens } = JSON.parse(await text(process.stdin));
const verifier = JwtVerifier.create({ issuer, audience, jwksUri: `${issuer}/.well-known/jwks.json` });
verifier.cacheJwks(await (await fetch(`${issuer}/.well-known/jwks.json`)).json());
const why = (token) => {
  try {
    verifier.verifySync(token);
    return "";
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};
console.log(JSON.stringify(tokens.map(why)));
