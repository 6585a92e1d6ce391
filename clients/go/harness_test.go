package tokend_test

import (
	"encoding/json"
	"os"
	"testing"

	"tokend.internal/go"
)

// harness is what stands around the tests that need the real service.
type harness struct {
	endpoint, conductor, cases, issuer string
	variables                          map[string]string
}

// newHarness reads the environment, and skips the test where it does not tell of a service.
func newHarness(t *testing.T) harness {
	h := harness{
		endpoint: os.Getenv("TOKEND_ENDPOINT"), conductor: os.Getenv("TOKEND_CONDUCTOR"),
		cases: os.Getenv("TOKEND_CASES"), issuer: os.Getenv("TOKEND_ISSUER"),
	}
	if h.cases == "" && os.Getenv("CI") != "true" {
		t.Skip("TOKEND_CASES is not set: this test needs the real service, which `uv run poe test` starts")
	}
	if h.endpoint == "" || h.conductor == "" || h.cases == "" || h.issuer == "" {
		t.Fatal("TOKEND_ENDPOINT, TOKEND_CONDUCTOR, TOKEND_CASES and TOKEND_ISSUER have to be set")
	}
	if err := json.Unmarshal([]byte(os.Getenv("TOKEND_VARIABLES")), &h.variables); err != nil {
		t.Fatalf("TOKEND_VARIABLES: %v", err)
	}
	return h
}

func (h harness) client(t *testing.T, opts ...tokend.Option) *tokend.Client {
	client, err := tokend.New(h.endpoint, append([]tokend.Option{tokend.WithInsecure()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}
