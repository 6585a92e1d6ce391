// Package tokendverify verifies tokend's tokens in a service that receives them.
//
// A [Verifier] checks a token's signature with the issuer's keys, and its issuer, audience, algorithm, type and times.
// Its gRPC interceptors and its HTTP middleware put the caller's [Identity] into the context. It is a separate package,
// so that clients are built without go-jose.
package tokendverify

import (
	"context"
	"encoding/base64"
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

	// maxToken is the maximum length of a token from an unknown caller: the time to parse a deeply nested header grows
	// with the square of its length.
	maxToken = 16_384
)

// Errors of [Verifier.Verify], for [errors.Is].
var (
	// ErrRejected is returned for a token that is not valid for this service.
	ErrRejected = errors.New("the token is rejected")
	// ErrExpired is returned for a token that has expired. It is also an ErrRejected.
	ErrExpired = fmt.Errorf("%w: it has expired", ErrRejected)
	// ErrUnavailable is returned for a token that cannot be verified, because its key is not available at the moment.
	ErrUnavailable = errors.New("the issuer's keys are not available")
)

// Verifier verifies tokens of one issuer. It is safe for concurrent use.
type Verifier struct {
	issuer    string
	audiences []string
	settings  settings
	keys      *keys
}

// New returns a verifier of tokens with this issuer as iss and one of these pool ids as aud. All pools of a tokend
// service share its keys: only the audience distinguishes their tokens. The verifier fetches the issuer's keys when it
// verifies the first token.
func New(issuer string, identityPoolIDs []string, opts ...Option) (*Verifier, error) {
	if scheme := schemeOf(issuer); scheme != "https" && scheme != "http" {
		return nil, fmt.Errorf("tokendverify: the issuer is not a URL: %q", issuer)
	}
	if len(identityPoolIDs) == 0 || slices.Contains(identityPoolIDs, "") {
		return nil, errors.New("tokendverify: an identity pool id is missing")
	}
	settings := newSettings(opts)
	return &Verifier{
		issuer: issuer, audiences: slices.Clone(identityPoolIDs), settings: settings, keys: newKeys(issuer, settings),
	}, nil
}

// Verify verifies a token and returns its identity. It may wait for the issuer's keys, at most until ctx is done.
//
// It fails with [ErrRejected] (for an expired token, [ErrExpired]), with [ErrUnavailable], or with the error of ctx.
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

// parse parses a token and checks its header, before the issuer's keys are fetched.
func (v *Verifier) parse(token string) (*jose.JSONWebSignature, error) {
	if len(token) > maxToken {
		return nil, fmt.Errorf("it is longer than %d characters", maxToken)
	}
	for part := range strings.SplitSeq(token, ".") {
		if !isBase64URL(part) {
			return nil, errors.New("it is not base64url")
		}
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

// identity verifies a parsed token and returns its identity.
func (v *Verifier) identity(signed *jose.JSONWebSignature, key jose.JSONWebKey) (Identity, error) {
	if algorithm := signed.Signatures[0].Protected.Algorithm; algorithm != key.Algorithm {
		return Identity{}, fmt.Errorf("its key is not for %s", algorithm)
	}
	payload, err := signed.Verify(key)
	if err != nil {
		return Identity{}, err
	}
	claims, err := parseClaims(payload)
	if err != nil {
		return Identity{}, err
	}
	if err := v.check(claims); err != nil {
		return Identity{}, err
	}
	return claims.identity(), nil
}

// isBase64URL reports whether text is the canonical encoding of its octets (RFC 7515, section 2). Go's decoder ignores
// newlines.
func isBase64URL(text string) bool {
	octets, err := base64.RawURLEncoding.DecodeString(text)
	return err == nil && base64.RawURLEncoding.EncodeToString(octets) == text
}

// Option configures a [Verifier].
type Option func(*settings)

type settings struct {
	algorithms []jose.SignatureAlgorithm
	types      []string
	leeway     time.Duration
	client     *http.Client
	now        func() time.Time
	logger     *slog.Logger
}

// WithAlgorithms sets the accepted signature algorithms, by default all that tokend uses: RS512, RS256 and ES256. It
// panics for any other algorithm, and for none.
func WithAlgorithms(algorithms ...string) Option {
	var known []jose.SignatureAlgorithm
	for _, algorithm := range algorithms {
		if !slices.Contains(supportedAlgorithms, jose.SignatureAlgorithm(algorithm)) {
			panic("tokendverify: tokend does not sign with " + algorithm)
		}
		known = append(known, jose.SignatureAlgorithm(algorithm))
	}
	if len(known) == 0 {
		panic("tokendverify: no algorithm")
	}
	return func(s *settings) { s.algorithms = known }
}

// WithTypes sets the accepted values of typ, by default JWS, as in Cognito's tokens, and JWT. A pool's setting
// token_type is one of these two. It panics if there is none.
func WithTypes(types ...string) Option {
	if len(types) == 0 {
		panic("tokendverify: no type")
	}
	return func(s *settings) { s.types = types }
}

// WithLeeway sets by how much the clocks of this machine and of tokend may differ, one minute by default: how long a
// token is accepted before its issue time and after its expiry. It panics if leeway is negative.
func WithLeeway(leeway time.Duration) Option {
	if leeway < 0 {
		panic(fmt.Sprintf("tokendverify: leeway must not be negative: %v", leeway))
	}
	return func(s *settings) { s.leeway = leeway }
}

// WithHTTPClient sets the client that fetches the keys, for example one that trusts your own certificate authority. The
// default client ignores the proxy variables of the environment.
func WithHTTPClient(client *http.Client) Option {
	return func(s *settings) { s.client = client }
}

// WithClock sets the function that returns the current time, [time.Now] by default.
func WithClock(now func() time.Time) Option {
	return func(s *settings) { s.now = now }
}

// WithLogger logs why tokens are rejected, at info level, and why keys cannot be fetched, as warnings. Callers do not
// get these details.
func WithLogger(logger *slog.Logger) Option {
	return func(s *settings) { s.logger = logger }
}

var supportedAlgorithms = []jose.SignatureAlgorithm{jose.RS512, jose.RS256, jose.ES256}

func newSettings(opts []Option) settings {
	made := settings{
		algorithms: supportedAlgorithms,
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
