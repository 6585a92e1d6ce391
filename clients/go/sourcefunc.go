package tokend

import (
	"context"
	"errors"
)

// SourceFunc is a [TokenSource] that selects another source for each call by the call's context, such as the
// [TokenCache.Source] of the call's user. The interceptors and [Transport] drop rejected tokens of the selected source.
type SourceFunc func(ctx context.Context) (TokenSource, error)

// Token implements [TokenSource].
func (f SourceFunc) Token(ctx context.Context) (Token, error) {
	source, err := sourceOf(ctx, f)
	if err != nil {
		return Token{}, err
	}
	return source.Token(ctx)
}

var errNoSource = errors.New("tokend: the SourceFunc returned no source")

// sourceOf returns the source itself or, for a [SourceFunc], the source that it selects for a call.
func sourceOf(ctx context.Context, source TokenSource) (TokenSource, error) {
	find, ok := source.(SourceFunc)
	if !ok {
		return source, nil
	}
	found, err := find(ctx)
	switch {
	case err != nil:
		return nil, err
	case found == nil:
		return nil, errNoSource
	}
	return sourceOf(ctx, found)
}
