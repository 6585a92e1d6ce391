package tokendverify

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"

	"tokend.internal/go"
)

const (
	tagsClaim = "https://aws.amazon.com/tags"

	// A NumericDate (RFC 7519, section 2) stands for a date of RFC 3339, which has no year beyond 9999.
	firstSecond = -62_135_596_800 // of the year 1
	endSecond   = 253_402_300_800 // of the year 9999, exclusive
)

var errFormat = errors.New("its claims do not have the format of tokend's")

// claims are the claims of a token.
type claims struct {
	Issuer     string       `json:"iss"`
	Subject    string       `json:"sub"`
	Audience   jwt.Audience `json:"aud"`
	IssueTime  *float64     `json:"iat"`
	ExpireTime *float64     `json:"exp"`
	NotBefore  *float64     `json:"nbf"`
	Methods    []string     `json:"amr"`
	Tags       struct {
		PrincipalTags map[string][]string `json:"principal_tags"`
	} `json:"https://aws.amazon.com/tags"`
}

// parseClaims parses claims with go-jose's JSON package: encoding/json would also accept "SUB" for "sub".
func parseClaims(payload []byte) (read claims, err error) {
	var given map[string]any
	if err := errors.Join(json.Unmarshal(payload, &read), json.Unmarshal(payload, &given)); err != nil {
		return claims{}, err
	}
	for _, name := range []string{"nbf", "amr", tagsClaim} { // the other claims are required
		if value, there := given[name]; there && containsNull(value) {
			return claims{}, errFormat
		}
	}
	for _, at := range []*float64{read.IssueTime, read.ExpireTime, read.NotBefore} {
		if at != nil && (*at < firstSecond || *at >= endSecond) {
			return claims{}, errFormat
		}
	}
	for _, values := range read.Tags.PrincipalTags {
		if len(values) == 0 {
			return claims{}, errFormat
		}
	}
	return read, nil
}

func containsNull(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case []any:
		return slices.ContainsFunc(value, containsNull)
	case map[string]any:
		for _, each := range value {
			if containsNull(each) {
				return true
			}
		}
	}
	return false
}

// check checks the claims of a token against the verifier's issuer, audiences, leeway and clock.
func (v *Verifier) check(claims claims) error {
	switch {
	case claims.Issuer != v.issuer:
		return fmt.Errorf("its issuer is %q", claims.Issuer)
	case len(claims.Audience) != 1 || !slices.Contains(v.audiences, claims.Audience[0]):
		return fmt.Errorf("its audience is %q", claims.Audience)
	case claims.Subject == "":
		return errors.New("it has no sub")
	}
	return v.checkTimes(claims)
}

func (v *Verifier) checkTimes(claims claims) error {
	now, leeway := float64(v.settings.now().UnixMilli())/1000, v.settings.leeway.Seconds()
	switch {
	case claims.IssueTime == nil || claims.ExpireTime == nil:
		return errors.New("it has no iat or no exp")
	case *claims.ExpireTime <= now-leeway:
		return ErrExpired
	case *claims.IssueTime > now+leeway:
		return errors.New("it was issued in the future")
	case claims.NotBefore != nil && *claims.NotBefore > now+leeway:
		return errors.New("it is not valid yet")
	}
	return nil
}

// identity returns the identity in checked claims.
func (c claims) identity() Identity {
	identity := Identity{
		ID: c.Subject, IdentityPoolID: c.Audience[0], Issuer: c.Issuer,
		IssueTime: time.Unix(int64(*c.IssueTime), 0), ExpireTime: time.Unix(int64(*c.ExpireTime), 0),
		PrincipalTags: make(map[string]string, len(c.Tags.PrincipalTags)),
	}
	for _, method := range c.Methods {
		identity.AuthenticationMethods = append(identity.AuthenticationMethods, tokend.NewSecret(method))
	}
	for name, values := range c.Tags.PrincipalTags {
		identity.PrincipalTags[name] = values[0]
	}
	return identity
}
