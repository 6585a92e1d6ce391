package tokend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"tokend.internal/go"
	"tokend.internal/go/tokendv1"
	"tokend.internal/go/tokendverify"
)

// reconnectTimeout is how long a client may take to reconnect to a restarted server.
const reconnectTimeout = 30 * time.Second

type callStep struct {
	Call      string            `json:"call"`
	Request   json.RawMessage   `json:"request"`
	TimeoutMS int               `json:"timeout_ms"`
	Remember  map[string]string `json:"remember"`
	Expect    struct {
		Response map[string]any `json:"response"`
		Error    *expectedError `json:"error"`
	} `json:"expect"`
}

func (p *play) call(step callStep) {
	ctx, cancel := p.context(step.TimeoutMS)
	defer cancel()
	response, err := p.operation(ctx, step)
	switch {
	case step.Expect.Error != nil:
		p.checkError(*step.Expect.Error, err)
	case step.Expect.Response == nil:
		p.t.Fatal("the step expects nothing")
	case err != nil:
		p.t.Fatal(err)
	default:
		if found := mismatch(step.Expect.Response, response, "response"); found != "" {
			p.t.Fatal(found)
		}
	}
	for name, member := range step.Remember {
		text, ok := response[member].(string)
		if !ok {
			p.t.Fatalf("the response has no text %s", member)
		}
		p.variables[name] = text
	}
}

// operation calls through the client, and returns the response in protobuf's JSON.
func (p *play) operation(ctx context.Context, step callStep) (map[string]any, error) {
	switch step.Call {
	case getToken:
		token, err := p.client.GetOpenIdTokenForDeveloperIdentity(ctx, p.tokenRequest(step.Request))
		return map[string]any{
			"identityId": token.IdentityID, "token": token.Value.Reveal(),
			"issueTime": timestamp(token.IssueTime), "expireTime": timestamp(token.ExpireTime),
			"refreshTime": timestamp(token.RefreshTime),
		}, err
	case "LookupDeveloperIdentity":
		var r tokendv1.LookupDeveloperIdentityRequest
		p.message(step.Request, &r)
		identity, err := p.client.LookupDeveloperIdentity(ctx, tokend.LookupRequest{
			IdentityPoolID: r.IdentityPoolId, IdentityID: r.IdentityId, MaxResults: r.MaxResults, NextToken: r.NextToken,
			DeveloperUserIdentifier: tokend.NewSecret(r.DeveloperUserIdentifier),
		})
		users := []any{}
		for _, user := range identity.DeveloperUserIdentifiers {
			users = append(users, user.Reveal())
		}
		return map[string]any{
			"identityId": identity.IdentityID, "developerUserIdentifierList": users, "nextToken": identity.NextToken,
		}, err
	case "MergeDeveloperIdentities":
		var r tokendv1.MergeDeveloperIdentitiesRequest
		p.message(step.Request, &r)
		identityID, err := p.client.MergeDeveloperIdentities(ctx, tokend.MergeRequest{
			SourceUserIdentifier:      tokend.NewSecret(r.SourceUserIdentifier),
			DestinationUserIdentifier: tokend.NewSecret(r.DestinationUserIdentifier),
			DeveloperProviderName:     r.DeveloperProviderName, IdentityPoolID: r.IdentityPoolId,
		})
		return map[string]any{"identityId": identityID}, err
	case "UnlinkDeveloperIdentity":
		var r tokendv1.UnlinkDeveloperIdentityRequest
		p.message(step.Request, &r)
		return map[string]any{}, p.client.UnlinkDeveloperIdentity(ctx, tokend.UnlinkRequest{
			IdentityID: r.IdentityId, IdentityPoolID: r.IdentityPoolId, DeveloperProviderName: r.DeveloperProviderName,
			DeveloperUserIdentifier: tokend.NewSecret(r.DeveloperUserIdentifier),
		})
	}
	p.t.Fatalf("no operation %s", step.Call)
	return nil, nil
}

func (p *play) tokenRequest(written json.RawMessage) tokend.TokenRequest {
	var r tokendv1.GetOpenIdTokenForDeveloperIdentityRequest
	p.message(written, &r)
	request := tokend.TokenRequest{
		IdentityPoolID: r.IdentityPoolId, IdentityID: r.IdentityId, Logins: tokend.Logins{}, PrincipalTags: r.PrincipalTags,
	}
	for provider, login := range r.Logins {
		request.Logins[provider] = tokend.NewSecret(login)
	}
	if r.TokenDuration != nil {
		request.TokenDuration = pointer(r.TokenDuration.AsDuration())
	}
	return request
}

func (p *play) message(written json.RawMessage, into proto.Message) {
	if err := protojson.Unmarshal(written, into); err != nil {
		p.t.Fatal(err)
	}
}

