package tokend

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// DownstreamCode returns the code with which a service should fail its own call when there is no token for it, by the
// table in clients/README.md: codes about the request to tokend would mislead the service's caller. For nil it returns
// OK.
func DownstreamCode(err error) codes.Code {
	if err == nil {
		return codes.OK
	}
	if reason := reasonOf(err); reason != "" {
		if code, known := downstreamCodes[reason]; known {
			return code
		}
		return codes.Unavailable
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	}
	switch code := codeOf(err); code {
	case codes.DeadlineExceeded, codes.Unauthenticated, codes.PermissionDenied:
		return code
	default:
		return codes.Unavailable
	}
}

// codeOf returns the status code of an error of an [Issuer].
func codeOf(err error) codes.Code {
	if failed, ok := asError(err); ok {
		return failed.Code
	}
	return status.Code(err)
}

var downstreamCodes = map[Reason]codes.Code{
	CallerUnauthenticated:          codes.Unauthenticated,
	NotAuthorized:                  codes.PermissionDenied,
	CallerNotAllowed:               codes.PermissionDenied,
	ValidationFailed:               codes.PermissionDenied,
	InvalidParameter:               codes.PermissionDenied,
	ResourceNotFound:               codes.PermissionDenied,
	ResourceConflict:               codes.PermissionDenied,
	DeveloperUserAlreadyRegistered: codes.PermissionDenied,
	LimitExceeded:                  codes.PermissionDenied,
	UnsupportedByEngine:            codes.PermissionDenied,
	MetadataTooLarge:               codes.PermissionDenied,
	TooManyRequests:                codes.Unavailable,
	EngineUnavailable:              codes.Unavailable,
	LoginProviderUnavailable:       codes.Unavailable,
	EngineCredentialsRejected:      codes.Unavailable,
	Internal:                       codes.Unavailable,
}
