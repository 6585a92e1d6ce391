package tokendverify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

const (
	// refreshAfter is the age at which keys are fetched again in the background.
	refreshAfter = 5 * time.Minute
	// usableFor is how long keys that cannot be fetched again are used. Some of them may have been withdrawn by then.
	usableFor = 24 * time.Hour
	// pause is how long no keys are fetched after a fetch without the requested key, so that tokens with unknown keys,
	// or an unavailable issuer, do not cause a fetch for every call.
	pause        = 5 * time.Second
	fetchTimeout = 5 * time.Second
	maxDocument  = 1 << 20
	maxRedirects = 10 // as in [http.Client]
)

// keys is the cache of the issuer's keys.
type keys struct {
	issuer   string
	settings settings
	held     atomic.Pointer[heldKeys] // nil before the first fetch

	mu       sync.Mutex // not held during a fetch
	flight   *fetch     // the running fetch
	missedAt time.Time  // end of the last fetch, if it did not return the requested key; else zero
	reason   error      // error for callers during the pause
}

type heldKeys struct {
	byID    map[string]jose.JSONWebKey
	fetched time.Time
}

// fetch is one fetch of the keys, started for one key id. Read err only after done is closed.
type fetch struct {
	id   string
	done chan struct{}
	err  error
}

var errUnknownKey = fmt.Errorf("%w: it is not signed with a key of the issuer", ErrRejected)

func newKeys(issuer string, settings settings) *keys {
	settings.client = withoutDowngrade(settings.client)
	return &keys{issuer: issuer, settings: settings}
}

// withoutDowngrade returns a client that follows no redirect from https to plaintext, where an attacker on the network
// could replace the keys.
func withoutDowngrade(client *http.Client) *http.Client {
	secured := *client
	secured.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		switch {
		case via[0].URL.Scheme == "https" && next.URL.Scheme != "https":
			return fmt.Errorf("a redirect leads from https to %q", next.URL)
		case client.CheckRedirect != nil:
			return client.CheckRedirect(next, via)
		case len(via) >= maxRedirects:
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		return nil
	}
	return &secured
}

// find returns a key by its id. It may wait for a fetch.
func (k *keys) find(ctx context.Context, id string) (jose.JSONWebKey, error) {
	held := k.held.Load()
	key, known := held.key(id)
	var age time.Duration
	if known {
		age = k.settings.now().Sub(held.fetched)
	}
	if known && age < refreshAfter {
		return key, nil
	}
	running, err := k.fetch(id)
	switch {
	case known && age < usableFor:
		return key, nil
	case err != nil:
		return jose.JSONWebKey{}, err
	}
	select {
	case <-ctx.Done():
		return jose.JSONWebKey{}, ctx.Err()
	case <-running.done:
	}
	if running.err != nil {
		return jose.JSONWebKey{}, running.err
	}
	if key, known = k.held.Load().key(id); !known {
		return jose.JSONWebKey{}, errUnknownKey
	}
	return key, nil
}

func (h *heldKeys) key(id string) (jose.JSONWebKey, bool) {
	if h == nil {
		return jose.JSONWebKey{}, false
	}
	key, known := h.byID[id]
	return key, known
}

// fetch returns the running fetch, which it starts unless there is a pause.
func (k *keys) fetch(id string) (*fetch, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.flight != nil:
		return k.flight, nil
	case !k.missedAt.IsZero() && k.settings.now().Sub(k.missedAt).Abs() < pause:
		return nil, k.reason
	}
	k.flight = &fetch{id: id, done: make(chan struct{})}
	go k.runFetch(k.flight) // independent of the caller's context, since others wait for it
	return k.flight, nil
}

func (k *keys) runFetch(running *fetch) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	found, err := k.fetchKeys(ctx)
	now := k.settings.now()
	if err != nil {
		running.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		k.settings.logger.WarnContext(ctx, "tokend's keys cannot be fetched", "issuer", k.issuer, "error", err)
	} else {
		k.held.Store(&heldKeys{byID: found, fetched: now})
	}
	k.finishFetch(running, now)
	close(running.done)
}

func (k *keys) finishFetch(running *fetch, now time.Time) {
	_, known := k.held.Load().key(running.id)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flight = nil
	switch {
	case running.err != nil:
		k.missedAt, k.reason = now, running.err
	case !known:
		k.missedAt, k.reason = now, errUnknownKey
	default:
		k.missedAt = time.Time{}
	}
}

// fetchKeys fetches the keys by OpenID Connect Discovery 1.0.
func (k *keys) fetchKeys(ctx context.Context) (map[string]jose.JSONWebKey, error) {
	var provider struct {
		Issuer  string `json:"issuer"`
		KeysURL string `json:"jwks_uri"`
	}
	if err := k.getJSON(ctx, strings.TrimSuffix(k.issuer, "/")+"/.well-known/openid-configuration", &provider); err != nil {
		return nil, err
	}
	switch {
	case provider.Issuer != k.issuer:
		return nil, fmt.Errorf("the discovery document names another issuer, %q", provider.Issuer)
	case schemeOf(k.issuer) == "https" && schemeOf(provider.KeysURL) != "https":
		return nil, fmt.Errorf("the keys are not served over https, but at %q", provider.KeysURL)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := k.getJSON(ctx, provider.KeysURL, &set); err != nil {
		return nil, err
	}
	found := map[string]jose.JSONWebKey{}
	for _, each := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(each, &key) != nil {
			continue // an unknown kty, curve or format is ignored, by RFC 7517, section 5
		}
		if key.IsPublic() && key.KeyID != "" && key.Algorithm != "" && (key.Use == "" || key.Use == "sig") {
			found[key.KeyID] = key
		}
	}
	if len(found) == 0 {
		return nil, errors.New("the issuer has no usable keys")
	}
	return found, nil
}

// schemeOf returns the scheme of a URL in lower case (RFC 3986, section 3.1); empty if there is none.
func schemeOf(url string) string {
	scheme, _, found := strings.Cut(url, "://")
	if !found {
		return ""
	}
	return strings.ToLower(scheme)
}

func (k *keys) getJSON(ctx context.Context, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := k.settings.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	document, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	if err == nil && len(document) > maxDocument {
		err = fmt.Errorf("it is larger than %d octets", maxDocument)
	}
	if err == nil {
		err = json.Unmarshal(document, into)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}
