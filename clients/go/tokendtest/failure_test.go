package tokendtest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
)

func TestFailuresApplyToConfiguredCalls(t *testing.T) {
	server, client := start(t)
	server.FailNext(tokendtest.Failure{Reason: tokend.NotAuthorized})
	_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
	wantReason(t, err, tokend.NotAuthorized)
	issue(t, client, request("alice"))
	server.Fail(tokendtest.Failure{Reason: tokend.Internal})
	for range 2 {
		_, err = client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
		wantReason(t, err, tokend.Internal)
	}
	server.Recover()
	issue(t, client, request("alice"))
	if calls := server.Calls(operation); calls != 5 {
		t.Errorf("%d calls", calls)
	}
}

func TestFailureHasGivenFields(t *testing.T) {
	server, client := start(t)
	server.Fail(tokendtest.Failure{
		Reason: tokend.ValidationFailed, Code: codes.Aborted, Message: "No.", RetryDelay: time.Minute,
		AWSErrorCode: "OtherException", AWSRequestID: "request-1",
		Violations: []tokend.FieldViolation{{Field: "logins", Constraint: "no"}, {Field: "identity_id", Constraint: "none"}},
	})
	_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
	failed, ok := asError(err)
	if !ok || failed.Code != codes.Aborted || failed.Reason != tokend.ValidationFailed || failed.RetryDelay != time.Minute ||
		failed.AWSErrorCode != "OtherException" || failed.AWSRequestID != "request-1" || len(failed.Violations) != 2 {
		t.Errorf("failure %+v", failed)
	}
	server.Fail(tokendtest.Failure{Code: codes.Aborted})
	_, err = client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
	if failed, ok := asError(err); !ok || failed.Code != codes.Aborted || failed.Reason != "" || failed.AWSErrorCode != "" {
		t.Errorf("failure %+v", failed)
	}
}

func TestHangingCallEndsAtDeadlineOfCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256))
		defer server.Close()
		client := server.Client()
		server.Fail(tokendtest.Failure{Hang: true})
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := client.GetOpenIdTokenForDeveloperIdentity(ctx, request("alice"))
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took < 3*time.Second {
			t.Errorf("error %v after %v", err, took)
		}
		server.Recover()
		server.FailNext(tokendtest.Failure{Hang: true})
		issue(t, client, request("alice")) // by the client's second attempt
	})
}
