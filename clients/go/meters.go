package tokend

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/genproto/googleapis/rpc/code"
)

const instrumentation = "tokend.internal/go"

// meters are the instruments of sources and caches. Their names are the same in the clients of all languages.
type meters struct {
	refreshes   metric.Int64Counter
	staleTokens metric.Int64Counter
	users       metric.Int64UpDownCounter
	evictions   metric.Int64Counter
}

// newMeters creates the instruments. It panics if the provider rejects a valid name.
func newMeters(provider metric.MeterProvider) *meters {
	meter := provider.Meter(instrumentation, metric.WithInstrumentationVersion(version))
	return &meters{
		refreshes: must(meter.Int64Counter("tokend.client.refreshes", metric.WithUnit("{refresh}"),
			metric.WithDescription("Finished refreshes; error.type is the cause of a failed one"))),
		staleTokens: must(meter.Int64Counter("tokend.client.stale_tokens", metric.WithUnit("{token}"),
			metric.WithDescription("Tokens returned after their refresh time"))),
		users: must(meter.Int64UpDownCounter("tokend.client.cache.users", metric.WithUnit("{user}"),
			metric.WithDescription("Users in caches"))),
		evictions: must(meter.Int64Counter("tokend.client.cache.evictions", metric.WithUnit("{user}"),
			metric.WithDescription("Users evicted from a full cache"))),
	}
}

func must[Instrument any](instrument Instrument, err error) Instrument {
	if err != nil {
		panic(err)
	}
	return instrument
}

// refreshed counts a refresh, unless Close has cancelled it.
func (m *meters) refreshed(err error) {
	switch {
	case err == nil:
		m.refreshes.Add(context.Background(), 1)
	case !errors.Is(err, ErrClosed):
		m.refreshes.Add(context.Background(), 1, metric.WithAttributes(attribute.String("error.type", errorType(err))))
	}
}

// errorType returns the reason of a failure or, without one, the name of its status code as in gRPC's specification.
func errorType(err error) string {
	failed, ok := asError(err)
	switch {
	case !ok:
		return "_OTHER"
	case failed.Reason != "":
		return string(failed.Reason)
	}
	return code.Code(failed.Code).String()
}

func (m *meters) staleToken() { m.staleTokens.Add(context.Background(), 1) }

func (m *meters) usersChanged(by int) { m.users.Add(context.Background(), int64(by)) }

func (m *meters) evicted() {
	m.usersChanged(-1)
	m.evictions.Add(context.Background(), 1)
}
