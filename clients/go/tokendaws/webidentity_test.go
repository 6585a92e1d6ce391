package tokendaws_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	tokend "tokend.internal/go"
	"tokend.internal/go/tokendaws"
	"tokend.internal/go/tokendtest"
)

const (
	role      = "arn:aws:iam::123456789012:role/reader"
	operation = "GetOpenIdTokenForDeveloperIdentity"

	answer = `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKIA%d</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>
<SessionToken>session</SessionToken><Expiration>%s</Expiration></Credentials><AssumedRoleUser>
<Arn>arn:aws:sts::123456789012:assumed-role/reader/service-a</Arn><AssumedRoleId>AROA:service-a</AssumedRoleId></AssumedRoleUser>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`

	refusal = `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<Error><Type>Sender</Type><Code>%s</Code><Message>no</Message></Error><RequestId>1</RequestId></ErrorResponse>`
)

// fakeSTS implements AssumeRoleWithWebIdentity of AWS STS: the Query protocol over HTTP.
type fakeSTS struct {
	mu       sync.Mutex
	requests []url.Values
	signed   bool
	rejects  func(token string) (code string)
	life     time.Duration
}

func (f *fakeSTS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	asked, _ := url.ParseQuery(string(body))
	f.requests = append(f.requests, asked)
	f.signed = f.signed || r.Header.Get("authorization") != ""
	w.Header().Set("content-type", "text/xml")
	if code := f.rejects(asked.Get("WebIdentityToken")); code != "" {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, refusal, code)
		return
	}
	_, _ = fmt.Fprintf(w, answer, len(f.requests), time.Now().Add(f.life).UTC().Format(time.RFC3339))
}

// tokens returns the received tokens, in order.
func (f *fakeSTS) tokens() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var sent []string
	for _, request := range f.requests {
		sent = append(sent, request.Get("WebIdentityToken"))
	}
	return sent
}

func serveSTS(t *testing.T) (*fakeSTS, *sts.Client) {
	fake := &fakeSTS{rejects: func(string) string { return "" }, life: time.Hour}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	return fake, sts.New(sts.Options{Region: "eu-west-1", BaseEndpoint: &server.URL})
}

func serveTokend(t *testing.T, opts ...tokend.SourceOption) (*tokendtest.Server, *tokend.CachedTokenSource) {
	server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256))
	t.Cleanup(server.Close)
	source := tokend.NewTokenSource(server.Client(), tokend.TokenRequest{
		IdentityPoolID: tokendtest.IdentityPoolID,
		Logins:         tokend.Logins{tokendtest.DeveloperProviderName: tokend.NewSecret("service-a")},
	}, opts...)
	t.Cleanup(func() { _ = source.Close() })
	return server, source
}

func tokenOf(t *testing.T, source tokend.TokenSource) string {
	token, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token.Value.Reveal()
}

func TestEachRoleIsAssumedWithUsableToken(t *testing.T) {
	fake, client := serveSTS(t)
	fake.life = 0 // so that the cache renews them each time
	now := tokend.Reading{Wall: time.Now()}
	_, source := serveTokend(t, tokend.WithClock(func() tokend.Reading { return now }))
	provider := tokendaws.NewWebIdentityProvider(client, source, role, "service-a",
		func(input *sts.AssumeRoleWithWebIdentityInput) { input.DurationSeconds = aws.Int32(900) })
	cache := aws.NewCredentialsCache(provider)
	var want []string
	for _, key := range []string{"AKIA1", "AKIA2"} {
		got, err := cache.Retrieve(t.Context())
		if err != nil || got.AccessKeyID != key || got.SecretAccessKey != "secret" || got.SessionToken != "session" ||
			!got.CanExpire || got.Source != "tokend" || got.AccountID != "123456789012" {
			t.Fatalf("credentials %s of %s in %s, error %v", got.AccessKeyID, got.Source, got.AccountID, err)
		}
		want = append(want, tokenOf(t, source))
		now.Wall, now.Monotonic = now.Wall.Add(time.Hour), now.Monotonic+time.Hour
	}
	if want[0] == want[1] || !slices.Equal(fake.tokens(), want) {
		t.Error("other tokens were sent than those of the source")
	}
	for _, request := range fake.requests {
		request.Del("WebIdentityToken")
		if got := request.Encode(); got != "Action=AssumeRoleWithWebIdentity&DurationSeconds=900&RoleArn="+
			url.QueryEscape(role)+"&RoleSessionName=service-a&Version=2011-06-15" {
			t.Errorf("request %s", got)
		}
	}
	if fake.signed {
		t.Error("the request was signed")
	}
}

