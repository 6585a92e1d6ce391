package tokend

import (
	"errors"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tokend.internal/go/tokendv1"
)

func (r TokenRequest) message() *tokendv1.GetOpenIdTokenForDeveloperIdentityRequest {
	message := &tokendv1.GetOpenIdTokenForDeveloperIdentityRequest{
		IdentityPoolId: r.IdentityPoolID,
		IdentityId:     r.IdentityID,
		Logins:         make(map[string]string, len(r.Logins)),
		PrincipalTags:  r.PrincipalTags,
	}
	for provider, login := range r.Logins {
		message.Logins[provider] = login.Reveal()
	}
	if r.TokenDuration != nil {
		message.TokenDuration = durationpb.New(*r.TokenDuration)
	}
	return message
}

func (r LookupRequest) message() *tokendv1.LookupDeveloperIdentityRequest {
	return &tokendv1.LookupDeveloperIdentityRequest{
		IdentityPoolId:          r.IdentityPoolID,
		IdentityId:              r.IdentityID,
		DeveloperUserIdentifier: r.DeveloperUserIdentifier.Reveal(),
		MaxResults:              r.MaxResults,
		NextToken:               r.NextToken,
	}
}

func (r MergeRequest) message() *tokendv1.MergeDeveloperIdentitiesRequest {
	return &tokendv1.MergeDeveloperIdentitiesRequest{
		SourceUserIdentifier:      r.SourceUserIdentifier.Reveal(),
		DestinationUserIdentifier: r.DestinationUserIdentifier.Reveal(),
		DeveloperProviderName:     r.DeveloperProviderName,
		IdentityPoolId:            r.IdentityPoolID,
	}
}

func (r UnlinkRequest) message() *tokendv1.UnlinkDeveloperIdentityRequest {
	return &tokendv1.UnlinkDeveloperIdentityRequest{
		IdentityId:              r.IdentityID,
		IdentityPoolId:          r.IdentityPoolID,
		DeveloperProviderName:   r.DeveloperProviderName,
		DeveloperUserIdentifier: r.DeveloperUserIdentifier.Reveal(),
	}
}

// tokenOf returns an error if the response breaks the contract.
func tokenOf(message *tokendv1.GetOpenIdTokenForDeveloperIdentityResponse) (Token, error) {
	expire, refresh, issue := message.GetExpireTime(), message.GetRefreshTime(), message.GetIssueTime()
	if err := expire.CheckValid(); err != nil { // a missing time is invalid, too
		return Token{}, newProtocolError("expire_time", err)
	}
	for name, moment := range map[string]*timestamppb.Timestamp{"refresh_time": refresh, "issue_time": issue} {
		if err := moment.CheckValid(); moment != nil && err != nil {
			return Token{}, newProtocolError(name, err)
		}
	}
	token := Token{IdentityID: message.GetIdentityId(), Value: NewSecret(message.GetToken()), ExpireTime: expire.AsTime()}
	if refresh != nil {
		token.RefreshTime = refresh.AsTime()
	}
	if issue != nil {
		token.IssueTime = issue.AsTime()
		if !token.ExpireTime.After(token.IssueTime) {
			return Token{}, newProtocolError("expire_time", errors.New("it is not after issue_time"))
		}
	}
	return token, nil
}

func lookupResultOf(message *tokendv1.LookupDeveloperIdentityResponse) LookupResult {
	result := LookupResult{IdentityID: message.GetIdentityId(), NextToken: message.GetNextToken()}
	for _, user := range message.GetDeveloperUserIdentifierList() {
		result.DeveloperUserIdentifiers = append(result.DeveloperUserIdentifiers, NewSecret(user))
	}
	return result
}
