package tokend_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"tokend.internal/go"
)

func errorInfo(reason, domain string) *errdetails.ErrorInfo {
	return &errdetails.ErrorInfo{Reason: reason, Domain: domain}
}

func answer(err error) grpc.UnaryServerInterceptor {
	return func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) { return nil, err }
}

// backend is another service, which responds with the received authorization.
type backend struct {
	healthv1.UnimplementedHealthServer
}

func (backend) Check(ctx context.Context, _ *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	return nil, status.Error(codes.Aborted, strings.Join(md.Get("authorization"), ", "))
}

func startBackend(t *testing.T, opts ...grpc.ServerOption) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(opts...)
	healthv1.RegisterHealthServer(server, backend{})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func callBackend(t *testing.T, address string, opts ...grpc.DialOption) error {
	connection, err := grpc.NewClient(address, opts...)
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = healthv1.NewHealthClient(connection).Check(t.Context(), &healthv1.HealthCheckRequest{})
	return err
}

func TestTokenIsAttachedToCallsOverTLS(t *testing.T) {
	certificate, trusted := selfSigned(t)
	address := startBackend(t, grpc.Creds(credentials.NewServerTLSFromCert(&certificate)))
	err := callBackend(t, address,
		grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(trusted, "")),
		grpc.WithPerRPCCredentials(tokend.PerRPCCredentials(newSource(t, &scriptedIssuer{}))))
	if got := status.Convert(err).Message(); got != "Bearer 1" {
		t.Errorf("the backend got %q", got)
	}
}

func TestTokenIsNotSentInPlaintext(t *testing.T) {
	source := newSource(t, &scriptedIssuer{})
	address := startBackend(t)
	if !tokend.PerRPCCredentials(source).RequireTransportSecurity() {
		t.Error("gRPC does not require transport security")
	}
	plaintext := grpc.WithTransportCredentials(insecure.NewCredentials())
	if err := callBackend(t, address, plaintext, grpc.WithPerRPCCredentials(tokend.PerRPCCredentials(source))); err == nil ||
		strings.Contains(err.Error(), "Bearer") {
		t.Errorf("error %v", err)
	}
	err := callBackend(t, address, plaintext, grpc.WithPerRPCCredentials(careless{tokend.PerRPCCredentials(source)}))
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("error %v, want Unauthenticated", err)
	}
}

// careless credentials pass gRPC's own check, like connections with an unknown security level.
type careless struct{ credentials.PerRPCCredentials }

func (careless) RequireTransportSecurity() bool { return false }

func TestTokenIsSentInPlaintextWithOption(t *testing.T) {
	err := callBackend(t, startBackend(t), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(tokend.PlaintextPerRPCCredentials(newSource(t, &scriptedIssuer{}))))
	if got := status.Convert(err).Message(); got != "Bearer 1" {
		t.Errorf("the backend got %q", got)
	}
}

func TestCallWithoutTokenFailsWithCodeOfCause(t *testing.T) {
	for cause, want := range map[error]codes.Code{
		status.Error(codes.Unavailable, "down"):           codes.Unavailable,
		status.Error(codes.DeadlineExceeded, "late"):      codes.DeadlineExceeded,
		status.Error(codes.PermissionDenied, "no"):        codes.PermissionDenied,
		status.Error(codes.InvalidArgument, "bad logins"): codes.Unavailable,
		errors.New("something else"):                      codes.Unavailable,
		errDown:                                           codes.Unavailable,
	} {
		issuer := &scriptedIssuer{answer: func(context.Context) error { return cause }}
		err := callBackend(t, startBackend(t), grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithPerRPCCredentials(tokend.PlaintextPerRPCCredentials(newSource(t, issuer))))
		if status.Code(err) != want || !errors.Is(err, cause) || !strings.Contains(err.Error(), "no token for this call") {
			t.Errorf("%v: error %v, want %v", cause, err, want)
		}
	}
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
