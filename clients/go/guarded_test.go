package tokend_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"tokend.internal/go"
)

// guarded is a service that requires authentication, and the credentials of its callers.
type guarded struct {
	MutualTLS             string `json:"mutual_tls"`
	Bearer                string `json:"bearer"`
	CAFile                string `json:"ca_file"`
	CertificateFile       string `json:"certificate_file"`
	PrivateKeyFile        string `json:"private_key_file"`
	KeyFile               string `json:"key_file"`
	UnknownKeyFile        string `json:"unknown_key_file"`
	KeyOfALimitedFile     string `json:"key_of_a_limited_caller_file"`
	IdentityPoolID        string `json:"identity_pool_id"`
	OtherIdentityPoolID   string `json:"other_identity_pool_id"`
	DeveloperProviderName string `json:"developer_provider_name"`
}

// newGuarded reads the environment, and skips the test if it has no such service.
func newGuarded(t *testing.T) guarded {
	settings := os.Getenv("TOKEND_GUARDED")
	if settings == "" && os.Getenv("CI") != "true" {
		t.Skip("TOKEND_GUARDED is not set: this test needs the real service, which `uv run poe test` starts")
	}
	var g guarded
	if err := json.Unmarshal([]byte(settings), &g); err != nil {
		t.Fatalf("TOKEND_GUARDED: %v", err)
	}
	return g
}

func (g guarded) client(t *testing.T, target string, config *tls.Config, opts ...tokend.Option) *tokend.Client {
	ca, err := os.ReadFile(g.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	config.RootCAs = x509.NewCertPool()
	config.RootCAs.AppendCertsFromPEM(ca)
	client, err := tokend.New(target, append(opts, tokend.WithTransportCredentials(credentials.NewTLS(config)))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func (g guarded) bearing(t *testing.T, file string) *tokend.Client {
	return g.client(t, g.Bearer, &tls.Config{}, tokend.WithBearerTokenFile(file))
}

// ask makes a call, and repeats it if it exceeds the client's own deadline on a busy machine.
func (g guarded) ask(t *testing.T, client *tokend.Client, pool string) error {
	for {
		_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), tokend.TokenRequest{
			IdentityPoolID: pool,
			Logins:         tokend.Logins{g.DeveloperProviderName: tokend.NewSecret("alice")},
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

func (g guarded) expect(t *testing.T, client *tokend.Client, pool string, want error) {
	t.Helper()
	if err := g.ask(t, client, pool); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func TestCertificateIdentifiesCaller(t *testing.T) {
	g := newGuarded(t)
	get := tokend.ClientCertificate(g.CertificateFile, g.PrivateKeyFile)
	client := g.client(t, g.MutualTLS, &tls.Config{GetClientCertificate: get})
	g.expect(t, client, g.IdentityPoolID, nil)
	g.expect(t, client, g.OtherIdentityPoolID, tokend.CallerNotAllowed)
	if err := g.ask(t, g.client(t, g.MutualTLS, &tls.Config{}), g.IdentityPoolID); status.Code(err) != codes.Unavailable {
		t.Errorf("without a certificate: error %v", err)
	}
}

func TestBearerTokenIdentifiesCaller(t *testing.T) {
	g := newGuarded(t)
	client := g.bearing(t, g.KeyFile)
	g.expect(t, client, g.IdentityPoolID, nil)
	g.expect(t, client, g.OtherIdentityPoolID, tokend.CallerNotAllowed)
	g.expect(t, g.client(t, g.Bearer, &tls.Config{}), g.IdentityPoolID, tokend.CallerUnauthenticated)
}

func TestReplacedBearerTokenIsSent(t *testing.T) {
	g := newGuarded(t)
	directory := t.TempDir()
	file, next := filepath.Join(directory, "token"), filepath.Join(directory, "next")
	if err := os.Symlink(g.UnknownKeyFile, file); err != nil {
		t.Fatal(err)
	}
	client := g.bearing(t, file)
	g.expect(t, client, g.IdentityPoolID, tokend.CallerUnauthenticated)
	if err := errors.Join(os.Symlink(g.KeyFile, next), os.Rename(next, file)); err != nil {
		t.Fatal(err)
	}
	g.expect(t, client, g.IdentityPoolID, nil)
}

func TestCallSucceedsAfterRetryDelay(t *testing.T) {
	g := newGuarded(t)
	client := g.bearing(t, g.KeyOfALimitedFile)
	var err error
	for err == nil {
		err = g.ask(t, client, g.IdentityPoolID)
	}
	refusal, ok := asError(err)
	if !ok || refusal.Reason != tokend.TooManyRequests || refusal.RetryDelay <= 0 || refusal.RetryDelay > time.Second/2 {
		t.Fatalf("error %v", err)
	}
	time.Sleep(refusal.RetryDelay)
	g.expect(t, client, g.IdentityPoolID, nil)
}
