package tokendtest

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"tokend.internal/go"
	"tokend.internal/go/tokendv1"
)

const (
	defaultDuration = 900 * time.Second
	maxPage         = 60
)

// service implements the four operations of the contract.
type service struct {
	tokendv1.UnimplementedDeveloperIdentityServiceServer

	server *Server
}

// GetOpenIdTokenForDeveloperIdentity implements the contract.
func (s service) GetOpenIdTokenForDeveloperIdentity(
	_ context.Context, request *tokendv1.GetOpenIdTokenForDeveloperIdentityRequest,
) (*tokendv1.GetOpenIdTokenForDeveloperIdentityResponse, error) {
	claims, key, err := s.claims(request)
	if err != nil {
		return nil, err
	}
	duration := defaultDuration
	if request.GetTokenDuration() != nil {
		duration = request.GetTokenDuration().AsDuration()
	}
	now := s.server.settings.now()
	issued := now.Truncate(time.Second)
	expire := issued.Add(duration)
	claims.IssuedAt, claims.Expiry = issued.Unix(), expire.Unix()
	return &tokendv1.GetOpenIdTokenForDeveloperIdentityResponse{
		IdentityId:  claims.Subject,
		Token:       key.sign(claims), // without the lock: a signature takes a while
		IssueTime:   timestamppb.New(now),
		ExpireTime:  timestamppb.New(expire),
		RefreshTime: timestamppb.New(issued.Add((duration / 3).Truncate(time.Second))),
	}, nil
}

// claims returns the claims of a token except its times, and the key that signs it.
func (s service) claims(
	request *tokendv1.GetOpenIdTokenForDeveloperIdentityRequest,
) (of claims, key signingKey, err error) {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	pool, err := s.pool(request.GetIdentityPoolId(), checkToken(request))
	if err != nil {
		return claims{}, signingKey{}, err
	}
	logins, err := pool.logins(request.GetLogins())
	if err != nil {
		return claims{}, signingKey{}, err
	}
	identity, err := pool.identityFor(logins, request.GetIdentityId())
	if err != nil {
		return claims{}, signingKey{}, err
	}
	return claims{
		Subject: identity.id, Audience: pool.id, Issuer: s.server.issuer,
		Methods: []string{"authenticated", pool.provider, pool.provider + ":" + pool.id + ":" + logins[0].user},
		Tags:    newTags(request.GetPrincipalTags()),
	}, s.server.keys[len(s.server.keys)-1], nil
}

// LookupDeveloperIdentity implements the contract.
func (s service) LookupDeveloperIdentity(
	_ context.Context, request *tokendv1.LookupDeveloperIdentityRequest,
) (*tokendv1.LookupDeveloperIdentityResponse, error) {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	pool, err := s.pool(request.GetIdentityPoolId(), checkLookup(request))
	if err != nil {
		return nil, err
	}
	user := request.GetDeveloperUserIdentifier()
	if request.GetIdentityId() == "" && user == "" {
		return nil, failure(tokend.InvalidParameter, "Either IdentityId or DeveloperUserIdentifier must be given.")
	}
	identity, err := pool.lookup(request.GetIdentityId(), user)
	if err != nil {
		return nil, err
	}
	if request.GetIdentityId() != "" && user != "" {
		return &tokendv1.LookupDeveloperIdentityResponse{IdentityId: identity.id, DeveloperUserIdentifierList: []string{user}}, nil
	}
	return page(identity.id, pool.users(identity), int(request.GetMaxResults()), request.GetNextToken())
}

// page returns the users after the one in nextToken, which is valid only for this identity.
func page(identityID string, users []string, size int, nextToken string) (*tokendv1.LookupDeveloperIdentityResponse, error) {
	if nextToken != "" {
		token, err := base64.RawURLEncoding.DecodeString(nextToken)
		last, found := strings.CutPrefix(string(token), identityID+"\n")
		if err != nil || !found {
			return nil, failure(tokend.InvalidParameter, "NextToken is not one that this operation returned.")
		}
		users = slices.DeleteFunc(users, func(user string) bool { return user <= last })
	}
	if size == 0 {
		size = maxPage
	}
	response := &tokendv1.LookupDeveloperIdentityResponse{IdentityId: identityID, DeveloperUserIdentifierList: users}
	if len(users) > size {
		response.DeveloperUserIdentifierList = users[:size]
		response.NextToken = base64.RawURLEncoding.EncodeToString([]byte(identityID + "\n" + users[size-1]))
	}
	return response, nil
}

// MergeDeveloperIdentities implements the contract.
func (s service) MergeDeveloperIdentities(
	_ context.Context, request *tokendv1.MergeDeveloperIdentitiesRequest,
) (*tokendv1.MergeDeveloperIdentitiesResponse, error) {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	pool, err := s.poolOf(request.GetIdentityPoolId(), request.GetDeveloperProviderName(), checkMerge(request))
	if err != nil {
		return nil, err
	}
	identity, err := pool.merge(request.GetSourceUserIdentifier(), request.GetDestinationUserIdentifier())
	if err != nil {
		return nil, err
	}
	return &tokendv1.MergeDeveloperIdentitiesResponse{IdentityId: identity.id}, nil
}

// UnlinkDeveloperIdentity implements the contract.
func (s service) UnlinkDeveloperIdentity(
	_ context.Context, request *tokendv1.UnlinkDeveloperIdentityRequest,
) (*tokendv1.UnlinkDeveloperIdentityResponse, error) {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	pool, err := s.poolOf(request.GetIdentityPoolId(), request.GetDeveloperProviderName(), checkUnlink(request))
	if err != nil {
		return nil, err
	}
	if err := pool.unlink(request.GetIdentityId(), request.GetDeveloperUserIdentifier()); err != nil {
		return nil, err
	}
	return &tokendv1.UnlinkDeveloperIdentityResponse{}, nil
}

// pool returns the pool of a request, or the error of a request that breaks limits.
func (s service) pool(id string, violations []tokend.FieldViolation) (*pool, error) {
	if len(violations) > 0 {
		return nil, Failure{
			Reason: tokend.ValidationFailed, Message: "Fields of the request break their limits.", Violations: violations,
		}.Err()
	}
	if found := s.server.pools[id]; found != nil {
		return found, nil
	}
	return nil, notFound("IdentityPool", id)
}

func (s service) poolOf(id, provider string, violations []tokend.FieldViolation) (*pool, error) {
	found, err := s.pool(id, violations)
	if err == nil && found.provider != provider {
		return nil, failure(tokend.InvalidParameter, "This identity pool does not support the specified developer provider")
	}
	return found, err
}

// logins returns the logins of a request, the developer user's first.
func (p *pool) logins(given map[string]string) ([]login, error) {
	user, known := given[p.provider]
	if !known {
		return nil, failure(tokend.InvalidParameter,
			"Logins must contain the developer provider of this identity pool, %s.", p.provider)
	}
	logins := []login{{p.provider, user}}
	for _, provider := range slices.Sorted(maps.Keys(given)) {
		if provider != p.provider {
			logins = append(logins, login{provider, given[provider]})
		}
	}
	return logins, nil
}
