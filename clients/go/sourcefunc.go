package tokend

import (
	"context"
	"errors"
)

// SourceFunc is a [TokenSource] that finds another one for each call in the call's context, such as a
// [TokenCache.Source] of the user for whom the call is made. The attachers of this package drop rejected tokens of the source that it finds.
type SourceFunc func(ctx context.Context) (TokenSource, error)

// Token implements [TokenSource].
func (f SourceFunc) Token(ctx context.Context) (Token, error) {
	source, err := sourceOf(ctx, f)
	if err != nil {
		return Token{}, err
	}
	return source.Token(ctx)
}

var errNoSource = errors.New("tokend: the SourceFunc has found no source")

// sourceOf is the source itself, or what it finds for a call.
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
