package tokend

import "time"

// Logins maps provider names to logins: the pool's developer provider to the user's identifier and, optionally, public
// providers to the ID tokens that they issued to the user.
type Logins map[string]Secret

// TokenRequest is the input of GetOpenIdTokenForDeveloperIdentity. The contract in proto/tokend/v1 states the limits.
type TokenRequest struct {
	// IdentityPoolID is the identity pool, as REGION:GUID. Required.
	IdentityPoolID string
	// IdentityID is an identity to link the logins to. Empty: find or create one.
	IdentityID string
	// Logins identify the user. Required, with an entry for the pool's developer provider.
	Logins Logins
	// PrincipalTags are session tags for the token.
	PrincipalTags map[string]string
	// TokenDuration is the lifetime of the token, in whole seconds. Nil: the service's default.
	TokenDuration *time.Duration
}

// Token is a token of one user, with its identity id and times.
type Token struct {
	// IdentityID is the user's identity id, as REGION:GUID.
	IdentityID string
	// Value is the signed OpenID Connect token, a JWT in compact form.
	Value Secret
	// IssueTime is when the service responded, by its clock. A token is valid for ExpireTime minus IssueTime; do not
	// compare the other times with this machine's clock, which may be wrong. Zero if the service does not send it.
	IssueTime time.Time
	// ExpireTime is when the token stops being valid: its exp claim.
	ExpireTime time.Time
	// RefreshTime is when the next token should be fetched.
	RefreshTime time.Time
}

// LookupRequest is the input of LookupDeveloperIdentity: an identity, a developer user, or both.
type LookupRequest struct {
	// IdentityPoolID is the identity pool, as REGION:GUID. Required.
	IdentityPoolID string
	// IdentityID is an identity of the pool.
	IdentityID string
	// DeveloperUserIdentifier is a user of the pool's developer provider.
	DeveloperUserIdentifier Secret
	// MaxResults is the maximum number of identifiers to return, 1 to 60. Zero: 60.
	MaxResults int32
	// NextToken is the NextToken of the previous page. Empty: the first page.
	NextToken string
}

// LookupResult is an identity with a page of its developer users.
type LookupResult struct {
	// IdentityID is the identity id.
	IdentityID string
	// DeveloperUserIdentifiers are a page of the identity's users or, if the request named a user, only that user.
	DeveloperUserIdentifiers []Secret
	// NextToken requests the next page. Empty: there is none.
	NextToken string
}

// MergeRequest is the input of MergeDeveloperIdentities. All fields are required.
type MergeRequest struct {
	// SourceUserIdentifier is the user whose identity is disabled.
	SourceUserIdentifier Secret
	// DestinationUserIdentifier is the user whose identity remains.
	DestinationUserIdentifier Secret
	// DeveloperProviderName is the pool's developer provider.
	DeveloperProviderName string
	// IdentityPoolID is the identity pool, as REGION:GUID.
	IdentityPoolID string
}

// UnlinkRequest is the input of UnlinkDeveloperIdentity. All fields are required.
type UnlinkRequest struct {
	// IdentityID is the identity to unlink from.
	IdentityID string
	// IdentityPoolID is the identity pool, as REGION:GUID.
	IdentityPoolID string
	// DeveloperProviderName is the pool's developer provider.
	DeveloperProviderName string
	// DeveloperUserIdentifier is the user to unlink.
	DeveloperUserIdentifier Secret
}
