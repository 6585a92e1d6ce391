package tokend_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
)

// life is the lifetime of a scriptedIssuer's tokens: refreshed at a third of it, returned until a minute before its
// end.
const life = 900 * time.Second

var errDown = tokendError(tokendtest.Failure{Reason: tokend.EngineUnavailable})

// scriptedIssuer issues numbered tokens, or calls answer.
type scriptedIssuer struct {
	mu       sync.Mutex
	attempts []time.Time
	requests []tokend.TokenRequest
	answer   func(ctx context.Context) error
}

func (i *scriptedIssuer) GetOpenIdTokenForDeveloperIdentity(
	ctx context.Context, request tokend.TokenRequest,
) (tokend.Token, error) {
	i.mu.Lock()
	i.attempts = append(i.attempts, time.Now())
	i.requests = append(i.requests, request)
	number, answer := len(i.attempts), i.answer
	i.mu.Unlock()
	if answer != nil {
		if err := answer(ctx); err != nil {
			return tokend.Token{}, err
		}
	}
	now := time.Now()
	return tokend.Token{
		IdentityID: "local:1", Value: tokend.NewSecret(strconv.Itoa(number)),
		IssueTime: now, ExpireTime: now.Add(life), RefreshTime: now.Add(life / 3),
	}, nil
}

func (i *scriptedIssuer) set(answer func(ctx context.Context) error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = answer
}

func (i *scriptedIssuer) calls() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.attempts)
}

func down(context.Context) error { return errDown }

// held returns an answer that waits until the channel is closed or the call ends.
func held(until <-chan struct{}) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-until:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func tokendError(failure tokendtest.Failure) error {
	server := tokendtest.NewServer()
	defer server.Close()
	failure.Code = codes.Aborted // which is not retried
	server.Fail(failure)
	_, err := server.Client().GetOpenIdTokenForDeveloperIdentity(context.Background(), tokend.TokenRequest{})
	return err
}

func noJitter() float64 { return 0 }

// newSource returns a source without jitter that is closed at the end of the test.
func newSource(t *testing.T, issuer tokend.Issuer, opts ...tokend.SourceOption) *tokend.CachedTokenSource {
	source := tokend.NewTokenSource(issuer, request("alice"), append([]tokend.SourceOption{tokend.WithRandom(noJitter)}, opts...)...)
	t.Cleanup(func() { _ = source.Close() })
	return source
}

func request(user string) tokend.TokenRequest {
	return tokend.TokenRequest{
		IdentityPoolID: tokendtest.IdentityPoolID,
		Logins:         tokend.Logins{tokendtest.DeveloperProviderName: tokend.NewSecret(user)},
	}
}

func pointer[T any](to T) *T { return &to }

func asError(err error) (failed *tokend.Error, ok bool) {
	ok = errors.As(err, &failed)
	return failed, ok
}

// wantToken requests a token and checks which one it is.
func wantToken(t *testing.T, source tokend.TokenSource, want string) {
	t.Helper()
	token, err := source.Token(t.Context())
	if err != nil || token.Value.Reveal() != want {
		t.Errorf("token %q, error %v; want token %q", token.Value.Reveal(), err, want)
	}
}

// wantError requests a token and checks the error.
func wantError(t *testing.T, source tokend.TokenSource, want error) {
	t.Helper()
	if _, err := source.Token(t.Context()); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}
