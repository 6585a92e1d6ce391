// Package tokendverify verifies the tokens that tokend issues, in a service that is called with them.
//
// A [Verifier] checks the signature with the issuer's keys, issuer, audience, algorithm, type and times. It stands in
// front of gRPC services as an interceptor and of HTTP handlers as middleware, which put the caller's [Identity] into the
// context. It is a package of its own so that clients are built without go-jose.
package tokendverify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	defaultLeeway = time.Minute

	// maxToken is how many characters are looked at before it is known who has sent them: to parse a header that is nested
	// deeply takes time that grows with the square of its length.
	maxToken = 16_384
)

// Errors of [Verifier.Verify], as [errors.Is] finds them.
var (
	// ErrRejected is the error of a token that is not good for this service.
	ErrRejected = errors.New("the token is rejected")
	// ErrExpired is the error of one that was; it is an ErrRejected, too.
	ErrExpired = fmt.Errorf("%w: it has expired", ErrRejected)
	// ErrUnavailable is the error of a token of which it cannot be told, since there is no key for it at the moment.
	ErrUnavailable = errors.New("the issuer's keys cannot be had")
)

// Verifier verifies tokens of one issuer. It is safe for concurrent use.
type Verifier struct {
	issuer    string
	audiences []string
	settings  settings
	keys      *keys
}

// New makes a verifier of tokens with this iss, and one of these pool ids as aud; all pools of a tokend share its keys, so
// that the audience is what tells them apart. It asks the issuer for its keys when the first token comes.
func New(issuer string, identityPoolIDs []string, opts ...Option) (*Verifier, error) {
	if scheme := schemeOf(issuer); scheme != "https" && scheme != "http" {
		return nil, fmt.Errorf("tokendverify: the issuer is no URL: %q", issuer)
	}
	if len(identityPoolIDs) == 0 || slices.Contains(identityPoolIDs, "") {
		return nil, errors.New("tokendverify: an identity pool id is missing")
	}
	settings := newSettings(opts)
	return &Verifier{
		issuer: issuer, audiences: slices.Clone(identityPoolIDs), settings: settings, keys: newKeys(issuer, settings),
	}, nil
}

// Verify returns the identity that a token names. It may have to wait for the issuer's keys, until ctx is done at the
// longest.
//
// It fails with [ErrRejected], [ErrExpired] among it; with [ErrUnavailable]; or with the error of ctx.
func (v *Verifier) Verify(ctx context.Context, token string) (Identity, error) {
	signed, err := v.parse(token)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrRejected, err)
	}
	key, err := v.keys.find(ctx, signed.Signatures[0].Protected.KeyID)
	if err != nil {
		return Identity{}, err
	}
	identity, err := v.identity(signed, key)
	if err != nil && !errors.Is(err, ErrExpired) {
		err = fmt.Errorf("%w: %w", ErrRejected, err)
	}
	return identity, err
}

// parse reads what tells whether a token is worth a look.
func (v *Verifier) parse(token string) (*jose.JSONWebSignature, error) {
	if len(token) > maxToken {
		return nil, fmt.Errorf("it is longer than %d characters", maxToken)
	}
	signed, err := jose.ParseSignedCompact(token, v.settings.algorithms)
	if err != nil {
		return nil, err
	}
	kind, _ := signed.Signatures[0].Protected.ExtraHeaders[jose.HeaderType].(string)
	if !slices.ContainsFunc(v.settings.types, func(known string) bool { return strings.EqualFold(known, kind) }) {
		return nil, fmt.Errorf("its typ is %q", kind)
	}
	return signed, nil
}

// identity is the one that a token names, if it is good.
func (v *Verifier) identity(signed *jose.JSONWebSignature, key jose.JSONWebKey) (Identity, error) {
	if algorithm := signed.Signatures[0].Protected.Algorithm; algorithm != key.Algorithm {
		return Identity{}, fmt.Errorf("its key is not for %s", algorithm)
	}
	payload, err := signed.Verify(key)
	if err != nil {
		return Identity{}, err
	}
	claims, err := readClaims(payload)
	if err != nil {
		return Identity{}, err
	}
	if err := v.check(claims); err != nil {
		return Identity{}, err
	}
	return claims.identity(), nil
}

// Option is a setting of a [Verifier].
type Option func(*settings)

type settings struct {
	algorithms []jose.SignatureAlgorithm
	types      []string
	leeway     time.Duration
	client     *http.Client
	now        func() time.Time
	logger     *slog.Logger
}

// WithAlgorithms sets the algorithms that tokens may be signed with; RS512, RS256 and ES256, which are tokend's, by
// default. It panics at others.
func WithAlgorithms(algorithms ...string) Option {
	var known []jose.SignatureAlgorithm
	for _, algorithm := range algorithms {
		if !slices.Contains(issuersAlgorithms, jose.SignatureAlgorithm(algorithm)) {
			panic("tokendverify: tokend does not sign with " + algorithm)
		}
		known = append(known, jose.SignatureAlgorithm(algorithm))
	}
	if len(known) == 0 {
		panic("tokendverify: no algorithm")
	}
	return func(s *settings) { s.algorithms = known }
}

// WithTypes sets which typ tokens may have; JWS, as Cognito's tokens, and JWT by default. A pool's token_type is one of
// them.
func WithTypes(types ...string) Option {
	return func(s *settings) { s.types = types }
}

// WithLeeway sets by how much the clocks of this machine and of tokend may differ: for how long after its expiry a token is
// still accepted, and how long before it was issued; a minute by default. A negative one panics.
func WithLeeway(leeway time.Duration) Option {
	if leeway < 0 {
		panic("tokendverify: a negative leeway")
	}
	return func(s *settings) { s.leeway = leeway }
}

// WithHTTPClient sets what fetches the keys: one for a certificate authority of your own, for example.
// By default it goes through no proxy of the environment.
func WithHTTPClient(client *http.Client) Option {
	return func(s *settings) { s.client = client }
}

// WithClock sets what tells the time, [time.Now] by default.
func WithClock(now func() time.Time) Option {
	return func(s *settings) { s.now = now }
}

// WithLogger logs why tokens are rejected, at info level, and why keys cannot be had, as warnings. Callers are not told.
func WithLogger(logger *slog.Logger) Option {
	return func(s *settings) { s.logger = logger }
}

var issuersAlgorithms = []jose.SignatureAlgorithm{jose.RS512, jose.RS256, jose.ES256}

func newSettings(opts []Option) settings {
	made := settings{
		algorithms: issuersAlgorithms,
		types:      []string{"JWS", "JWT"},
		leeway:     defaultLeeway,
		client:     &http.Client{Transport: withoutProxy()},
		now:        time.Now,
		logger:     slog.New(slog.DiscardHandler),
	}
	for _, opt := range opts {
		opt(&made)
	}
	return made
}

func withoutProxy() http.RoundTripper {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	return transport
}
