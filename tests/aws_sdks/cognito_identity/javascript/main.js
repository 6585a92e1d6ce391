// Registers, looks up, merges and unlinks users of a pool, lists and deletes identities, and prints what it saw as JSON.
import {
  CognitoIdentity,
  CognitoIdentityServiceException,
  DeveloperUserAlreadyRegisteredException,
  ResourceNotFoundException,
} from "@aws-sdk/client-cognito-identity";

const { COGNITO_IDENTITY_POOL_ID: IdentityPoolId, COGNITO_IDENTITY_DEVELOPER_PROVIDER_NAME: provider } = process.env;
const cognito = new CognitoIdentity();

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
