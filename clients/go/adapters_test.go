package tokend_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"tokend.internal/go"
)

func TestOAuth2TransportSendsToken(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("seen", r.Header.Get("authorization"))
	}))
	defer api.Close()
	source := tokend.OAuth2TokenSource(t.Context(), newSource(t, &scriptedIssuer{}))
	client := &http.Client{Transport: &oauth2.Transport{Source: source}}
	response, err := client.Get(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("seen"); got != "Bearer 1" {
		t.Errorf("sent %q", got)
	}
}

func TestOAuth2TokenExpiresWithToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token, err := tokend.OAuth2TokenSource(t.Context(), newSource(t, &scriptedIssuer{})).Token()
		if err != nil || time.Until(token.Expiry) != life || !token.Valid() {
			t.Errorf("token %v, error %v", token.Expiry, err)
		}
	})
}

func TestOAuth2SourceWaitsUntilItsContextIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newSource(t, &scriptedIssuer{answer: held(nil)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := tokend.OAuth2TokenSource(ctx, source).Token(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}
