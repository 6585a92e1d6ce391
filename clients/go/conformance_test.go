package tokend_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"google.golang.org/grpc"

	"tokend.internal/go"
)

// leftOut are the cases that this client cannot pass, with reasons.
var leftOut = map[string]string{}

type conformanceCase struct {
	Name      string            `json:"name"`
	Why       string            `json:"why"`
	Variables map[string]any    `json:"variables"`
	Steps     []json.RawMessage `json:"steps"`
	Server    string            `json:"server"`
	MaxUsers  int               `json:"max_users"`

	RefreshTimeoutSeconds *float64 `json:"refresh_timeout_seconds"`
}

// refreshTimeout is the timeout of refreshes and of calls; 0 is the client's default.
func (c conformanceCase) refreshTimeout() time.Duration {
	if c.RefreshTimeoutSeconds == nil {
		return time.Minute
	}
	return time.Duration(*c.RefreshTimeoutSeconds * float64(time.Second))
}

func TestConformance(t *testing.T) {
	harness := newHarness(t)
	files, err := filepath.Glob(filepath.Join(harness.cases, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in %s, error %v", harness.cases, err)
	}
	provider, err := oidc.NewProvider(t.Context(), harness.issuer)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			var c conformanceCase
			if err := strictly(content, &c); err != nil {
				t.Fatal(err)
			}
			if reason := leftOut[c.Name]; reason != "" {
				t.Skip(reason)
			}
			newPlay(t, harness, provider, c).run(c.Steps)
		})
	}
}

// play is the state of a running case.
type play struct {
	t         *testing.T
	harness   harness
	client    *tokend.Client
	cache     *tokend.TokenCache
	verifier  *oidc.IDTokenVerifier
	clock     *clock
	calls     *atomic.Int64
	underWay  *atomic.Int64
	most      *atomic.Int64
	variables map[string]string
	tokens    map[string]string
	sources   map[string]tokend.TokenSource
	marks     map[string]int64
	arrivals  map[string]arrival
}

// arrival is a token of a source, and when it was first seen.
type arrival struct {
	token string
	at    time.Duration
}

func newPlay(t *testing.T, harness harness, provider *oidc.Provider, c conformanceCase) *play {
	p := &play{
		t: t, harness: harness, clock: newClock(), calls: &atomic.Int64{},
		underWay: &atomic.Int64{}, most: &atomic.Int64{}, arrivals: map[string]arrival{},
		verifier:  provider.Verifier(&oidc.Config{SkipClientIDCheck: true}), // the cases name the audience
		variables: maps.Clone(harness.variables), tokens: map[string]string{},
		sources: map[string]tokend.TokenSource{}, marks: map[string]int64{},
	}
	p.conduct("/reset")
	clientOpts := []tokend.Option{tokend.WithDialOptions(grpc.WithChainUnaryInterceptor(p.count))}
	opts := []tokend.SourceOption{tokend.WithClock(p.clock.Now)}
	if c.MaxUsers > 0 {
		opts = append(opts, tokend.WithMaxUsers(c.MaxUsers))
	}
	if timeout := c.refreshTimeout(); timeout > 0 {
		opts = append(opts, tokend.WithRefreshTimeout(timeout))
		clientOpts = append(clientOpts, tokend.WithServiceConfig(serviceConfigOf(t, timeout)))
	}
	p.client = harness.clientOf(t, c.Server, clientOpts...)
	p.cache = newCache(t, p.client, opts...)
	p.variables["run"] = randomWord()
	p.variables["number"] = "${number}" // a different one for each user of a stampede
	expanded := map[string]string{}
	for name, value := range c.Variables {
		expanded[name] = p.expand(value).(string)
	}
	maps.Copy(p.variables, expanded)
	return p
}

// serviceConfigOf returns the default config with the timeout of a refresh for calls, so that no case depends on the
// machine's load.
func serviceConfigOf(t *testing.T, timeout time.Duration) string {
	patient := strings.Replace(tokend.ServiceConfig, `"3s"`, fmt.Sprintf(`"%gs"`, timeout.Seconds()), 1)
	if patient == tokend.ServiceConfig {
		t.Fatal("calls have another deadline than 3 s")
	}
	return strings.Replace(patient, `"round_robin"`, `"tokend_round_robin"`, 1)
}

func randomWord() string {
	word := make([]byte, 8)
	_, _ = rand.Read(word) // it never fails
	return hex.EncodeToString(word)
}

func (p *play) count(
	ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker,
	opts ...grpc.CallOption,
) error {
	if strings.HasSuffix(method, "/"+getToken) {
		p.calls.Add(1)
		now := p.underWay.Add(1)
		defer p.underWay.Add(-1)
		for most := p.most.Load(); now > most && !p.most.CompareAndSwap(most, now); most = p.most.Load() {
		}
	}
	return invoke(ctx, method, request, reply, connection, opts...)
}

func (p *play) conduct(path string) { p.askConductor(path, nil) }

func (p *play) askConductor(path string, question []byte) string {
	response, err := http.Post(p.harness.conductor+path, "", bytes.NewReader(question))
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: status %d, %s, error %v", path, response.StatusCode, answer, err)
	}
	return string(answer)
}

// kinds are the kinds of steps, by their member.
var kinds = []struct {
	member string
	play   func(p *play, step []byte)
}{
	{"call", played((*play).call)},
	{"token", played((*play).ask)},
	{"stampede", played((*play).stampede)},
	{"invalidate", played((*play).invalidate)},
	{"move_wall_clock", played((*play).moveWallClock)},
	{"advance", played((*play).advance)},
	{"await_refresh", played((*play).awaitRefresh)},
	{"conductor", played((*play).conductor)},
	{"verify", played((*play).verify)},
	{"judge", played((*play).judge)},
	{"mark", played((*play).mark)},
	{"count_calls", played((*play).countCalls)},
}

func (p *play) run(steps []json.RawMessage) {
	for i, raw := range steps {
		p.t.Logf("step %d", i+1)
		var written any
		if err := json.Unmarshal(raw, &written); err != nil {
			p.t.Fatal(err)
		}
		step, _ := p.expand(written).(map[string]any)
		expanded, err := json.Marshal(step)
		if err != nil {
			p.t.Fatal(err)
		}
		p.step(step, expanded)
		p.lookAtArrivals()
		if p.t.Failed() {
			return
		}
	}
}

func (p *play) step(step map[string]any, expanded []byte) {
	for _, kind := range kinds {
		if _, is := step[kind.member]; is {
			kind.play(p, expanded)
			return
		}
	}
	p.t.Fatalf("no such step: %s", expanded)
}

// played decodes a step into the type of its kind, without unknown members.
func played[S any](how func(*play, S)) func(*play, []byte) {
	return func(p *play, step []byte) {
		var decoded S
		if err := strictly(step, &decoded); err != nil {
			p.t.Fatalf("%v in %.200s", err, step)
		}
		how(p, decoded)
	}
}

func strictly(document []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%T: %w", into, err)
	}
	return nil
}