func TestTokenRejectedBySTSIsReplacedOnce(t *testing.T) {
	for _, code := range []string{"InvalidIdentityToken", "ExpiredTokenException", "IDPRejectedClaim"} {
		t.Run(code, func(t *testing.T) {
			fake, client := serveSTS(t)
			server, source := serveTokend(t)
			first := tokenOf(t, source)
			fake.rejects = func(token string) string { return map[bool]string{true: code}[token == first] }
			got, err := tokendaws.NewWebIdentityProvider(client, source, role, "service-a").Retrieve(t.Context())
			if err != nil || got.AccessKeyID != "AKIA2" || server.Calls(operation) != 2 {
				t.Errorf("credentials %s after %d tokens, error %v", got.AccessKeyID, server.Calls(operation), err)
			}
			if want := []string{first, tokenOf(t, source)}; !slices.Equal(fake.tokens(), want) {
				t.Error("other tokens were sent than the first and the next one")
			}
			fake.rejects = func(string) string { return code }
			wantCode(t, client, source, code)
			if sent := len(fake.tokens()); sent != 4 {
				t.Errorf("%d requests, want two more", sent)
			}
		})
	}
}

func TestOtherErrorsOfSTSPropagate(t *testing.T) {
	fake, client := serveSTS(t)
	server, source := serveTokend(t)
	fake.rejects = func(string) string { return "AccessDenied" }
	wantCode(t, client, source, "AccessDenied")
	if sent, calls := len(fake.tokens()), server.Calls(operation); sent != 1 || calls != 1 {
		t.Errorf("%d requests with %d tokens", sent, calls)
	}
}

// plain is a source that cannot drop tokens.
type plain struct{ source tokend.TokenSource }

func (p plain) Token(ctx context.Context) (tokend.Token, error) { return p.source.Token(ctx) }

func TestSTSIsCalledOnceForSourceWithoutInvalidate(t *testing.T) {
	fake, client := serveSTS(t)
	_, source := serveTokend(t)
	fake.rejects = func(string) string { return "InvalidIdentityToken" }
	wantCode(t, client, plain{source}, "InvalidIdentityToken")
	if sent := len(fake.tokens()); sent != 1 {
		t.Errorf("%d requests", sent)
	}
}

func TestSTSIsNotCalledWithoutToken(t *testing.T) {
	fake, client := serveSTS(t)
	server, source := serveTokend(t)
	server.Fail(tokendtest.Failure{Reason: tokend.NotAuthorized})
	_, err := tokendaws.NewWebIdentityProvider(client, source, role, "service-a").Retrieve(t.Context())
	if !errors.Is(err, tokend.NotAuthorized) || len(fake.tokens()) != 0 {
		t.Errorf("%d requests, error %v", len(fake.tokens()), err)
	}
}

func TestFailureWithoutNewTokenHasBothErrors(t *testing.T) {
	fake, client := serveSTS(t)
	server, source := serveTokend(t)
	first := tokenOf(t, source)
	server.Fail(tokendtest.Failure{Reason: tokend.EngineUnavailable})
	fake.rejects = func(string) string { return "ExpiredTokenException" }
	_, err := tokendaws.NewWebIdentityProvider(client, source, role, "service-a").Retrieve(t.Context())
	if !errors.Is(err, tokend.EngineUnavailable) || !strings.Contains(err.Error(), "ExpiredTokenException") {
		t.Errorf("error %v", err)
	}
	if strings.Contains(err.Error(), first) {
		t.Error("the error shows the token")
	}
}

func wantCode(t *testing.T, client *sts.Client, source tokend.TokenSource, code string) {
	t.Helper()
	_, err := tokendaws.NewWebIdentityProvider(client, source, role, "service-a").Retrieve(t.Context())
	var failed smithy.APIError
	if !errors.As(err, &failed) || failed.ErrorCode() != code {
		t.Errorf("error %v, want %s", err, code)
	}
}