func timestamp(moment time.Time) string { return moment.UTC().Format(time.RFC3339Nano) }

type askStep struct {
	Token     string          `json:"token"`
	Request   json.RawMessage `json:"request"`
	TimeoutMS int             `json:"timeout_ms"`
	Parallel  int             `json:"parallel"`
	Remember  string          `json:"remember"`
	Close     bool            `json:"close"`
	Expect    struct {
		Token any            `json:"token"`
		Error *expectedError `json:"error"`
	} `json:"expect"`
}

func (p *play) ask(step askStep) {
	source, known := p.sources[step.Token]
	if known != (step.Request == nil) {
		p.t.Fatalf("the request of %s has to come with its first use", step.Token)
	}
	if !known {
		source = p.cache.Source(p.tokenRequest(step.Request))
		p.sources[step.Token] = source
	}
	if step.Close {
		go p.closeWhenUnderWay()
	}
	for _, answer := range p.askAtOnce(source, max(step.Parallel, 1), step.TimeoutMS) {
		if step.Expect.Error != nil {
			p.checkError(*step.Expect.Error, answer.err)
		} else if answer.err != nil {
			p.t.Error(answer.err)
		} else if wrong := p.checkToken(step, answer.token); wrong != "" {
			p.t.Error(wrong)
		}
	}
}

func (p *play) closeWhenUnderWay() {
	for p.underWay.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	_ = p.cache.Close()
}

type stampedeStep struct {
	Stampede struct {
		Request    json.RawMessage `json:"request"`
		Users      int             `json:"users"`
		MostAtOnce int64           `json:"most_at_once"`
	} `json:"stampede"`
}

func (p *play) stampede(step stampedeStep) {
	p.most.Store(0)
	var asking sync.WaitGroup
	for number := range step.Stampede.Users {
		request := p.tokenRequest(bytes.ReplaceAll(step.Stampede.Request, []byte("${number}"), []byte(strconv.Itoa(number))))
		asking.Go(func() {
			if _, err := p.cache.Token(p.t.Context(), request); err != nil {
				p.t.Error(err)
			}
		})
	}
	asking.Wait()
	if most := p.most.Load(); most > step.Stampede.MostAtOnce {
		p.t.Errorf("%d calls at a time", most)
	}
}

type invalidateStep struct {
	Invalidate string `json:"invalidate"`
	Source     string `json:"source"`
}

func (p *play) invalidate(step invalidateStep) {
	token, known := p.tokens[step.Invalidate]
	source, ok := p.sources[step.Source].(tokend.Invalidator)
	if !known || !ok {
		p.t.Fatalf("what is %+v?", step)
	}
	source.Invalidate(tokend.Token{Value: tokend.NewSecret(token)})
}

type moveWallClockStep struct {
	MoveWallClock struct {
		Seconds float64 `json:"seconds"`
	} `json:"move_wall_clock"`
}

func (p *play) moveWallClock(step moveWallClockStep) {
	p.clock.moveWall(time.Duration(step.MoveWallClock.Seconds * float64(time.Second)))
}

// lookAtArrivals records when tokens arrived: no clock moves within a step that gets a token.
func (p *play) lookAtArrivals() {
	for name, source := range p.sources {
		if token := tokend.HeldToken(source).Value.Reveal(); token != p.arrivals[name].token {
			p.arrivals[name] = arrival{token, p.clock.Now().Monotonic}
		}
	}
}

type asked struct {
	token string
	err   error
}

func (p *play) askAtOnce(source tokend.TokenSource, callers, timeoutMS int) []asked {
	answers := make([]asked, callers)
	var asking sync.WaitGroup
	for i := range answers {
		asking.Go(func() {
			ctx, cancel := p.context(timeoutMS)
			defer cancel()
			token, err := source.Token(ctx)
			answers[i] = asked{token.Value.Reveal(), err}
		})
	}
	asking.Wait()
	return answers
}

// checkToken returns the problem of a token; empty if there is none.
func (p *play) checkToken(step askStep, token string) string {
	switch expected := step.Expect.Token.(type) {
	case string:
		if p.tokens[expected] == "" {
			p.tokens[expected] = token
		}
		if p.tokens[expected] != token {
			return "it is not " + expected
		}
	case map[string]any:
		other, ok := expected["not"].(string)
		switch {
		case !ok || len(expected) != 1 || step.Remember == "" || p.tokens[other] == "":
			return fmt.Sprintf("what is %v?", expected)
		case token == p.tokens[other]:
			return "it is " + other
		}
		p.tokens[step.Remember] = token
	default:
		return "the step expects nothing"
	}
	return ""
}

type advanceStep struct {
	Advance struct {
		Source  string  `json:"source"`
		To      string  `json:"to"`
		Seconds float64 `json:"seconds"`
	} `json:"advance"`
}

