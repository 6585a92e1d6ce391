package tokend

import (
	"encoding/json"
	"maps"
	"reflect"
	"testing"
	"time"
)

// inputs is a request in a form that a fuzzer can generate and == can compare.
type inputs struct {
	Pool, Identity string
	Logins, Tags   map[string]string
	Duration       *int64
}

func (i inputs) request() TokenRequest {
	logins := Logins{}
	for provider, login := range i.Logins {
		logins[provider] = NewSecret(login)
	}
	request := TokenRequest{IdentityPoolID: i.Pool, IdentityID: i.Identity, Logins: logins, PrincipalTags: i.Tags}
	if i.Duration != nil {
		duration := time.Duration(*i.Duration)
		request.TokenDuration = &duration
	}
	return request
}

func (i inputs) equal(other inputs) bool {
	return i.Pool == other.Pool && i.Identity == other.Identity && reflect.DeepEqual(i.Duration, other.Duration) &&
		maps.Equal(i.Logins, other.Logins) && maps.Equal(i.Tags, other.Tags)
}

func FuzzKeysAreEqualWhenRequestsAre(f *testing.F) {
	for _, pair := range [][2]string{
		{`{"Pool":"ab","Identity":"c"}`, `{"Pool":"a","Identity":"bc"}`},
		{`{"Logins":{"a":"bc"}}`, `{"Logins":{"ab":"c"}}`},
		{`{"Logins":{"a":"b","c":"d"}}`, `{"Logins":{"c":"d","a":"b"}}`},
		{`{"Logins":{"a":"b","c":"d"}}`, `{"Logins":{"a":"d","c":"b"}}`},
		{`{"Logins":{"a":"b"},"Tags":{"c":"d"}}`, `{"Logins":{"c":"d"},"Tags":{"a":"b"}}`},
		{`{"Logins":{"a":"b"}}`, `{"Tags":{"a":"b"}}`},
		{`{"Tags":{"a":""}}`, `{"Tags":{"":"a"}}`},
		{`{"Duration":900}`, `{"Duration":901}`},
		{`{"Duration":0}`, `{}`},
		{`{"Logins":{}}`, `{}`},
		{`{"Pool":"p","Logins":{"é":"e\u0301"}}`, `{"Pool":"p","Logins":{"é":"é"}}`},
	} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var one, other inputs
		if json.Unmarshal([]byte(a), &one) != nil || json.Unmarshal([]byte(b), &other) != nil {
			t.Skip("not a pair of requests")
		}
		if got := one.request().key() == other.request().key(); got != one.equal(other) {
			t.Errorf("equal keys: %v, equal requests: %v", got, one.equal(other))
		}
	})
}

// decode is the inverse of encode. Its existence proves that different requests have different encodings.
func FuzzEncodingsCanBeDecoded(f *testing.F) {
	f.Add("pool", "identity", "provider", "login", "tag", "value", int64(900))
	f.Add("", "", "", "", "", "", int64(0))
	f.Fuzz(func(t *testing.T, pool, identity, provider, login, tag, value string, duration int64) {
		want := inputs{pool, identity, map[string]string{provider: login, "b": login}, map[string]string{tag: value}, nil}
		if duration != 0 {
			want.Duration = &duration
		}
		if got := decode(t, want.request().encode(nil)); !got.equal(want) {
			t.Errorf("decoded %+v, want %+v", got, want)
		}
	})
}

func decode(t *testing.T, encoded []byte) inputs {
	number := func() uint64 {
		var n uint64
		for _, digit := range encoded[:8] {
			n = n<<8 | uint64(digit)
		}
		encoded = encoded[8:]
		return n
	}
	text := func() string {
		size := number()
		value := string(encoded[:size])
		encoded = encoded[size:]
		return value
	}
	entries := func() map[string]string {
		decoded := map[string]string{}
		for range number() {
			name := text()
			decoded[name] = text()
		}
		return decoded
	}
	decoded := inputs{Pool: text(), Identity: text(), Logins: entries(), Tags: entries()}
	if len(encoded) > 0 {
		duration := int64(number())
		decoded.Duration = &duration
	}
	if len(encoded) > 0 {
		t.Errorf("%d bytes are left over", len(encoded))
	}
	return decoded
}
