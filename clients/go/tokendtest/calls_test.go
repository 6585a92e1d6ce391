package tokendtest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
)

func TestCallsWaitWhileTheServerIsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256))
		defer server.Close()
		client, answered := server.Client(), make(chan error, 2)
		server.Pause()
		for range 2 {
			go func() {
				_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
				answered <- err
			}()
		}
		if err := server.WaitForCalls(t.Context(), operation, 2); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(answered) != 0 {
			t.Errorf("%d calls were answered", len(answered))
		}
		server.FailNext(tokendtest.Failure{Reason: tokend.NotAuthorized})
		server.Resume()
		if first, second := <-answered, <-answered; !errors.Is(errors.Join(first, second), tokend.NotAuthorized) ||
			first != nil && second != nil {
			t.Errorf("errors %v and %v, want NOT_AUTHORIZED once", first, second)
		}
		issue(t, client, request("alice"))
	})
}

func TestPausedCallEndsAtDeadlineOfCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokendtest.NewServer()
		defer server.Close()
		server.Pause()
		_, err := server.Client().GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestWaitForCallsEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256))
		defer server.Close()
		issue(t, server.Client(), request("alice"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := server.WaitForCalls(ctx, operation, 1); err != nil {
			t.Error(err)
		}
		if err := server.WaitForCalls(ctx, operation, 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}
