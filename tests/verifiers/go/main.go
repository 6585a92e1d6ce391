// Verifies tokens with go-oidc, set up from nothing but the issuer's URL and the audience.
//
// Reads a line {"issuer": URL, "tokens": {NAME: {"audience": AUDIENCE, "token": TOKEN}}} for each question, and prints
// a line {"go-oidc": {NAME: why it is rejected, empty if it is accepted}}. What it knows of an issuer it keeps.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"

	"github.com/coreos/go-oidc/v3/oidc"
)

type question struct {
	Issuer string
	Tokens map[string]struct{ Audience, Token string }
}

func main() {
	ctx := context.Background()
	questions, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	providers := make(map[string]*oidc.Provider)
	for {
		var asked question
		if err := questions.Decode(&asked); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		if providers[asked.Issuer] == nil {
			provider, err := oidc.NewProvider(ctx, asked.Issuer)
			if err != nil {
				log.Fatal(err)
			}
			providers[asked.Issuer] = provider
		}
		if err := answers.Encode(map[string]any{"go-oidc": rejected(ctx, providers[asked.Issuer], asked)}); err != nil {
			log.Fatal(err)
		}
	}
}

func rejected(ctx context.Context, provider *oidc.Provider, asked question) map[string]string {
	rejected := make(map[string]string)
	for name, each := range asked.Tokens {
		rejected[name] = ""
		if _, err := provider.Verifier(&oidc.Config{ClientID: each.Audience}).Verify(ctx, each.Token); err != nil {
			rejected[name] = err.Error()
		}
	}
	return rejected
}
