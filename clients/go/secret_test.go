package tokend_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"tokend.internal/go"
)

const hidden = "hunter2-of-alice"

func secretHolders() map[string]any {
	secret := tokend.NewSecret(hidden)
	token := tokend.Token{IdentityID: "local:1", Value: secret}
	return map[string]any{
		"a secret":                   secret,
		"a pointer":                  &secret,
		"logins":                     tokend.Logins{"login.example.internal": secret},
		"a token request":            tokend.TokenRequest{Logins: tokend.Logins{"login.example.internal": secret}},
		"a lookup request":           tokend.LookupRequest{DeveloperUserIdentifier: secret},
		"a merge request":            tokend.MergeRequest{SourceUserIdentifier: secret, DestinationUserIdentifier: secret},
		"an unlink request":          tokend.UnlinkRequest{DeveloperUserIdentifier: secret},
		"a token":                    token,
		"an identity":                tokend.LookupResult{DeveloperUserIdentifiers: []tokend.Secret{secret}},
		"another's unexported field": struct{ token tokend.Token }{token},
		"a source":                   tokend.NewTokenSource(nil, tokend.TokenRequest{Logins: tokend.Logins{"a": secret}}),
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	for name, holder := range secretHolders() {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
			if printed := fmt.Sprintf(verb, holder); leaks(printed) {
				t.Errorf("%s of %s: %s", verb, name, printed)
			}
		}
	}
}

func TestSecretsAreNotEncodedOrLogged(t *testing.T) {
	for name, holder := range secretHolders() {
		var out bytes.Buffer
		slog.New(slog.NewJSONHandler(&out, nil)).Info("record", "holder", holder)
		slog.New(slog.NewTextHandler(&out, nil)).Info("record", "holder", holder)
		if encoded, err := json.Marshal(holder); err == nil {
			out.Write(encoded)
		}
		if leaks(out.String()) {
			t.Errorf("%s: %s", name, out.String())
		}
	}
}

func leaks(printed string) bool {
	return strings.Contains(printed, hidden) || strings.Contains(strings.ToLower(printed), fmt.Sprintf("%x", hidden))
}

func TestSecretRevealsItsText(t *testing.T) {
	if got := tokend.NewSecret(hidden).Reveal(); got != hidden {
		t.Errorf("revealed %q", got)
	}
	if got := (tokend.Secret{}).Reveal(); got != "" {
		t.Errorf("the zero secret reveals %q", got)
	}
}

func TestSecretsAreEqualWhenTheirTextsAre(t *testing.T) {
	if !tokend.NewSecret("a").Equal(tokend.NewSecret("a")) {
		t.Error("the same text, and not equal")
	}
	if tokend.NewSecret("a").Equal(tokend.NewSecret("b")) {
		t.Error("another text, and equal")
	}
	if !tokend.NewSecret("").Equal(tokend.Secret{}) {
		t.Error("the empty text is not the zero secret")
	}
}
