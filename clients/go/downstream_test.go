package tokend_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tokend.internal/go"
)

// downstreamRow is a row of the table in clients/README.md whose failures have reasons.
var downstreamRow = regexp.MustCompile("(?m)^\\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \\| `([A-Z_]+)` \\|$")

func TestEachReasonHasDocumentedCode(t *testing.T) {
	seen := map[tokend.Reason]bool{}
	for _, row := range downstreamRow.FindAllStringSubmatch(read(t, "../README.md"), -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			reason := tokend.Reason(strings.Trim(name, "`"))
			seen[reason] = true
			failure := fmt.Errorf("wrapped: %w", &tokend.Error{Code: codes.DeadlineExceeded, Reason: reason})
			if got := code.Code(tokend.DownstreamCode(failure)).String(); got != row[2] {
				t.Errorf("%s becomes %s, want %s", name, got, row[2])
			}
		}
	}
	for reason := range constants {
		if !seen[reason] {
			t.Errorf("%s is in no row", string(reason))
		}
	}
}

func TestFailuresWithoutKnownReasonHaveCodeOfCause(t *testing.T) {
	page := read(t, "../README.md")
	for _, row := range []string{ // which the cases below show
		"| without a reason: `DEADLINE_EXCEEDED`; or the caller's own deadline has passed | `DEADLINE_EXCEEDED` |",
		"| without a reason: the caller cancelled its own call | `CANCELLED` |",
		"| without a reason: `UNAUTHENTICATED`, `PERMISSION_DENIED` | the same |",
		"| anything else, including a reason that the client does not know | `UNAVAILABLE` |",
	} {
		if !strings.Contains(page, row+"\n") {
			t.Errorf("the table has no row %s", row)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, gaveUp := newServer(t).Client().GetOpenIdTokenForDeveloperIdentity(ctx, request("alice"))
	for name, c := range map[string]struct {
		err  error
		want codes.Code
	}{
		"none":                       {nil, codes.OK},
		"deadline":                   {&tokend.Error{Code: codes.DeadlineExceeded}, codes.DeadlineExceeded},
		"caller's own deadline":      {fmt.Errorf("wrapped: %w", context.DeadlineExceeded), codes.DeadlineExceeded},
		"caller gave up":             {gaveUp, codes.Canceled},
		"cancelled by the service":   {&tokend.Error{Code: codes.Canceled}, codes.Unavailable},
		"unauthenticated":            {&tokend.Error{Code: codes.Unauthenticated}, codes.Unauthenticated},
		"permission denied":          {&tokend.Error{Code: codes.PermissionDenied}, codes.PermissionDenied},
		"unavailable":                {&tokend.Error{Code: codes.Unavailable}, codes.Unavailable},
		"protocol error":             {&tokend.Error{Code: codes.Internal}, codes.Unavailable},
		"unknown reason":             {&tokend.Error{Code: codes.PermissionDenied, Reason: "NEW"}, codes.Unavailable},
		"unknown reason, deadline":   {&tokend.Error{Code: codes.DeadlineExceeded, Reason: "NEW"}, codes.Unavailable},
		"another issuer's status":    {status.Error(codes.PermissionDenied, "no"), codes.PermissionDenied},
		"another issuer's own error": {errors.New("something else"), codes.Unavailable},
		"closed":                     {tokend.ErrClosed, codes.Unavailable},
	} {
		if got := tokend.DownstreamCode(c.err); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
