package tokend_test

import (
	"context"
	"crypto/tls"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"tokend.internal/go"
	"tokend.internal/go/tokendv1"
)

// malformed is not a token, because of its space.
const malformed = "s3cr3t t0k3n"

// echo responds with the received authorization.
func echo(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
	return backend{}.Check(ctx, nil)
}

// startGuarded serves a healthy tokend that responds to every call with the received authorization.
func startGuarded(t *testing.T) (string, credentials.TransportCredentials) {
	certificate, trusted := selfSigned(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&certificate)), grpc.UnaryInterceptor(echo))
	tokendv1.RegisterDeveloperIdentityServiceServer(server, tokendv1.UnimplementedDeveloperIdentityServiceServer{})
	serving := health.NewServer()
	serving.SetServingStatus(tokendv1.DeveloperIdentityService_ServiceDesc.ServiceName, healthv1.HealthCheckResponse_SERVING)
	healthv1.RegisterHealthServer(server, serving)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String(), credentials.NewTLS(&tls.Config{RootCAs: trusted})
}

func newBearerClient(t *testing.T, file string) *tokend.Client {
	target, secured := startGuarded(t)
	client, err := tokend.New(target, tokend.WithTransportCredentials(secured), tokend.WithBearerTokenFile(file))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func call(t *testing.T, client *tokend.Client) *status.Status {
	_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
	return status.Convert(err)
}

func TestEachCallSendsCurrentTokenOfFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	client := newBearerClient(t, file)
	for _, token := range []string{"a.b-c_d~e+f/g==", "next"} {
		write(t, file, []byte("\uFEFF"+token+"\r\n")) // with a byte-order mark, as some editors write
		if got := call(t, client).Message(); got != "Bearer "+token {
			t.Errorf("the service got %q", got)
		}
	}
}

func TestCallWithoutTokenFailsAndIsNotSent(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	client := newBearerClient(t, file)
	expect := func() {
		t.Helper()
		failed := call(t, client)
		if failed.Code() != codes.Unauthenticated || !strings.Contains(failed.Message(), file) {
			t.Errorf("failed with %v", failed)
		}
		for _, part := range strings.Fields(malformed) {
			if strings.Contains(failed.Message(), part) {
				t.Errorf("the error shows the content: %v", failed)
			}
		}
	}
	expect() // the file does not exist
	for _, content := range []string{"", malformed, strings.ReplaceAll(malformed, " ", "\n"), malformed + "\xff"} {
		write(t, file, []byte(content))
		expect()
	}
	write(t, file, []byte("abc"))
	if got := call(t, client).Message(); got != "Bearer abc" {
		t.Errorf("the service got %q", got)
	}
}

func TestBearerTokenIsNotSentInPlaintext(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, []byte("abc"))
	client, err := tokend.New("127.0.0.1:1", tokend.WithPlaintext(), tokend.WithBearerTokenFile(file))
	if err == nil {
		_ = client.Close()
		t.Error("a client was made")
	}
	err = callBackend(t, startBackend(t), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(careless{tokend.BearerFile(file)}))
	if status.Code(err) != codes.Unauthenticated || strings.Contains(err.Error(), "abc") {
		t.Errorf("error %v, want Unauthenticated", err)
	}
}
