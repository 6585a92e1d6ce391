package tokend_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"tokend.internal/go"
)

// harness is the environment of the tests that need the real service.
type harness struct {
	endpoint, scripted, conductor, cases, issuer string
	replicas                                     []string
	variables                                    map[string]string
}

// newHarness reads the environment, and skips the test if it has no service.
func newHarness(t *testing.T) harness {
	h := harness{
		endpoint: os.Getenv("TOKEND_ENDPOINT"), scripted: os.Getenv("TOKEND_SCRIPTED"),
		replicas: strings.Split(os.Getenv("TOKEND_REPLICAS"), ","), conductor: os.Getenv("TOKEND_CONDUCTOR"),
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
	return newClient(t, h.endpoint, opts...)
}

// clientOf returns a client of one of the servers of the cases.
func (h harness) clientOf(t *testing.T, server string, opts ...tokend.Option) *tokend.Client {
	switch server {
	case "", "served":
		return h.client(t, opts...)
	case "scripted":
		return newClient(t, h.scripted, opts...)
	case "replicas":
		both := manual.NewBuilderWithScheme("replicas")
		state := resolver.State{}
		for _, address := range h.replicas {
			state.Addresses = append(state.Addresses, resolver.Address{Addr: address})
		}
		both.InitialState(state)
		return newClient(t, "replicas:///", append(opts, tokend.WithDialOptions(grpc.WithResolvers(both)))...)
	}
	t.Fatalf("no server %s", server)
	return nil
}

func newClient(t *testing.T, target string, opts ...tokend.Option) *tokend.Client {
	client, err := tokend.New(target, append([]tokend.Option{tokend.WithPlaintext()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}
