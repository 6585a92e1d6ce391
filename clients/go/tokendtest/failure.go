package tokendtest

import (
	"cmp"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"tokend.internal/go"
)

// Failure describes how a call fails.
type Failure struct {
	// Reason is the contract's reason. Empty: none, as if the service was not reached.
	Reason tokend.Reason
	// Code is the status code. Zero: the code of the reason.
	Code codes.Code
	// Message is a human-readable description.
	Message string
	// RetryDelay is how long the caller should wait before the next try. Zero: not sent.
	RetryDelay time.Duration
	// AWSErrorCode is the Cognito exception. Empty: the exception of the reason.
	AWSErrorCode string
	// AWSRequestID is the id of a request to Cognito. Empty: there was none.
	AWSRequestID string
	// Violations are fields that break their limits.
	Violations []tokend.FieldViolation
	// ResourceType is the type of the missing resource.
	ResourceType string
	// ResourceName is the id of the missing resource.
	ResourceName string
	// QuotaSubject is the id of the identity that would have too many logins. Empty: no such detail.
	QuotaSubject string
	// Hang leaves the call without a response until its caller's deadline. The other fields are ignored.
	Hang bool
}

// Fail makes all calls fail until Recover. The client retries calls that fail with UNAVAILABLE.
func (s *Server) Fail(failure Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = &failure
}

// FailNext makes one call fail: the next one without a failure from an earlier FailNext.
func (s *Server) FailNext(failure Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failNext = append(s.failNext, failure)
}

// Recover cancels Fail and FailNext. Calls that already hang continue to hang.
func (s *Server) Recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing, s.failNext = nil, nil
}

// reasons maps each reason of the contract to its status code and its Cognito exception.
var reasons = map[tokend.Reason]struct {
	code         codes.Code
	awsErrorCode string
}{
	tokend.ValidationFailed:               {codes.InvalidArgument, "ValidationException"},
	tokend.InvalidParameter:               {codes.InvalidArgument, "InvalidParameterException"},
	tokend.NotAuthorized:                  {codes.PermissionDenied, "NotAuthorizedException"},
	tokend.ResourceNotFound:               {codes.NotFound, "ResourceNotFoundException"},
	tokend.ResourceConflict:               {codes.FailedPrecondition, "ResourceConflictException"},
	tokend.DeveloperUserAlreadyRegistered: {codes.AlreadyExists, "DeveloperUserAlreadyRegisteredException"},
	tokend.LimitExceeded:                  {codes.FailedPrecondition, "LimitExceededException"},
	tokend.TooManyRequests:                {codes.ResourceExhausted, "TooManyRequestsException"},
	tokend.LoginProviderUnavailable:       {codes.Unavailable, "ExternalServiceException"},
	tokend.EngineUnavailable:              {codes.Unavailable, "InternalErrorException"},
	tokend.EngineCredentialsRejected:      {codes.Unavailable, ""},
	tokend.CallerUnauthenticated:          {codes.Unauthenticated, ""},
	tokend.CallerNotAllowed:               {codes.PermissionDenied, ""},
	tokend.UnsupportedByEngine:            {codes.Unimplemented, ""},
	tokend.Internal:                       {codes.Internal, ""},
	tokend.MetadataTooLarge:               {codes.ResourceExhausted, ""},
}

// Err returns the failure as a gRPC status error, for use in handlers and interceptors.
func (f Failure) Err() error {
	code := cmp.Or(f.Code, reasons[f.Reason].code, codes.Unavailable)
	return must(status.New(code, f.Message).WithDetails(f.details()...)).Err()
}

func (f Failure) details() []protoadapt.MessageV1 {
	var details []protoadapt.MessageV1
	if f.Reason != "" {
		details = append(details, f.errorInfo())
	}
	if f.RetryDelay > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(f.RetryDelay)})
	}
	if f.ResourceType != "" {
		details = append(details, &errdetails.ResourceInfo{
			ResourceType: f.ResourceType, ResourceName: f.ResourceName, Description: f.Message,
		})
	}
	if f.QuotaSubject != "" {
		details = append(details, &errdetails.QuotaFailure{
			Violations: []*errdetails.QuotaFailure_Violation{{Subject: f.QuotaSubject, Description: f.Message}},
		})
	}
	if len(f.Violations) > 0 {
		details = append(details, f.badRequest())
	}
	return details
}

func (f Failure) errorInfo() *errdetails.ErrorInfo {
	info := &errdetails.ErrorInfo{Reason: string(f.Reason), Domain: "tokend", Metadata: map[string]string{}}
	if name := cmp.Or(f.AWSErrorCode, reasons[f.Reason].awsErrorCode); name != "" {
		info.Metadata["aws_error_code"] = name
	}
	if f.AWSRequestID != "" {
		info.Metadata["aws_request_id"] = f.AWSRequestID
	}
	return info
}

func (f Failure) badRequest() *errdetails.BadRequest {
	request := &errdetails.BadRequest{}
	for _, violation := range f.Violations {
		request.FieldViolations = append(request.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: violation.Field, Description: violation.Constraint,
		})
	}
	return request
}
