// Command firsttoken gets a token for a user from `uv run tokend serve`.
package main

import (
	"context"
	"fmt"
	"log"

	tokend "tokend.internal/go"
)

func main() {
	client, err := tokend.New("127.0.0.1:50051", tokend.WithPlaintext())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	token, err := client.GetOpenIdTokenForDeveloperIdentity(context.Background(), tokend.TokenRequest{
		IdentityPoolID: "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21",
		Logins:         tokend.Logins{"login.example.internal": tokend.NewSecret("user-4711")},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.IdentityID, token.Value.Reveal())
}
