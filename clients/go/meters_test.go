package tokend_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"tokend.internal/go"
)

// meterProvider sums up counts, by instrument and attributes.
type meterProvider struct {
	noop.MeterProvider

	mu   sync.Mutex
	sums map[string]int64
}

func (p *meterProvider) Meter(string, ...metric.MeterOption) metric.Meter { return meter{provider: p} }

func (p *meterProvider) add(name string, by int64, opts []metric.AddOption) {
	attributes := metric.NewAddConfig(opts).Attributes()
	for _, attribute := range attributes.ToSlice() {
		name += fmt.Sprintf(" %s=%s", attribute.Key, attribute.Value.String())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sums[name] += by
}

func (p *meterProvider) counted() map[string]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.sums)
}

type meter struct {
	noop.Meter

	provider *meterProvider
}

func (m meter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return counter{provider: m.provider, name: name}, nil
}

func (m meter) Int64UpDownCounter(name string, _ ...metric.Int64UpDownCounterOption) (metric.Int64UpDownCounter, error) {
	return upDownCounter{provider: m.provider, name: name}, nil
}

type counter struct {
	noop.Int64Counter

	provider *meterProvider
	name     string
}

func (c counter) Add(_ context.Context, by int64, opts ...metric.AddOption) {
	c.provider.add(c.name, by, opts)
}

type upDownCounter struct {
	noop.Int64UpDownCounter

	provider *meterProvider
	name     string
}

func (c upDownCounter) Add(_ context.Context, by int64, opts ...metric.AddOption) {
	c.provider.add(c.name, by, opts)
}

func TestAllInstrumentsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider := &meterProvider{sums: map[string]int64{}}
		issuer := &choosyIssuer{refuses: map[string]bool{"carol": true}}
		cache := newCache(t, issuer, tokend.WithMaxUsers(2), tokend.WithMeterProvider(provider))
		wantToken(t, cache.Source(request("alice")), "1")
		wantToken(t, cache.Source(request("alice")), "1")
		time.Sleep(life / 2)
		wantToken(t, cache.Source(request("alice")), "1")
		synctest.Wait()
		wantToken(t, cache.Source(request("bob")), "3")
		wantError(t, cache.Source(request("carol")), errDown)
		synctest.Wait()
		want := map[string]int64{
			"tokend.client.refreshes":                               3,
			"tokend.client.refreshes error.type=ENGINE_UNAVAILABLE": 1,
			"tokend.client.stale_tokens":                            1,
			"tokend.client.cache.users":                             2,
			"tokend.client.cache.evictions":                         1,
		}
		if got := provider.counted(); !maps.Equal(got, want) {
			t.Errorf("counted %v, want %v", got, want)
		}
		_ = cache.Close()
		if users := provider.counted()["tokend.client.cache.users"]; users != 0 {
			t.Errorf("%d users in a closed cache", users)
		}
	})
}

func TestFailureWithoutReasonIsCountedByCode(t *testing.T) {
	provider := &meterProvider{sums: map[string]int64{}}
	client := newClient(t, "passthrough:///127.0.0.1:1")
	source := tokend.NewTokenSource(client, request("alice"), tokend.WithMeterProvider(provider))
	t.Cleanup(func() { _ = source.Close() })
	if _, err := source.Token(t.Context()); err == nil {
		t.Fatal("a token from nowhere")
	}
	if got := provider.counted()["tokend.client.refreshes error.type=UNAVAILABLE"]; got != 1 {
		t.Errorf("counted %v", provider.counted())
	}
}

func TestUserAgentHasClientAndVersion(t *testing.T) {
	agents := make(chan string, 1)
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if headers, ok := metadata.FromIncomingContext(stream.Context()); ok {
			select {
			case agents <- headers.Get("user-agent")[0]:
			default:
			}
		}
		return status.Error(codes.Unimplemented, "nothing is served")
	}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	client := newClient(t, listener.Addr().String())
	_, _ = client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
	if agent := <-agents; !strings.HasPrefix(agent, "tokend-go/0.1.0 ") {
		t.Error(agent)
	}
}
