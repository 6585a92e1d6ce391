package tokend_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"tokend.internal/go"
)

// api responds with 401 to rejected tokens, and otherwise with the token and the received body.
type api struct {
	rejects map[string]bool
	seen    []string
}

func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	a.seen = append(a.seen, token)
	recorder := httptest.NewRecorder()
	if a.rejects[token] {
		recorder.WriteHeader(http.StatusUnauthorized)
	}
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	_, _ = recorder.WriteString(token + " " + string(body))
	return recorder.Result(), nil
}

func transportTo(base http.RoundTripper, source tokend.TokenSource) *tokend.Transport {
	return &tokend.Transport{Source: source, Base: base}
}

func post(t *testing.T, transport http.RoundTripper, body io.Reader) (int, string) {
	t.Helper()
	sent, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.example.internal", body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(sent)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	if sent.Header.Get("Authorization") != "" || response.Request != sent {
		t.Error("the caller's request was changed, or the response shows the token")
	}
	return response.StatusCode, string(text)
}

func TestRequestWithRejectedTokenIsRetriedOnceWithNewToken(t *testing.T) {
	for name, c := range map[string]struct {
		rejects map[string]bool
		body    io.Reader
		status  int
		answer  string
		seen    int
	}{
		"not rejected":                    {nil, strings.NewReader("body"), 200, "1 body", 1},
		"a body that can be had again":    {map[string]bool{"1": true}, strings.NewReader("body"), 200, "2 body", 2},
		"no body":                         {map[string]bool{"1": true}, nil, 200, "2 ", 2},
		"rejected twice":                  {map[string]bool{"1": true, "2": true}, nil, 401, "2 ", 2},
		"a body that cannot be had again": {map[string]bool{"1": true}, io.MultiReader(strings.NewReader("body")), 401, "1 body", 1},
	} {
		t.Run(name, func(t *testing.T) {
			base := &api{rejects: c.rejects}
			source := newSource(t, &scriptedIssuer{})
			code, text := post(t, transportTo(base, source), c.body)
			if code != c.status || text != c.answer || len(base.seen) != c.seen {
				t.Errorf("%d %q after %d requests, want %d %q after %d", code, text, len(base.seen), c.status, c.answer, c.seen)
			}
			if code, text := post(t, transportTo(&api{}, source), nil); code != 200 || c.rejects["1"] == (text == "1 ") {
				t.Errorf("the next request had %q", text)
			}
		})
	}
}

func TestRequestWithoutHeaderMapIsAccepted(t *testing.T) {
	address := &url.URL{Scheme: "https", Host: "api.example.internal"}
	base, source := &api{rejects: map[string]bool{"1": true}}, newSource(t, &scriptedIssuer{})
	sent := &http.Request{Method: http.MethodGet, URL: address} // without a map of headers
	response, err := transportTo(base, source).RoundTrip(sent)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); string(text) != "2 " || sent.Header != nil {
		t.Errorf("%q, header %v", text, sent.Header)
	}
	body := &closable{Reader: strings.NewReader("body")}
	if _, err := transportTo(base, source).RoundTrip(&http.Request{Body: body}); err == nil || !body.closed {
		t.Errorf("error %v without a URL, body closed: %v", err, body.closed)
	}
}

func TestResponse401IsReturnedWithoutNewToken(t *testing.T) {
	issuer := &scriptedIssuer{}
	source := newSource(t, issuer)
	wantToken(t, source, "1")
	issuer.set(down)
	if code, text := post(t, transportTo(&api{rejects: map[string]bool{"1": true}}, source), nil); code != 401 || text != "1 " {
		t.Errorf("%d %q", code, text)
	}
}

func TestRequestWaitsForTokenUntilItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newSource(t, &scriptedIssuer{answer: held(nil)})
		for _, client := range []*http.Client{
			{Transport: transportTo(&api{}, source), Timeout: time.Second}, {Transport: transportTo(&api{}, source)},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			sent, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.internal", nil)
			if err != nil {
				t.Fatal(err)
			}
			begin, want := time.Now(), time.Second
			if client.Timeout == 0 {
				want = 2 * time.Second
			}
			_, err = client.Do(sent)
			if !errors.Is(err, context.DeadlineExceeded) || tokend.DownstreamCode(err) != codes.DeadlineExceeded ||
				time.Since(begin) != want {
				t.Errorf("error %v after %v, want %v", err, time.Since(begin), want)
			}
		}
	})
}

func TestRequestWithoutTokenIsNotSentAndItsBodyIsClosed(t *testing.T) {
	failing := errors.New("no user")
	for name, c := range map[string]struct {
		url       string
		transport *tokend.Transport
		want      error
	}{
		"plaintext": {"http://api.example.internal", transportTo(&api{}, newSource(t, &scriptedIssuer{})), nil},
		"refused":   {"https://api.example.internal", transportTo(&api{}, newSource(t, &scriptedIssuer{answer: down})), errDown},
		"no source": {"https://api.example.internal", &tokend.Transport{
			Source: tokend.SourceFunc(func(context.Context) (tokend.TokenSource, error) { return nil, failing }), Base: &api{},
		}, failing},
	} {
		t.Run(name, func(t *testing.T) {
			body := &closable{Reader: strings.NewReader("body")}
			sent, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url, body)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.transport.RoundTrip(sent)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !body.closed {
				t.Errorf("error %v, closed %v", err, body.closed)
			}
			if base := c.transport.Base.(*api); len(base.seen) != 0 {
				t.Error("it was sent")
			}
		})
	}
}

