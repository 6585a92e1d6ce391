package tokendverify

import (
	"errors"
	"fmt"
	"net/http"
)

// Middleware verifies the token of each request ("Authorization: Bearer ...") and puts the caller's [Identity] into the
// request's context. It responds to a request without a valid token with 401 and a challenge (RFC 6750, section 3). If
// the token cannot be verified because the issuer's keys are not available, it responds with 503.
func (v *Verifier) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		identity, err := v.authorize(r.Context(), r.Header.Values("Authorization"), r.Method+" "+r.URL.Path)
		if err != nil {
			refuse(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(ContextWithIdentity(r.Context(), identity)))
	})
}

func refuse(w http.ResponseWriter, err error) {
	code, message := http.StatusServiceUnavailable, publicMessage(err)
	switch {
	case errors.Is(err, errNoToken):
		code = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", "Bearer")
	case errors.Is(err, ErrRejected):
		code = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer error=%q, error_description=%q", "invalid_token", message))
	}
	http.Error(w, message, code)
}
