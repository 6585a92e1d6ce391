// Package tokendverify verifies the tokens that tokend issues, in a service that is called with them.
//
// A [Verifier] checks the signature with the issuer's keys, issuer, audience, algorithm, type and times. It stands in
// front of gRPC services as an interceptor and of HTTP handlers as middleware, which put the caller's [Identity] into the
// context. It is a package of its own so that clients are built without go-oidc.
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

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"tokend.internal/go"
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
	audiences []string
	settings  settings
	keys      *keys
	tokens    *oidc.IDTokenVerifier
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
	v := &Verifier{audiences: slices.Clone(identityPoolIDs), settings: settings, keys: newKeys(issuer, settings)}
	v.tokens = oidc.NewVerifier(issuer, keyOfContext{}, &oidc.Config{
		SkipClientIDCheck:    true, // go-oidc knows a single one
		SkipExpiryCheck:      true, // it has a leeway of its own for nbf, and looks at no iat
		SupportedSigningAlgs: algorithmNames(settings.algorithms),
	})
	return v, nil
}

// Verify returns the identity that a token names. It may have to wait for the issuer's keys, until ctx is done at the
// longest.
//
// It fails with [ErrRejected], [ErrExpired] among it; with [ErrUnavailable]; or with the error of ctx.
func (v *Verifier) Verify(ctx context.Context, token string) (Identity, error) {
	header, err := v.header(token)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrRejected, err)
	}
	key, err := v.keys.find(ctx, header.KeyID)
	if err != nil {
		return Identity{}, err
	}
	verified, err := v.tokens.Verify(context.WithValue(ctx, contextKey{}, key), token)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrRejected, err)
	}
	identity, err := v.identity(verified)
	if errors.Is(err, ErrExpired) {
		return Identity{}, err
	}
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrRejected, err)
	}
	return identity, nil
}

// header reads what tells whether a token is worth a look.
func (v *Verifier) header(token string) (jose.Header, error) {
	if len(token) > maxToken {
		return jose.Header{}, fmt.Errorf("it is longer than %d characters", maxToken)
	}
	parsed, err := jose.ParseSignedCompact(token, v.settings.algorithms)
	if err != nil {
		return jose.Header{}, err
	}
	header := parsed.Signatures[0].Protected
	kind, _ := header.ExtraHeaders[jose.HeaderType].(string)
	if !slices.ContainsFunc(v.settings.types, func(known string) bool { return strings.EqualFold(known, kind) }) {
		return jose.Header{}, fmt.Errorf("its typ is %q", kind)
	}
	return header, nil
}

// claims are those of a token beside the ones that go-oidc reads. Times are numbers: go-oidc takes texts as well.
type claims struct {
	IssueTime  *float64 `json:"iat"`
	ExpireTime *float64 `json:"exp"`
	NotBefore  *float64 `json:"nbf"`
	Methods    []string `json:"amr"`
	Tags       struct {
		PrincipalTags map[string][]string `json:"principal_tags"`
	} `json:"https://aws.amazon.com/tags"`
}

func (v *Verifier) identity(token *oidc.IDToken) (Identity, error) {
	var claims claims
	if err := token.Claims(&claims); err != nil {
		return Identity{}, err
	}
	switch {
	case len(token.Audience) != 1 || !slices.Contains(v.audiences, token.Audience[0]):
		return Identity{}, fmt.Errorf("it is for %q", token.Audience)
	case token.Subject == "":
		return Identity{}, errors.New("it has no sub")
	}
	if err := v.checkTimes(claims); err != nil {
		return Identity{}, err
	}
	identity := Identity{
		ID: token.Subject, IdentityPoolID: token.Audience[0], Issuer: token.Issuer, IssueTime: token.IssuedAt,
		ExpireTime: token.Expiry, PrincipalTags: make(map[string]string, len(claims.Tags.PrincipalTags)),
	}
	for _, method := range claims.Methods {
		identity.AuthenticationMethods = append(identity.AuthenticationMethods, tokend.NewSecret(method))
	}
	for name, values := range claims.Tags.PrincipalTags {
		if len(values) == 0 {
			return Identity{}, fmt.Errorf("its tag %q has no value", name)
		}
		identity.PrincipalTags[name] = values[0]
	}
	return identity, nil
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

// contextKey is where a context holds the key of a token that is being verified.
type contextKey struct{}

// keyOfContext verifies with the key that was found for the token. It stands in the place of go-oidc's RemoteKeySet, which
// asks the issuer at every token that it cannot verify.
type keyOfContext struct{}

// VerifySignature implements [oidc.KeySet].
func (keyOfContext) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	key, ok := ctx.Value(contextKey{}).(jose.JSONWebKey)
	if !ok {
		return nil, errors.New("no key was looked for")
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(key.Algorithm)})
	if err != nil {
		return nil, err
	}
	return signed.Verify(key)
}

func algorithmNames(algorithms []jose.SignatureAlgorithm) []string {
	names := make([]string, len(algorithms))
	for i, algorithm := range algorithms {
		names[i] = string(algorithm)
	}
	return names
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
