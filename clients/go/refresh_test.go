package tokend

import (
	"context"
	"testing"
	"time"
)

type countingIssuer struct{ calls int }

func (i *countingIssuer) GetOpenIdTokenForDeveloperIdentity(context.Context, TokenRequest) (Token, error) {
	i.calls++
	return tokenOfLife(time.Hour), nil
}

func TestCallerWithOldSnapshotStartsNoSecondRefresh(t *testing.T) {
	issuer := &countingIssuer{}
	now := func() Reading { return reading(0) }
	source := NewTokenSource(issuer, TokenRequest{}, WithClock(now))
	defer source.Close()
	if _, err := source.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The path of Token if it has read the previous snapshot.
	if _, err := source.await(t.Context(), reading(0)); err != nil || issuer.calls != 1 {
		t.Errorf("error %v, %d calls", err, issuer.calls)
	}
}

// A caller that is woken while the lock is held, and finds the new token already stale, would not start a refresh.
func TestEndOfRefreshWakesCallersAfterUnlocking(t *testing.T) {
	source := NewTokenSource(&countingIssuer{}, TokenRequest{}, WithClock(func() Reading { return reading(0) }))
	defer source.Close()
	for name, err := range map[string]error{"a token": nil, "a failure": errFailed} {
		refresh := &flight{done: make(chan struct{})}
		source.finishRefresh(refresh, tokenOfLife(time.Hour), err, reading(0))
		select {
		case <-refresh.done:
			t.Errorf("%s: callers were woken by who holds the lock", name)
		default:
		}
	}
}
