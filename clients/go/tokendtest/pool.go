package tokendtest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tokend.internal/go"
)

const maxLinkedLogins = 20

// login is a provider with its user.
type login struct{ provider, user string }

// pool holds the identities of an identity pool.
type pool struct {
	id         string
	provider   string
	identities map[string]*identity
	owners     map[login]*identity
}

type identity struct {
	id       string
	logins   map[login]bool
	disabled bool
}

func newPool(id, provider string) *pool {
	return &pool{id: id, provider: provider, identities: map[string]*identity{}, owners: map[login]*identity{}}
}

// identityFor registers or retrieves the identity of logins. The developer user's login comes first; namedID may be
// empty.
func (p *pool) identityFor(logins []login, namedID string) (*identity, error) {
	var found *identity
	var err error
	if namedID == "" {
		found, err = p.commonOwner(logins)
	} else {
		found, err = p.namedIdentity(namedID, logins)
	}
	if err != nil {
		return nil, err
	}
	if found == nil {
		found = p.create()
	}
	return found, p.link(found, logins...)
}

// commonOwner returns the identity of the logins that have one; nil if none has.
func (p *pool) commonOwner(logins []login) (*identity, error) {
	var found *identity
	for _, each := range logins {
		owner := p.owners[each]
		if owner != nil && found != nil && owner != found {
			return nil, failure(tokend.ResourceConflict, "The logins are linked to different identities.")
		}
		if owner != nil {
			found = owner
		}
	}
	return found, nil
}

func (p *pool) namedIdentity(id string, logins []login) (*identity, error) {
	named, err := p.identity(id)
	if err != nil {
		return nil, err
	}
	if named.disabled {
		return nil, failure(tokend.NotAuthorized, "Access to Identity '%s' is forbidden.", id)
	}
	for _, each := range logins {
		switch owner := p.owners[each]; {
		case owner == nil || owner == named:
		case each.provider == p.provider:
			return nil, failure(tokend.DeveloperUserAlreadyRegistered, "This developer user identifier is already registered with Cognito.")
		default:
			return nil, failure(tokend.ResourceConflict, "A login is already linked to another identity.")
		}
	}
	if len(p.users(named)) == 0 && !slices.ContainsFunc(logins, func(each login) bool { return named.logins[each] }) {
		return nil, failure(tokend.NotAuthorized,
			"Logins don't match. Please include at least one valid login for this identity or identity pool.")
	}
	return named, nil
}

func (p *pool) create() *identity {
	region, _, _ := strings.Cut(p.id, ":")
	created := &identity{id: region + ":" + newGUID(), logins: map[login]bool{}}
	p.identities[created.id] = created
	return created
}

// link links logins to an identity, also if they were linked to another one.
func (p *pool) link(to *identity, logins ...login) error {
	together, providers := maps.Clone(to.logins), map[string]bool{}
	for _, each := range logins {
		together[each] = true
	}
	for each := range together {
		if each.provider != p.provider && providers[each.provider] {
			return failure(tokend.ResourceConflict, "The identity is already linked to another user of %s.", each.provider)
		}
		providers[each.provider] = true
	}
	if len(together) > maxLinkedLogins {
		return Failure{
			Reason: tokend.LimitExceeded, QuotaSubject: to.id,
			Message: fmt.Sprintf("An identity can have at most %d linked logins.", maxLinkedLogins),
		}.Err()
	}
	to.logins = together
	for _, each := range logins {
		p.owners[each] = to
	}
	return nil
}

// users returns an identity's users of the developer provider, sorted.
func (p *pool) users(of *identity) []string {
	var users []string
	for each := range of.logins {
		if each.provider == p.provider {
			users = append(users, each.user)
		}
	}
	slices.Sort(users)
	return users
}

func (p *pool) identity(id string) (*identity, error) {
	if found := p.identities[id]; found != nil {
		return found, nil
	}
	return nil, notFound("Identity", id)
}

func (p *pool) owner(user string) (*identity, error) {
	if owner := p.owners[login{p.provider, user}]; owner != nil {
		return owner, nil
	}
	return nil, Failure{
		Reason: tokend.ResourceNotFound, Message: "Developer user not found in this identity pool.",
		ResourceType: "DeveloperUser",
	}.Err()
}

// lookup finds an identity by its id or, without one, by its user. If both are given, the user must belong to the
// identity.
func (p *pool) lookup(id, user string) (*identity, error) {
	if id == "" {
		return p.owner(user)
	}
	found, err := p.identity(id)
	if err == nil && user != "" && !found.logins[login{p.provider, user}] {
		return nil, failure(tokend.ResourceConflict, "The identity and the developer user do not belong together.")
	}
	return found, err
}

func (p *pool) merge(source, destination string) (*identity, error) {
	from, err := p.owner(source)
	if err != nil {
		return nil, err
	}
	to, err := p.owner(destination)
	if err != nil || from == to {
		return to, err
	}
	if err := p.link(to, slices.Collect(maps.Keys(from.logins))...); err != nil {
		return nil, err
	}
	from.logins, from.disabled = map[login]bool{}, true
	return to, nil
}

func (p *pool) unlink(id, user string) error {
	found, err := p.identity(id)
	if err != nil {
		return err
	}
	owner, err := p.owner(user)
	switch {
	case err != nil:
		return err
	case owner != found:
		return failure(tokend.ResourceConflict, "A login is already linked to another identity.")
	}
	unlinked := login{p.provider, user}
	delete(p.owners, unlinked)
	delete(found.logins, unlinked)
	found.disabled = len(found.logins) == 0
	return nil
}

func failure(reason tokend.Reason, format string, args ...any) error {
	return Failure{Reason: reason, Message: fmt.Sprintf(format, args...)}.Err()
}

func notFound(resourceType, name string) error {
	return Failure{
		Reason: tokend.ResourceNotFound, Message: fmt.Sprintf("%s '%s' not found.", resourceType, name),
		ResourceType: resourceType, ResourceName: name,
	}.Err()
}

func newGUID() string {
	random := make([]byte, 16)
	_, _ = rand.Read(random) // it never fails
	text := hex.EncodeToString(random)
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}
