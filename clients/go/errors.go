package tokend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errorDomain is the domain of tokend's google.rpc.ErrorInfo.
const errorDomain = "tokend"

// ErrClosed is returned by Token after Close of the source or the cache.
var ErrClosed = errors.New("tokend: the token source is closed")

// Error is the error of a failed call; get it with [errors.As]. [errors.Is] matches its [Reason] and, where the call
// exceeded its deadline or was cancelled by its caller, [context.DeadlineExceeded] or [context.Canceled].
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code
	// Reason is why the call failed. Empty if the service returned none: it was not reached, or not in time.
	Reason Reason
	// Message is a human-readable description.
	Message string
	// RetryDelay is how long to wait before the next try (google.rpc.RetryInfo). Zero if the service sent none.
	RetryDelay time.Duration
	// AWSErrorCode is the Cognito exception with the same meaning, if there is one.
	AWSErrorCode string
	// AWSRequestID is the id of the request to Cognito that failed, if there was one.
	AWSRequestID string
	// RequestID identifies the call in the service's log, if the failure is a defect of the service.
	RequestID string
	// Violations are all fields that break their limits.
	Violations []FieldViolation
	// ResourceType is the type of the missing resource: IdentityPool, Identity or DeveloperUser.
	ResourceType string
	// ResourceName is the id of the missing resource, unless it is a secret.
	ResourceName string

	status *status.Status
	cause  error
}

// FieldViolation is a field of a request that breaks a limit.
type FieldViolation struct {
	// Field is the field's name in the contract, such as logins.value.
	Field string
	// Constraint is the limit that it breaks.
	Constraint string
}

// Error implements error. The text contains no login value and no token.
func (e *Error) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("tokend: %s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("tokend: %s %s: %s", e.Code, string(e.Reason), e.Message)
}

// GRPCStatus returns the unmodified gRPC status, for [status.FromError] and [status.Code].
func (e *Error) GRPCStatus() *status.Status { return e.status }

// Is reports whether target is the error's [Reason], for [errors.Is].
func (e *Error) Is(target error) bool {
	reason, ok := target.(Reason)
	return ok && reason == e.Reason
}

// Unwrap returns the error of the context that ended the call, if one did.
func (e *Error) Unwrap() error { return e.cause }

// newError returns the typed error of a failed call.
func newError(ctx context.Context, err error) *Error {
	failed := status.Convert(err)
	e := &Error{Code: failed.Code(), Message: failed.Message(), status: failed}
	for _, detail := range failed.Details() {
		if broken := e.add(detail); broken != nil {
			return broken
		}
	}
	switch failed.Code() {
	case codes.DeadlineExceeded:
		e.cause = context.DeadlineExceeded
	case codes.Canceled: // a draining server also cancels calls
		e.cause = ctx.Err()
	default:
	}
	return e
}

// asError finds the [*Error] in the error of a call.
func asError(err error) (failed *Error, ok bool) {
	ok = errors.As(err, &failed)
	return failed, ok
}

// newContextError returns the error of a caller whose context is done.
func newContextError(ctx context.Context) *Error {
	return newError(ctx, status.FromContextError(ctx.Err()).Err())
}

// newProtocolError returns the error of a response that breaks the contract.
func newProtocolError(field string, cause error) *Error {
	failed := status.Newf(codes.Internal, "the answer breaks the contract: %s: %v", field, cause)
	return &Error{Code: failed.Code(), Message: failed.Message(), status: failed}
}

// add copies a detail into e. If the detail breaks the contract, it returns the error that replaces e.
func (e *Error) add(detail any) *Error {
	switch detail := detail.(type) {
	case *errdetails.ErrorInfo:
		if detail.GetDomain() == errorDomain {
			e.Reason = Reason(detail.GetReason())
			e.AWSErrorCode = detail.GetMetadata()["aws_error_code"]
			e.AWSRequestID = detail.GetMetadata()["aws_request_id"]
		}
	case *errdetails.RetryInfo:
		delay := detail.GetRetryDelay()
		if err := delay.CheckValid(); delay != nil && err != nil {
			return newProtocolError("retry_delay", err)
		}
		if e.RetryDelay = delay.AsDuration(); e.RetryDelay < 0 {
			return newProtocolError("retry_delay", errors.New("it is negative"))
		}
	case *errdetails.RequestInfo:
		e.RequestID = detail.GetRequestId()
	case *errdetails.ResourceInfo:
		e.ResourceType, e.ResourceName = detail.GetResourceType(), detail.GetResourceName()
	case *errdetails.BadRequest:
		for _, violation := range detail.GetFieldViolations() {
			e.Violations = append(e.Violations, FieldViolation{violation.GetField(), violation.GetDescription()})
		}
	}
	return nil
}