func (p *play) advance(step advanceStep) {
	by := time.Duration(step.Advance.Seconds * float64(time.Second))
	if step.Advance.Source != "" {
		held := tokend.HeldToken(p.sources[step.Advance.Source])
		times := map[string]time.Time{"refresh_time": held.RefreshTime, "expire_time": held.ExpireTime}
		moment, known := times[step.Advance.To]
		if !known {
			p.t.Fatalf("no time %s", step.Advance.To)
		}
		by += p.arrivals[step.Advance.Source].at + moment.Sub(held.IssueTime) - p.clock.Now().Monotonic
	}
	p.clock.advance(by)
}

type awaitRefreshStep struct {
	AwaitRefresh string `json:"await_refresh"`
}

func (p *play) awaitRefresh(step awaitRefreshStep) {
	tokend.AwaitRefresh(p.sources[step.AwaitRefresh])
}

type conductorStep struct {
	Conductor string `json:"conductor"`
}

// conductor calls the conductor. After a restart of the server, it waits until the client has reconnected, so that the
// first call does not fail.
func (p *play) conductor(step conductorStep) {
	p.conduct(step.Conductor)
	if step.Conductor != "/start" {
		return
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), reconnectTimeout)
	defer cancel()
	if !tokend.AwaitReady(ctx, p.client) {
		p.t.Fatal("the client does not come back")
	}
}

type verifyStep struct {
	Verify string `json:"verify"`
	Expect struct {
		Claims map[string]any `json:"claims"`
	} `json:"expect"`
}

func (p *play) verify(step verifyStep) {
	token, err := p.verifier.Verify(p.t.Context(), p.tokens[step.Verify])
	if err != nil {
		p.t.Fatal(err)
	}
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		p.t.Fatal(err)
	}
	if found := mismatch(step.Expect.Claims, claims, "claims"); found != "" {
		p.t.Error(found)
	}
}

type judgeStep struct {
	Judge           json.RawMessage `json:"judge"`
	IdentityPoolIDs []string        `json:"identity_pool_ids"`
	Expect          struct {
		Identity *judged `json:"identity"`
		Rejected bool    `json:"rejected"`
	} `json:"expect"`
}

// judged is the expected identity of a token in a case.
type judged struct {
	IdentityID     string            `json:"identityId"`
	IdentityPoolID string            `json:"identityPoolId"`
	PrincipalTags  map[string]string `json:"principalTags"`
}

func (p *play) judge(step judgeStep) {
	if (step.Expect.Identity == nil) != step.Expect.Rejected {
		p.t.Fatal("the step expects one of an identity and rejected")
	}
	verifier, err := tokendverify.New(p.variables["login_issuer"], step.IdentityPoolIDs)
	if err != nil {
		p.t.Fatal(err)
	}
	identity, err := verifier.Verify(p.t.Context(), p.askConductor("/sign", step.Judge))
	found := judged{identity.ID, identity.IdentityPoolID, identity.PrincipalTags}
	switch {
	case step.Expect.Rejected && !errors.Is(err, tokendverify.ErrRejected):
		p.t.Errorf("identity %+v, error %v", found, err)
	case !step.Expect.Rejected && (err != nil || !reflect.DeepEqual(found, *step.Expect.Identity)):
		p.t.Errorf("identity %+v, error %v", found, err)
	}
}

type markStep struct {
	Mark string `json:"mark"`
}

func (p *play) mark(step markStep) { p.marks[step.Mark] = p.calls.Load() }

type countCallsStep struct {
	CountCalls struct {
		AtMost  *int64 `json:"at_most"`
		Exactly *int64 `json:"exactly"`
		Since   string `json:"since"`
	} `json:"count_calls"`
}

func (p *play) countCalls(step countCallsStep) {
	since, marked := p.marks[step.CountCalls.Since]
	atMost, exactly := step.CountCalls.AtMost, step.CountCalls.Exactly
	calls := p.calls.Load() - since
	switch {
	case !marked || (atMost == nil) == (exactly == nil):
		p.t.Fatalf("what is %+v?", step)
	case calls > valueOr(atMost, calls) || calls != valueOr(exactly, calls):
		p.t.Errorf("%d calls", calls)
	}
}

func (p *play) checkError(expected expectedError, err error) {
	if err == nil {
		err = errors.New("no error")
	}
	if wrong := expected.check(err); wrong != "" {
		p.t.Error(wrong)
	}
}

func (p *play) context(timeoutMS int) (context.Context, context.CancelFunc) {
	if timeoutMS == 0 {
		return context.WithCancel(p.t.Context())
	}
	return context.WithTimeout(p.t.Context(), time.Duration(timeoutMS)*time.Millisecond)
}
