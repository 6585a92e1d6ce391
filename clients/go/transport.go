package tokend

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Transport is an [http.RoundTripper] that attaches a token to requests, as "Authorization: Bearer ...". It waits for
// the token, if it must, until the request's context is done. Requests without HTTPS fail, unless Plaintext is set.
//
// When the called service responds with 401 and the source is an [Invalidator], it drops that token and retries the
// request once with a new one, if the body can be read again (http.Request.GetBody).
//
// A redirected request carries the token only if its scheme, host and port are those of the first request, or if its
// host is in RedirectHosts. Any other redirected request, and all redirects after it, are sent without the token: a
// service cannot redirect the token to another one.
type Transport struct {
	// Source provides the tokens. A [SourceFunc] selects a source for each request by its context.
	Source TokenSource
	// Base sends the requests. Nil: [http.DefaultTransport].
	Base http.RoundTripper
	// Plaintext allows tokens over http://, where anyone who can read the traffic gets them.
	Plaintext bool
	// RedirectHosts are additional hosts to which redirected requests carry the token, over HTTPS. Include the port
	// unless it is 443.
	RedirectHosts []string
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL == nil {
		return nil, closeBody(request, errors.New("tokend: the request has no URL"))
	}
	if !t.mayCarryToken(request) {
		return t.base().RoundTrip(request)
	}
	if request.URL.Scheme != "https" && !t.Plaintext {
		return nil, closeBody(request, fmt.Errorf("tokend: the token is not sent over %s", request.URL.Scheme))
	}
	source, err := sourceOf(request.Context(), t.Source)
	if err != nil {
		return nil, closeBody(request, fmt.Errorf("no token for this request: %w", err))
	}
	token, err := source.Token(request.Context())
	if err != nil {
		return nil, closeBody(request, fmt.Errorf("no token for this request: %w", err))
	}
	response, err := t.send(request, token, request.Body)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	return t.retry(request, source, token, response)
}

// CloseIdleConnections closes the idle connections of Base, for [http.Client.CloseIdleConnections].
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// retry retries a rejected request. It returns the first response if a retry is not possible.
func (t *Transport) retry(
	request *http.Request, source TokenSource, rejected Token, response *http.Response,
) (*http.Response, error) {
	invalidator, ok := source.(Invalidator)
	if !ok {
		return response, nil
	}
	invalidator.Invalidate(rejected)
	sentBody := request.Body != nil && request.Body != http.NoBody
	if sentBody && request.GetBody == nil {
		return response, nil
	}
	token, err := source.Token(request.Context())
	if err != nil {
		return response, nil //nolint:nilerr // the first response is more useful
	}
	body := request.Body
	if sentBody {
		if body, err = request.GetBody(); err != nil {
			return response, nil //nolint:nilerr // as above
		}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxDrained)) // so that the connection can be used again
	_ = response.Body.Close()
	return t.send(request, token, body)
}

// maxDrained is how much of an unused response is read.
const maxDrained = 64 << 10

func (t *Transport) send(request *http.Request, token Token, body io.ReadCloser) (*http.Response, error) {
	sent := request.Clone(request.Context())
	sent.Body = body
	if sent.Header == nil { // of a request that was made by hand
		sent.Header = http.Header{}
	}
	sent.Header.Set("Authorization", "Bearer "+token.Value.Reveal())
	response, err := t.base().RoundTrip(sent)
	if err != nil {
		return nil, err
	}
	response.Request = request // which shows no token
	return response, nil
}

func (t *Transport) base() http.RoundTripper {
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

// mayCarryToken reports whether a request may carry the token, by the redirects that led to it.
func (t *Transport) mayCarryToken(request *http.Request) bool {
	first := request
	for first.Response != nil {
		if first = first.Response.Request; first == nil {
			return false // Base hides the first request
		}
	}
	for hop := request; hop != first; hop = hop.Response.Request {
		if !t.mayFollow(first.URL, hop.URL) {
			return false
		}
	}
	return true
}

func (t *Transport) mayFollow(first, to *url.URL) bool {
	if first.Scheme == to.Scheme && canonicalAddress(to.Scheme, to.Host) == canonicalAddress(first.Scheme, first.Host) {
		return true
	}
	return to.Scheme == "https" && slices.ContainsFunc(t.RedirectHosts, func(host string) bool {
		return canonicalAddress(to.Scheme, host) == canonicalAddress(to.Scheme, to.Host)
	})
}

// canonicalAddress returns a host with its port, in a canonical form.
func canonicalAddress(scheme, host string) string {
	parsed := url.URL{Host: strings.ToLower(host)}
	port := parsed.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return net.JoinHostPort(parsed.Hostname(), port)
}

// closeBody closes the body of a request that is not sent, as a RoundTripper must, and returns err.
func closeBody(request *http.Request, err error) error {
	if request.Body != nil {
		_ = request.Body.Close()
	}
	return err
}
