// Registers, looks up, merges and unlinks users of a pool, gets them AWS credentials, lists and deletes identities, and
// prints what it saw as JSON; with the word "credentials", which of its own the SDK has found.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity/types"
	"github.com/aws/smithy-go"
)

var (
	pool     = os.Getenv("COGNITO_IDENTITY_POOL_ID")
	provider = os.Getenv("COGNITO_IDENTITY_DEVELOPER_PROVIDER_NAME")
	ctx      = context.Background()
)

type registration = cognitoidentity.GetOpenIdTokenForDeveloperIdentityInput

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	if len(os.Args) > 1 {
		own := must(must(config.LoadDefaultConfig(ctx)).Credentials.Retrieve(ctx))
		must(0, json.NewEncoder(os.Stdout).Encode(map[string]string{"key": own.AccessKeyID, "session": own.SessionToken}))
		return
	}
	client := cognitoidentity.NewFromConfig(must(config.LoadDefaultConfig(ctx)))
	register := func(poolID, user string, identityID *string) (*cognitoidentity.GetOpenIdTokenForDeveloperIdentityOutput, error) {
		return client.GetOpenIdTokenForDeveloperIdentity(ctx, &registration{
			IdentityPoolId: &poolID, IdentityId: identityID, Logins: map[string]string{provider: user},
		})
	}
	lookUp := func(input cognitoidentity.LookupDeveloperIdentityInput) (*cognitoidentity.LookupDeveloperIdentityOutput, error) {
		input.IdentityPoolId = &pool
		return client.LookupDeveloperIdentity(ctx, &input)
	}
	lookUpAlice := cognitoidentity.LookupDeveloperIdentityInput{DeveloperUserIdentifier: aws.String("go-alice")}

	alice := must(register(pool, "go-alice", nil))
	bob := must(register(pool, "go-bob", nil)).IdentityId
	carol := must(register(pool, "go-carol", nil)).IdentityId
	exchange := &cognitoidentity.GetCredentialsForIdentityInput{
		IdentityId: alice.IdentityId, Logins: map[string]string{"cognito-identity.amazonaws.com": *alice.Token},
	}
	key := must(client.GetCredentialsForIdentity(ctx, exchange)).Credentials.AccessKeyId
	_, err := client.GetCredentialsForIdentity(ctx, &cognitoidentity.GetCredentialsForIdentityInput{IdentityId: alice.IdentityId})
	var forbidden *types.NotAuthorizedException
	if !errors.As(err, &forbidden) {
		log.Fatal(err)
	}
	found := must(lookUp(lookUpAlice))
	merged := must(client.MergeDeveloperIdentities(ctx, &cognitoidentity.MergeDeveloperIdentitiesInput{
		IdentityPoolId: &pool, DeveloperProviderName: &provider,
		SourceUserIdentifier: aws.String("go-alice"), DestinationUserIdentifier: aws.String("go-bob"),
	}))
	both := must(lookUp(cognitoidentity.LookupDeveloperIdentityInput{IdentityId: bob})).DeveloperUserIdentifierList
	slices.Sort(both)

	_, err = register(pool, "go-carol", bob)
	var registered *types.DeveloperUserAlreadyRegisteredException
	if !errors.As(err, &registered) {
		log.Fatal(err)
	}
	must(client.UnlinkDeveloperIdentity(ctx, &cognitoidentity.UnlinkDeveloperIdentityInput{
		IdentityPoolId: &pool, IdentityId: bob,
		DeveloperProviderName: &provider, DeveloperUserIdentifier: aws.String("go-alice"),
	}))
	_, err = lookUp(lookUpAlice)
	var unlinked *types.ResourceNotFoundException
	if !errors.As(err, &unlinked) {
		log.Fatal(err)
	}
	_, err = register("zz", "go-alice", nil)
	var invalid smithy.APIError
	if !errors.As(err, &invalid) {
		log.Fatal(err)
	}
	list := must(client.ListIdentities(ctx, &cognitoidentity.ListIdentitiesInput{IdentityPoolId: &pool, MaxResults: aws.Int32(60)}))
	isListed := func(id *string) bool {
		return slices.ContainsFunc(list.Identities, func(each types.IdentityDescription) bool { return *each.IdentityId == *id })
	}
	describeCarol := &cognitoidentity.DescribeIdentityInput{IdentityId: carol}
	described := must(client.DescribeIdentity(ctx, describeCarol))
	deletion := must(client.DeleteIdentities(ctx, &cognitoidentity.DeleteIdentitiesInput{IdentityIdsToDelete: []string{*carol}}))
	_, err = client.DescribeIdentity(ctx, describeCarol)
	var deleted *types.ResourceNotFoundException
	if !errors.As(err, &deleted) {
		log.Fatal(err)
	}
	seen := map[string]string{
		"alice":       *alice.IdentityId,
		"bob":         *bob,
		"token":       *alice.Token,
		"key":         *key,
		"forbidden":   forbidden.ErrorMessage(),
		"found":       *found.IdentityId,
		"merged":      *merged.IdentityId,
		"users":       strings.Join(both, " "),
		"registered":  registered.ErrorMessage(),
		"unlinked":    unlinked.ErrorMessage(),
		"invalid":     invalid.ErrorCode() + ": " + invalid.ErrorMessage(),
		"listed":      strconv.FormatBool(isListed(bob) && isListed(carol)),
		"described":   strings.Join(described.Logins, " "),
		"unprocessed": strconv.Itoa(len(deletion.UnprocessedIdentityIds)),
		"deleted":     deleted.ErrorMessage(),
	}
	must(0, json.NewEncoder(os.Stdout).Encode(seen))
}
