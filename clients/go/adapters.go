package tokend

import (
	"context"

	"golang.org/x/oauth2"
)

// OAuth2TokenSource adapts a source to golang.org/x/oauth2. Its Token waits, if it must, until ctx is done.
//
// Use it in an [oauth2.Transport] directly. [oauth2.ReuseTokenSource], which [oauth2.NewClient] applies, calls it only
// 10 seconds before a token expires.
func OAuth2TokenSource(ctx context.Context, source TokenSource) oauth2.TokenSource {
	return oauth2Source{ctx, source}
}

type oauth2Source struct {
	ctx    context.Context
	source TokenSource
}

// Token implements [oauth2.TokenSource].
func (s oauth2Source) Token() (*oauth2.Token, error) {
	token, err := s.source.Token(s.ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: token.Value.Reveal(), TokenType: "Bearer", Expiry: token.ExpireTime}, nil
}
