package tokend_test

import (
	"context"
	"math"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
	"tokend.internal/go/tokendv1"
)

func TestInvalidResponsesAreProtocolErrors(t *testing.T) {
	at := func(seconds int64) *timestamppb.Timestamp { return &timestamppb.Timestamp{Seconds: seconds} }
	for name, response := range map[string]*tokendv1.GetOpenIdTokenForDeveloperIdentityResponse{
		"no expire_time":                   {IssueTime: at(100), RefreshTime: at(200)},
		"expire_time beyond a Timestamp":   {IssueTime: at(100), ExpireTime: at(1 << 62)},
		"expire_time before a Timestamp":   {ExpireTime: at(math.MinInt64)},
		"odd nanoseconds":                  {ExpireTime: &timestamppb.Timestamp{Seconds: 300, Nanos: -1}},
		"refresh_time beyond a Timestamp":  {IssueTime: at(100), ExpireTime: at(300), RefreshTime: at(1 << 62)},
		"issue_time beyond a Timestamp":    {IssueTime: at(1 << 62), ExpireTime: at(300)},
		"expire_time that is issue_time":   {IssueTime: at(300), ExpireTime: at(300)},
		"expire_time that is before issue": {IssueTime: at(301), ExpireTime: at(300)},
	} {
		t.Run(name, func(t *testing.T) {
			client := newServer(t, tokendtest.WithInterceptor(answerWith(response))).Client()
			_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
			checkProtocolError(t, err)
		})
	}
}

func TestInvalidDelaysAreProtocolErrors(t *testing.T) {
	for name, delay := range map[string]*durationpb.Duration{
		"negative": {Seconds: -30}, "a nanosecond below zero": {Nanos: -1}, "beyond a Duration": {Seconds: 1 << 62},
		"odd nanoseconds": {Seconds: 1, Nanos: 2_000_000_000}, "mixed signs": {Seconds: 1, Nanos: -1},
	} {
		t.Run(name, func(t *testing.T) {
			client := newServer(t, tokendtest.WithInterceptor(answer(refusal(t, delay)))).Client()
			_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
			checkProtocolError(t, err)
		})
	}
}

func TestValidDelaysAreAccepted(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Nanosecond, 24 * time.Hour} {
		client := newServer(t, tokendtest.WithInterceptor(answer(refusal(t, durationpb.New(delay))))).Client()
		_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
		failed, ok := asError(err)
		if !ok || failed.Reason != tokend.TooManyRequests || failed.RetryDelay != delay {
			t.Errorf("error %v, want one with a delay of %v", err, delay)
		}
	}
}

func TestTokenHasIssueTime(t *testing.T) {
	before := time.Now()
	token := issue(t, newServer(t).Client(), request("alice"))
	if token.IssueTime.Before(before) || token.IssueTime.After(time.Now()) {
		t.Errorf("issued at %v, want about %v", token.IssueTime, before)
	}
	if life := token.ExpireTime.Sub(token.IssueTime); life <= 15*time.Minute-time.Second || life > 15*time.Minute {
		t.Errorf("it lives for %v, want 15m from the second on", life)
	}
}

func answerWith(response *tokendv1.GetOpenIdTokenForDeveloperIdentityResponse) grpc.UnaryServerInterceptor {
	return func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
		return response, nil
	}
}

func refusal(t *testing.T, delay *durationpb.Duration) error {
	failed, err := status.New(codes.ResourceExhausted, "slow down").WithDetails(
		errorInfo("TOO_MANY_REQUESTS", "tokend"), &errdetails.RetryInfo{RetryDelay: delay})
	if err != nil {
		t.Fatal(err)
	}
	return failed.Err()
}

func checkProtocolError(t *testing.T, err error) {
	t.Helper()
	failed, ok := asError(err)
	if !ok || failed.Code != codes.Internal || failed.Reason != "" || failed.RetryDelay != 0 ||
		status.Code(err) != codes.Internal {
		t.Errorf("error %v, want INTERNAL without a reason", err)
	}
}

// answerOfLife returns a response whose token is refreshed at a third of its lifetime.
func answerOfLife(life time.Duration) *tokendv1.GetOpenIdTokenForDeveloperIdentityResponse {
	now := time.Now()
	return &tokendv1.GetOpenIdTokenForDeveloperIdentityResponse{
		IssueTime: timestamppb.New(now), RefreshTime: timestamppb.New(now.Add(life / 3)), ExpireTime: timestamppb.New(now.Add(life)),
	}
}
