// Registers, looks up, merges and unlinks users of a pool, gets them AWS credentials, lists and deletes identities, and
// prints what it saw as JSON; with the word "credentials", which of its own the SDK has found.
import {
  CognitoIdentity,
  CognitoIdentityServiceException,
  DeveloperUserAlreadyRegisteredException,
  NotAuthorizedException,
  ResourceNotFoundException,
} from "@aws-sdk/client-cognito-identity";

const { COGNITO_IDENTITY_POOL_ID: IdentityPoolId, COGNITO_IDENTITY_DEVELOPER_PROVIDER_NAME: provider } = process.env;
const cognito = new CognitoIdentity();

if (process.argv.length > 2) {
  const { accessKeyId, sessionToken } = await cognito.config.credentials();
  console.log(JSON.stringify({ key: accessKeyId, session: sessionToken }));
  process.exit();
}

const register = (user, members = {}) =>
  cognito.getOpenIdTokenForDeveloperIdentity({ IdentityPoolId, Logins: { [provider]: user }, ...members });

async function refused(type, call) {
  try {
    await call;
  } catch (error) {
    if (error instanceof type) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

const seen = {};
const alice = await register("javascript-alice");
const bob = (await register("javascript-bob")).IdentityId;
const carol = (await register("javascript-carol")).IdentityId;
Object.assign(seen, { alice: alice.IdentityId, bob, token: alice.Token });
const Logins = { "cognito-identity.amazonaws.com": alice.Token };
const { Credentials } = await cognito.getCredentialsForIdentity({ IdentityId: alice.IdentityId, Logins });
seen.key = Credentials.AccessKeyId;
const forbidden = cognito.getCredentialsForIdentity({ IdentityId: alice.IdentityId });
seen.forbidden = (await refused(NotAuthorizedException, forbidden)).message;
const lookUpAlice = () => cognito.lookupDeveloperIdentity({ IdentityPoolId, DeveloperUserIdentifier: "javascript-alice" });
seen.found = (await lookUpAlice()).IdentityId;
const users = { SourceUserIdentifier: "javascript-alice", DestinationUserIdentifier: "javascript-bob" };
const merge = { IdentityPoolId, DeveloperProviderName: provider, ...users };
seen.merged = (await cognito.mergeDeveloperIdentities(merge)).IdentityId;
const both = await cognito.lookupDeveloperIdentity({ IdentityPoolId, IdentityId: bob });
seen.users = both.DeveloperUserIdentifierList.sort().join(" ");
const registered = register("javascript-carol", { IdentityId: bob });
seen.registered = (await refused(DeveloperUserAlreadyRegisteredException, registered)).message;
const user = { DeveloperProviderName: provider, DeveloperUserIdentifier: "javascript-alice" };
await cognito.unlinkDeveloperIdentity({ IdentityPoolId, IdentityId: bob, ...user });
seen.unlinked = (await refused(ResourceNotFoundException, lookUpAlice())).message;
const invalid = await refused(CognitoIdentityServiceException, register("javascript-alice", { IdentityPoolId: "zz" }));
seen.invalid = `${invalid.name}: ${invalid.message}`;
const listed = (await cognito.listIdentities({ IdentityPoolId, MaxResults: 60 })).Identities.map((each) => each.IdentityId);
seen.listed = String(listed.includes(bob) && listed.includes(carol));
seen.described = (await cognito.describeIdentity({ IdentityId: carol })).Logins.join(" ");
seen.unprocessed = String((await cognito.deleteIdentities({ IdentityIdsToDelete: [carol] })).UnprocessedIdentityIds.length);
seen.deleted = (await refused(ResourceNotFoundException, cognito.describeIdentity({ IdentityId: carol }))).message;
console.log(JSON.stringify(seen));
