// Verifies tokens with go-oidc, set up from nothing but the issuer's URL and the audience.
//
// Reads {"issuer": URL, "tokens": {NAME: {"audience": AUDIENCE, "token": TOKEN}}} and prints
// {"go-oidc": {NAME: why it is rejected, empty if it is accepted}}.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/coreos/go-oidc/v3/oidc"
)

type question struct {
	Issuer string
	Tokens map[string]struct{ Audience, Token string }
}

func main() {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	provider, err := oidc.NewProvider(ctx, asked.Issuer)
	if err != nil {
		log.Fatal(err)
	}
	rejected := make(map[string]string)
	for name, each := range asked.Tokens {
		rejected[name] = ""
		if _, err := provider.Verifier(&oidc.Config{ClientID: each.Audience}).Verify(ctx, each.Token); err != nil {
			rejected[name] = err.Error()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"go-oidc": rejected}); err != nil {
		log.Fatal(err)
	}
}
