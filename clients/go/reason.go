package tokend

// Reason is why a call failed, by its name in the contract. Programs should decide on it and on the status code.
//
// A Reason is an error, so that [errors.Is] matches it:
//
//	if errors.Is(err, tokend.ResourceNotFound) { ... }
type Reason string

// The reasons of the contract; proto/tokend/v1/error_reason.proto documents each of them.
const (
	ValidationFailed               Reason = "VALIDATION_FAILED"
	InvalidParameter               Reason = "INVALID_PARAMETER"
	NotAuthorized                  Reason = "NOT_AUTHORIZED"
	ResourceNotFound               Reason = "RESOURCE_NOT_FOUND"
	ResourceConflict               Reason = "RESOURCE_CONFLICT"
	DeveloperUserAlreadyRegistered Reason = "DEVELOPER_USER_ALREADY_REGISTERED"
	LimitExceeded                  Reason = "LIMIT_EXCEEDED"
	TooManyRequests                Reason = "TOO_MANY_REQUESTS"
	LoginProviderUnavailable       Reason = "LOGIN_PROVIDER_UNAVAILABLE"
	EngineUnavailable              Reason = "ENGINE_UNAVAILABLE"
	EngineCredentialsRejected      Reason = "ENGINE_CREDENTIALS_REJECTED"
	CallerUnauthenticated          Reason = "CALLER_UNAUTHENTICATED"
	CallerNotAllowed               Reason = "CALLER_NOT_ALLOWED"
	UnsupportedByEngine            Reason = "UNSUPPORTED_BY_ENGINE"
	Internal                       Reason = "INTERNAL"
	MetadataTooLarge               Reason = "METADATA_TOO_LARGE"
)

// Error implements error with the reason's name.
func (r Reason) Error() string { return "tokend: " + string(r) }
