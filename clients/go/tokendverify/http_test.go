package tokendverify_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"tokend.internal/go/tokendverify"
)

func TestHandlersGetIdentityOfVerifiedCallers(t *testing.T) {
	server := newServer(t)
	token := issue(t, server, nil)
	good := "Bearer " + token.Value.Reveal()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		identity, _ := tokendverify.IdentityFromContext(r.Context())
		_, _ = fmt.Fprint(w, identity.ID)
	})
	away := &requests{}
	away.fail.Store(true)
	late := func() time.Time { return token.ExpireTime.Add(time.Hour) }
	for name, c := range map[string]struct {
		authorization []string
		opts          []tokendverify.Option
		code          int
		body          string
		challenge     string
	}{
		"a good token": {[]string{good}, nil, 200, token.IdentityID, ""},
		"nothing":      {nil, nil, 401, "the token is rejected: there is no bearer token\n", "Bearer"},
		"two":          {[]string{good, good}, nil, 401, "the token is rejected: there is no bearer token\n", "Bearer"},
		"a bad token": {[]string{good + "x"}, nil, 401, "the token is rejected\n",
			`Bearer error="invalid_token", error_description="the token is rejected"`},
		"an expired token": {[]string{good}, []tokendverify.Option{tokendverify.WithClock(late)}, 401,
			"the token is rejected: it has expired\n",
			`Bearer error="invalid_token", error_description="the token is rejected: it has expired"`},
		"no keys": {[]string{good}, []tokendverify.Option{tokendverify.WithHTTPClient(&http.Client{Transport: away})}, 503,
			"the issuer's keys are not available\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			service := httptest.NewServer(newVerifier(t, server.Issuer(), c.opts...).Middleware(handler))
			defer service.Close()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, service.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header["Authorization"] = c.authorization
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, _ := io.ReadAll(response.Body)
			if challenge := response.Header.Get("WWW-Authenticate"); response.StatusCode != c.code ||
				string(body) != c.body || challenge != c.challenge {
				t.Errorf("%d %q %q", response.StatusCode, body, challenge)
			}
		})
	}
}
