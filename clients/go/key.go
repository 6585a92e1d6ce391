package tokend

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
)

// key identifies a user of a cache.
type key [sha256.Size]byte

func (r TokenRequest) key() key {
	return sha256.Sum256(r.encode(make([]byte, 0, 512)))
}

// encode appends every field of the request, each string prefixed with its length and each map with its size, sorted by
// name, so that different requests never have the same encoding.
func (r TokenRequest) encode(to []byte) []byte {
	to = encodeText(to, r.IdentityPoolID)
	to = encodeText(to, r.IdentityID)
	to = encodeMap(to, r.Logins, Secret.Reveal)
	to = encodeMap(to, r.PrincipalTags, func(value string) string { return value })
	if r.TokenDuration == nil {
		return to
	}
	return binary.BigEndian.AppendUint64(to, uint64(*r.TokenDuration))
}

func encodeMap[V any](to []byte, entries map[string]V, text func(V) string) []byte {
	to = binary.BigEndian.AppendUint64(to, uint64(len(entries)))
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		to = encodeText(to, name)
		to = encodeText(to, text(entries[name]))
	}
	return to
}

func encodeText(to []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint64(to, uint64(len(text))), text...)
}
