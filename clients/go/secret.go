package tokend

import (
	"crypto/subtle"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a string that is not printed: a login value, a user identifier or a token. Package fmt, slog and the
// encoders of JSON and text print a placeholder instead. The zero Secret is the empty string.
//
// Compare secrets with [Secret.Equal].
type Secret struct {
	_ [0]func() // == would compare pointers
	// A pointer, since fmt prints unexported fields, also inside other structs, without calling their methods.
	text *string
}

// NewSecret returns a secret that holds text.
func NewSecret(text string) Secret {
	return Secret{text: &text}
}

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Equal reports whether two secrets hold the same text, in a time that does not depend on where they differ.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String implements fmt.Stringer with a placeholder.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer with a placeholder.
func (Secret) GoString() string { return redacted }

// LogValue implements [slog.LogValuer] with a placeholder.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements [encoding.TextMarshaler] with a placeholder.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
