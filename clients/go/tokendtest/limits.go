package tokendtest

import (
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"

	"tokend.internal/go"
	"tokend.internal/go/tokendv1"
)

var (
	anything     = regexp.MustCompile(`^`)
	idPattern    = regexp.MustCompile(`^[\w-]+:[0-9a-f-]+$`)
	namePattern  = regexp.MustCompile(`^[\w._-]+$`)
	tokenPattern = regexp.MustCompile(`^\S+$`)
)

// limits collects the fields of a request that break their limits.
type limits struct{ violations []tokend.FieldViolation }

func (l *limits) check(kept bool, field, constraint string) {
	if !kept {
		l.violations = append(l.violations, tokend.FieldViolation{Field: field, Constraint: constraint})
	}
}

func (l *limits) required(field, value string) {
	l.check(value != "", field, "Member must not be null")
}

func (l *limits) text(field, value string, longest int, pattern *regexp.Regexp) {
	if value != "" {
		l.check(utf8.RuneCountInString(value) <= longest, field,
			fmt.Sprintf("Member must have length less than or equal to %d", longest))
		l.check(pattern.MatchString(value), field, "Member must satisfy regular expression pattern")
	}
}

func (l *limits) entries(field string, entries map[string]string, most, longestKey, longestValue int) {
	l.check(len(entries) <= most, field, fmt.Sprintf("Map must have length less than or equal to %d", most))
	keys, values := true, true
	for key, value := range entries {
		keys = keys && fits(key, longestKey)
		values = values && fits(value, longestValue)
	}
	l.check(keys, field+".key", fmt.Sprintf("Member must have a length from 1 to %d", longestKey))
	l.check(values, field+".value", fmt.Sprintf("Member must have a length from 1 to %d", longestValue))
}

func fits(text string, longest int) bool {
	return text != "" && utf8.RuneCountInString(text) <= longest
}

func checkToken(r *tokendv1.GetOpenIdTokenForDeveloperIdentityRequest) []tokend.FieldViolation {
	l := &limits{}
	l.required("identity_pool_id", r.GetIdentityPoolId())
	l.text("identity_pool_id", r.GetIdentityPoolId(), 55, idPattern)
	l.text("identity_id", r.GetIdentityId(), 55, idPattern)
	l.check(len(r.GetLogins()) > 0, "logins", "Member must not be null")
	l.entries("logins", r.GetLogins(), 10, 128, 50_000)
	l.entries("principal_tags", r.GetPrincipalTags(), 50, 128, 256)
	if r.GetTokenDuration() != nil {
		duration := r.GetTokenDuration().AsDuration()
		l.check(duration%time.Second == 0, "token_duration", "Member must be a whole number of seconds")
		l.check(time.Second <= duration && duration <= 24*time.Hour, "token_duration", "Member must be from 1 to 86400 s")
	}
	return l.violations
}

func checkLookup(r *tokendv1.LookupDeveloperIdentityRequest) []tokend.FieldViolation {
	l := &limits{}
	l.required("identity_pool_id", r.GetIdentityPoolId())
	l.text("identity_pool_id", r.GetIdentityPoolId(), 55, idPattern)
	l.text("identity_id", r.GetIdentityId(), 55, idPattern)
	l.text("developer_user_identifier", r.GetDeveloperUserIdentifier(), 1024, anything)
	l.check(0 <= r.GetMaxResults() && r.GetMaxResults() <= maxPage, "max_results", "Member must be from 1 to 60")
	l.text("next_token", r.GetNextToken(), 65_535, tokenPattern)
	return l.violations
}

func checkMerge(r *tokendv1.MergeDeveloperIdentitiesRequest) []tokend.FieldViolation {
	l := &limits{}
	l.user("source_user_identifier", r.GetSourceUserIdentifier())
	l.user("destination_user_identifier", r.GetDestinationUserIdentifier())
	l.names(r.GetDeveloperProviderName(), r.GetIdentityPoolId())
	return l.violations
}

func checkUnlink(r *tokendv1.UnlinkDeveloperIdentityRequest) []tokend.FieldViolation {
	l := &limits{}
	l.required("identity_id", r.GetIdentityId())
	l.text("identity_id", r.GetIdentityId(), 55, idPattern)
	l.user("developer_user_identifier", r.GetDeveloperUserIdentifier())
	l.names(r.GetDeveloperProviderName(), r.GetIdentityPoolId())
	return l.violations
}

func (l *limits) user(field, value string) {
	l.required(field, value)
	l.text(field, value, 1024, anything)
}

func (l *limits) names(provider, identityPoolID string) {
	l.required("developer_provider_name", provider)
	l.text("developer_provider_name", provider, 128, namePattern)
	l.required("identity_pool_id", identityPoolID)
	l.text("identity_pool_id", identityPoolID, 55, idPattern)
}