type closable struct {
	io.Reader

	closed bool
}

func (c *closable) Close() error {
	c.closed = true
	return nil
}

// redirecting responds with the redirects of a map of URLs, and records the URLs with the received tokens.
type redirecting struct {
	to   map[string]string
	seen []string
}

func (r *redirecting) RoundTrip(request *http.Request) (*http.Response, error) {
	r.seen = append(r.seen, request.URL.String()+" "+request.Header.Get("Authorization"))
	recorder := httptest.NewRecorder()
	if to := r.to[request.URL.String()]; to != "" {
		recorder.Header().Set("Location", to)
		recorder.WriteHeader(http.StatusTemporaryRedirect)
	}
	response := recorder.Result()
	response.Request = request // as http.Transport does
	return response, nil
}

func TestTokenIsNotSentToHostsOfRedirects(t *testing.T) {
	const first = "https://api.example.internal/a"
	for name, c := range map[string]struct {
		hops []string // each redirects to the next
		has  []bool
	}{
		"same host":                        {[]string{first, "https://api.example.internal/b"}, []bool{true, true}},
		"its port spelled out":             {[]string{first, "https://API.example.internal:443/b"}, []bool{true, true}},
		"other host":                       {[]string{first, "https://evil.example"}, []bool{true, false}},
		"subdomain":                        {[]string{first, "https://x.api.example.internal"}, []bool{true, false}},
		"other port":                       {[]string{first, "https://api.example.internal:8443/b"}, []bool{true, false}},
		"plaintext":                        {[]string{first, "http://api.example.internal/b"}, []bool{true, false}},
		"there and back":                   {[]string{first, "https://evil.example", "https://api.example.internal/b"}, []bool{true, false, false}},
		"host of the list":                 {[]string{first, "https://eu.example.internal/b", "https://api.example.internal/b"}, []bool{true, true, true}},
		"other port of a host of the list": {[]string{first, "https://eu.example.internal:8443/b"}, []bool{true, false}},
		"port of the list":                 {[]string{first, "https://us.example.internal:8443/b"}, []bool{true, true}},
		"host of the list in plaintext":    {[]string{first, "http://eu.example.internal/b"}, []bool{true, false}},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(name+" "+method, func(t *testing.T) {
				base := &redirecting{to: map[string]string{}}
				for i, hop := range c.hops[1:] {
					base.to[c.hops[i]] = hop
				}
				transport := transportTo(base, newSource(t, &scriptedIssuer{}))
				transport.Plaintext = true // of the first request
				transport.RedirectHosts = []string{"eu.example.internal", "us.example.internal:8443"}
				sent, err := http.NewRequestWithContext(t.Context(), method, c.hops[0], strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				response, err := (&http.Client{Transport: transport}).Do(sent)
				if err != nil {
					t.Fatal(err)
				}
				_ = response.Body.Close()
				if len(base.seen) != len(c.hops) {
					t.Fatalf("requests %q", base.seen)
				}
				for i, seen := range base.seen {
					if got := strings.HasSuffix(seen, " Bearer 1"); got != c.has[i] {
						t.Errorf("%q: has the token %v, want %v", seen, got, c.has[i])
					}
				}
			})
		}
	}
}

func TestTokenIsNotSentToRedirectsOverRealConnections(t *testing.T) {
	seen := map[string]string{}
	handle := func(name, to string) *httptest.Server {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen[name+r.URL.Path] = r.Header.Get("Authorization")
			if r.URL.Path == "/" {
				http.Redirect(w, r, to+"/end", http.StatusFound)
			}
		}))
		t.Cleanup(server.Close)
		return server
	}
	other := handle("other", "")
	own := handle("own", other.URL)
	response, err := (&http.Client{Transport: transportTo(own.Client().Transport, newSource(t, &scriptedIssuer{}))}).Get(own.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if seen["own/"] != "Bearer 1" || seen["other/end"] != "" || response.Request.URL.Path != "/end" {
		t.Errorf("seen %q", seen)
	}
}

type userKey struct{}

func TestSourceFuncSelectsSourceByContext(t *testing.T) {
	cache := newCache(t, &scriptedIssuer{})
	source := tokend.SourceFunc(func(ctx context.Context) (tokend.TokenSource, error) {
		user, ok := ctx.Value(userKey{}).(string)
		if !ok {
			return nil, errors.New("no user")
		}
		return cache.Source(request(user)), nil
	})
	base := &api{rejects: map[string]bool{"1": true}}
	for _, c := range []struct{ user, want string }{{"alice", "2 "}, {"bob", "3 "}, {"alice", "2 "}} {
		sent, err := http.NewRequestWithContext(
			context.WithValue(t.Context(), userKey{}, c.user), http.MethodGet, "https://api.example.internal", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := transportTo(base, source).RoundTrip(sent)
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := io.ReadAll(response.Body); string(text) != c.want {
			t.Errorf("%s had %q, want %q", c.user, text, c.want)
		}
	}
	if _, err := source.Token(t.Context()); err == nil || err.Error() != "no user" {
		t.Errorf("error %v", err)
	}
	nothing := tokend.SourceFunc(func(context.Context) (tokend.TokenSource, error) { return nil, nil })
	if _, err := nothing.Token(t.Context()); err == nil {
		t.Error("a token of no source")
	}
}
