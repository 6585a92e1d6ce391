package tokendverify_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"tokend.internal/go/tokendverify"
)

// echo responds with the identity in the context.
type echo struct {
	healthv1.UnimplementedHealthServer
}

func (echo) Check(ctx context.Context, _ *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	return nil, identityOf(ctx)
}

func (echo) Watch(_ *healthv1.HealthCheckRequest, stream grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	return identityOf(stream.Context())
}

func identityOf(ctx context.Context) error {
	identity, ok := tokendverify.IdentityFromContext(ctx)
	if !ok {
		return status.Error(codes.Aborted, "no identity")
	}
	return status.Error(codes.Aborted, identity.ID)
}

// connect starts a service with a verifier.
func connect(t *testing.T, verifier *tokendverify.Verifier, open ...string) *grpc.ClientConn {
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer(
		grpc.ChainUnaryInterceptor(verifier.UnaryServerInterceptor(open...)),
		grpc.ChainStreamInterceptor(verifier.StreamServerInterceptor(open...)))
	healthv1.RegisterHealthServer(server, echo{})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	connection, err := grpc.NewClient("passthrough:///service", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// callBoth makes a unary call and a stream, which must end alike.
func callBoth(t *testing.T, connection *grpc.ClientConn, authorization ...string) *status.Status {
	t.Helper()
	ctx := t.Context()
	for _, value := range authorization {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
	}
	client := healthv1.NewHealthClient(connection)
	_, err := client.Check(ctx, &healthv1.HealthCheckRequest{})
	stream, streamErr := client.Watch(ctx, &healthv1.HealthCheckRequest{})
	if streamErr == nil {
		_, streamErr = stream.Recv()
	}
	if err.Error() != streamErr.Error() {
		t.Errorf("the call ends with %v, the stream with %v", err, streamErr)
	}
	return status.Convert(err)
}

func TestServiceGetsIdentityOfVerifiedCallers(t *testing.T) {
	server := newServer(t)
	token := issue(t, server, nil)
	raw := token.Value.Reveal()
	ofAnother := issue(t, newServer(t), nil).Value.Reveal()
	connection := connect(t, newVerifier(t, server.Issuer()))
	for name, c := range map[string]struct {
		authorization []string
		code          codes.Code
		message       string
	}{
		"a good token":         {[]string{"Bearer " + raw}, codes.Aborted, token.IdentityID},
		"scheme in small":      {[]string{"bearer " + raw}, codes.Aborted, token.IdentityID},
		"nothing":              {nil, codes.Unauthenticated, "the token is rejected: there is no bearer token"},
		"another scheme":       {[]string{"Basic " + raw}, codes.Unauthenticated, "the token is rejected: there is no bearer token"},
		"an empty token":       {[]string{"Bearer "}, codes.Unauthenticated, "the token is rejected: there is no bearer token"},
		"two":                  {[]string{"Bearer " + raw, "Bearer " + raw}, codes.Unauthenticated, "the token is rejected: there is no bearer token"},
		"of another issuer":    {[]string{"Bearer " + ofAnother}, codes.Unauthenticated, "the token is rejected"},
		"what is not a token":  {[]string{"Bearer x"}, codes.Unauthenticated, "the token is rejected"},
		"two tokens in header": {[]string{"Bearer " + raw + " " + raw}, codes.Unauthenticated, "the token is rejected"},
	} {
		t.Run(name, func(t *testing.T) {
			got := callBoth(t, connection, c.authorization...)
			if got.Code() != c.code || got.Message() != c.message {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestCallIsUnavailableWithoutKeys(t *testing.T) {
	server := newServer(t)
	seen := &requests{}
	seen.fail.Store(true)
	verifier := newVerifier(t, server.Issuer(), tokendverify.WithHTTPClient(&http.Client{Transport: seen}))
	got := callBoth(t, connect(t, verifier), "Bearer "+issue(t, server, nil).Value.Reveal())
	if got.Code() != codes.Unavailable || strings.Contains(got.Message(), server.Issuer()) {
		t.Errorf("%v", got)
	}
}

func TestOpenMethodsRequireNoToken(t *testing.T) {
	verifier := newVerifier(t, "https://tokend.example.internal")
	for _, c := range []struct {
		open       []string
		call, flow codes.Code
	}{
		{[]string{"/grpc.health.v1.Health/"}, codes.Aborted, codes.Aborted},
		{[]string{"/grpc.health.v1.Health/Check"}, codes.Aborted, codes.Unauthenticated},
		{[]string{"/grpc.health.v1.Health/Che", "/grpc.health.v1.Heal", ""}, codes.Unauthenticated, codes.Unauthenticated},
	} {
		client := healthv1.NewHealthClient(connect(t, verifier, c.open...))
		_, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{})
		stream, streamErr := client.Watch(t.Context(), &healthv1.HealthCheckRequest{})
		if streamErr == nil {
			_, streamErr = stream.Recv()
		}
		if status.Code(err) != c.call || status.Code(streamErr) != c.flow {
			t.Errorf("%q: %v, %v", c.open, err, streamErr)
		}
	}
}
