package tokend_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
	"tokend.internal/go/tokendv1"
)

func TestFailureIsTypedError(t *testing.T) {
	server := newServer(t)
	server.Fail(tokendtest.Failure{
		Reason: tokend.TooManyRequests, Message: "Slow down.", RetryDelay: 2 * time.Second, AWSRequestID: "request-1",
		Violations:   []tokend.FieldViolation{{Field: "logins", Constraint: "too many"}},
		ResourceType: "Identity", ResourceName: "local:1",
	})
	_, err := server.Client().GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
	failed, ok := asError(fmt.Errorf("wrapped: %w", err))
	if !ok {
		t.Fatalf("error %T", err)
	}
	want := tokend.Error{
		Code: codes.ResourceExhausted, Reason: tokend.TooManyRequests, Message: "Slow down.", RetryDelay: 2 * time.Second,
		AWSErrorCode: "TooManyRequestsException", AWSRequestID: "request-1",
		Violations:   []tokend.FieldViolation{{Field: "logins", Constraint: "too many"}},
		ResourceType: "Identity", ResourceName: "local:1",
	}
	if got := exported(*failed); got != exported(want) {
		t.Errorf("%s, want %s", got, exported(want))
	}
	if got := err.Error(); got != "tokend: ResourceExhausted TOO_MANY_REQUESTS: Slow down." {
		t.Errorf("text %q", got)
	}
	if status.Code(err) != codes.ResourceExhausted || len(status.Convert(err).Details()) != 4 {
		t.Errorf("the status is not kept: %v", status.Convert(err).Details())
	}
}

func exported(e tokend.Error) string {
	value, text := reflect.ValueOf(e), strings.Builder{}
	for i := range value.NumField() {
		if value.Type().Field(i).IsExported() {
			fmt.Fprintf(&text, "%s: %v; ", value.Type().Field(i).Name, value.Field(i))
		}
	}
	return text.String()
}

func TestErrorsIsMatchesOnlyReasonOfError(t *testing.T) {
	server := newServer(t)
	server.Fail(tokendtest.Failure{Reason: tokend.ResourceConflict})
	_, err := server.Client().GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
	if !errors.Is(err, tokend.ResourceConflict) {
		t.Errorf("%v is no RESOURCE_CONFLICT", err)
	}
	if errors.Is(err, tokend.ResourceNotFound) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is too much", err)
	}
}

// documentedReason matches a value of the contract's enumeration with its comment.
var documentedReason = regexp.MustCompile(`(?m)((?:^  // .*\n)+)  ERROR_REASON_([A-Z_]+) = [1-9]`)

var (
	codeOfReason         = regexp.MustCompile(`^([A-Z_]+)[.,]`)
	awsErrorCodeOfReason = regexp.MustCompile(`Cognito: (\w+)`)
)

func TestEachReasonOfContractHasConstantAndFailure(t *testing.T) {
	server := newServer(t)
	client := server.Client(tokend.WithServiceConfig(`{}`)) // without retries
	documented := documentedReason.FindAllStringSubmatch(read(t, "../../proto/tokend/v1/error_reason.proto"), -1)
	for _, each := range documented {
		comment, reason := strings.ReplaceAll(each[1], "  // ", ""), tokend.Reason(each[2])
		if _, generated := tokendv1.ErrorReason_value["ERROR_REASON_"+each[2]]; !generated || !constants[reason] {
			t.Errorf("%s: generated %v, constant %v", each[2], generated, constants[reason])
		}
		server.Fail(tokendtest.Failure{Reason: reason})
		_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
		failed, ok := asError(err)
		if !ok {
			t.Fatalf("%s: error %v", each[2], err)
		}
		want := strings.Join([]string{each[2], first(codeOfReason, comment), first(awsErrorCodeOfReason, comment)}, " ")
		got := strings.Join([]string{string(failed.Reason), code.Code(failed.Code).String(), failed.AWSErrorCode}, " ")
		if got != want {
			t.Errorf("the fake fails with %s, want %s", got, want)
		}
	}
	if all := len(tokendv1.ErrorReason_name) - 1; len(documented) != all || len(constants) != all {
		t.Errorf("%d reasons with comments, %d constants, %d generated", len(documented), len(constants), all)
	}
}

// first returns the first match of the pattern's group; empty if there is none.
func first(pattern *regexp.Regexp, text string) string {
	if found := pattern.FindStringSubmatch(text); found != nil {
		return found[1]
	}
	return ""
}

var constants = map[tokend.Reason]bool{
	tokend.ValidationFailed: true, tokend.InvalidParameter: true, tokend.NotAuthorized: true,
	tokend.ResourceNotFound: true, tokend.ResourceConflict: true, tokend.DeveloperUserAlreadyRegistered: true,
	tokend.LimitExceeded: true, tokend.TooManyRequests: true, tokend.LoginProviderUnavailable: true,
	tokend.EngineUnavailable: true, tokend.EngineCredentialsRejected: true, tokend.CallerUnauthenticated: true,
	tokend.CallerNotAllowed: true, tokend.UnsupportedByEngine: true, tokend.Internal: true, tokend.MetadataTooLarge: true,
}

func TestCancelledCallWrapsContextCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newServer(t).Client().GetOpenIdTokenForDeveloperIdentity(ctx, request("alice"))
	if !errors.Is(err, context.Canceled) || status.Code(err) != codes.Canceled {
		t.Errorf("error %v", err)
	}
}

func TestCancellationByServerIsNotContextCanceled(t *testing.T) {
	server := newServer(t)
	server.Fail(tokendtest.Failure{Code: codes.Canceled})
	_, err := server.Client().GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
	if errors.Is(err, context.Canceled) || status.Code(err) != codes.Canceled {
		t.Errorf("error %v", err)
	}
}

func TestErrorInfoOfOtherDomainsIsIgnored(t *testing.T) {
	failed := status.New(codes.PermissionDenied, "RBAC: access denied")
	failed, err := failed.WithDetails(errorInfo("NOT_AUTHORIZED", "mesh.example.internal"))
	if err != nil {
		t.Fatal(err)
	}
	client := newServer(t, tokendtest.WithInterceptor(answer(failed.Err()))).Client()
	_, got := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
	if errors.Is(got, tokend.NotAuthorized) || status.Code(got) != codes.PermissionDenied {
		t.Errorf("error %v", got)
	}
}
