package tokend_test

import (
	"context"
	"errors"
	"fmt"

	tokend "tokend.internal/go"
	"tokend.internal/go/tokendtest"
)

func Example() {
	server := tokendtest.NewServer() // in place of tokend.New("dns:///tokend.example.internal:443")
	defer server.Close()
	client := server.Client()
	request := tokend.TokenRequest{
		IdentityPoolID: tokendtest.IdentityPoolID,
		Logins:         tokend.Logins{tokendtest.DeveloperProviderName: tokend.NewSecret("user-4711")},
	}
	first, err := client.GetOpenIdTokenForDeveloperIdentity(context.Background(), request)
	if err != nil {
		panic(err)
	}
	again, err := client.GetOpenIdTokenForDeveloperIdentity(context.Background(), request)
	if err != nil {
		panic(err)
	}
	fmt.Println("same identity:", first.IdentityID == again.IdentityID)
	fmt.Println("token:", first.Value)
	// Output:
	// same identity: true
	// token: [redacted]
}

func ExampleNewTokenSource() {
	server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256))
	defer server.Close()
	source := tokend.NewTokenSource(server.Client(), request("billing-service"))
	defer source.Close()
	for range 1000 {
		if _, err := source.Token(context.Background()); err != nil {
			panic(err)
		}
	}
	fmt.Println("calls:", server.Calls("GetOpenIdTokenForDeveloperIdentity"))
	// Output: calls: 1
}

func ExampleNewTokenCache() {
	server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256))
	defer server.Close()
	cache := tokend.NewTokenCache(server.Client())
	defer cache.Close()
	for _, user := range []string{"alice", "bob", "alice", "bob", "alice"} {
		if _, err := cache.Token(context.Background(), request(user)); err != nil {
			panic(err)
		}
	}
	fmt.Println("calls:", server.Calls("GetOpenIdTokenForDeveloperIdentity"))
	// Output: calls: 2
}

func ExampleError() {
	server := tokendtest.NewServer()
	defer server.Close()
	_, err := server.Client().LookupDeveloperIdentity(context.Background(), tokend.LookupRequest{
		IdentityPoolID:          tokendtest.IdentityPoolID,
		DeveloperUserIdentifier: tokend.NewSecret("unknown"),
	})
	var failed *tokend.Error
	if errors.As(err, &failed) {
		fmt.Println(failed.Code, string(failed.Reason), failed.ResourceType)
	}
	fmt.Println(errors.Is(err, tokend.ResourceNotFound))
	// Output:
	// NotFound RESOURCE_NOT_FOUND DeveloperUser
	// true
}
