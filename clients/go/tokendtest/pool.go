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

// pool is the identities of an identity pool.
type pool struct {
	id         string
	provider   string
	identities map[string]*identity
	owners     map[string]*identity // by developer user
}

type identity struct {
	id       string
	users    map[string]bool
	disabled bool
}

func newPool(id, provider string) *pool {
	return &pool{id: id, provider: provider, identities: map[string]*identity{}, owners: map[string]*identity{}}
}

// identityFor registers or retrieves the identity of a user; namedID may be empty.
func (p *pool) identityFor(user, namedID string) (*identity, error) {
	owner := p.owners[user]
	if namedID == "" {
		if owner == nil {
			owner = p.create()
		}
		return owner, p.link(owner, user)
	}
	named, err := p.identity(namedID)
	switch {
	case err != nil:
		return nil, err
	case named.disabled:
		return nil, failure(tokend.NotAuthorized, "Access to Identity '%s' is forbidden.", namedID)
	case owner != nil && owner != named:
		return nil, failure(tokend.DeveloperUserAlreadyRegistered, "The developer user is registered under another identity.")
	}
	return named, p.link(named, user)
}

func (p *pool) create() *identity {
	region, _, _ := strings.Cut(p.id, ":")
	created := &identity{id: region + ":" + newGUID(), users: map[string]bool{}}
	p.identities[created.id] = created
	return created
}

func (p *pool) link(to *identity, users ...string) error {
	together := maps.Clone(to.users)
	for _, user := range users {
		together[user] = true
	}
	if len(together) > maxLinkedLogins {
		return failure(tokend.LimitExceeded, "An identity can have at most %d linked logins.", maxLinkedLogins)
	}
	to.users = together
	for _, user := range users {
		p.owners[user] = to
	}
	return nil
}

func (p *pool) identity(id string) (*identity, error) {
	if found := p.identities[id]; found != nil {
		return found, nil
	}
	return nil, Failure{
		Reason: tokend.ResourceNotFound, Message: fmt.Sprintf("Identity '%s' not found.", id),
		ResourceType: "Identity", ResourceName: id,
	}.Err()
}

func (p *pool) owner(user string) (*identity, error) {
	if owner := p.owners[user]; owner != nil {
		return owner, nil
	}
	return nil, Failure{
		Reason: tokend.ResourceNotFound, Message: "Developer user not found in this identity pool.",
		ResourceType: "DeveloperUser",
	}.Err()
}

// lookup finds an identity by its id, or else by its user. A user who is given beside an id has to belong to it.
func (p *pool) lookup(id, user string) (*identity, error) {
	if id == "" {
		return p.owner(user)
	}
	found, err := p.identity(id)
	if err == nil && user != "" && !found.users[user] {
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
	if err := p.link(to, slices.Collect(maps.Keys(from.users))...); err != nil {
		return nil, err
	}
	from.users, from.disabled = map[string]bool{}, true
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
	delete(p.owners, user)
	delete(found.users, user)
	found.disabled = len(found.users) == 0
	return nil
}

func failure(reason tokend.Reason, format string, args ...any) error {
	return Failure{Reason: reason, Message: fmt.Sprintf(format, args...)}.Err()
}

func newGUID() string {
	random := make([]byte, 16)
	_, _ = rand.Read(random) // it never fails
	text := hex.EncodeToString(random)
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}
