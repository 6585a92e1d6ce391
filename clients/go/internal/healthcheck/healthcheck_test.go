// Package healthcheck tests the client where nothing but the client itself brings gRPC's health checks in.
package healthcheck

import (
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"tokend.internal/go"
	"tokend.internal/go/tokendv1"
)

// draining is the health of a server that is about to stop.
type draining struct {
	healthv1.UnimplementedHealthServer
}

func (draining) Watch(_ *healthv1.HealthCheckRequest, stream healthv1.Health_WatchServer) error {
	notServing := &healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_NOT_SERVING}
	if err := stream.Send(notServing); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func TestNotServingServerGetsNoCalls(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	healthv1.RegisterHealthServer(server, draining{})
	tokendv1.RegisterDeveloperIdentityServiceServer(server, tokendv1.UnimplementedDeveloperIdentityServiceServer{})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	for config, want := range map[string]codes.Code{
		tokend.ServiceConfig: codes.Unavailable, // it is not asked
		`{}`:                 codes.Unimplemented,
	} {
		client, err := tokend.New(listener.Addr().String(), tokend.WithPlaintext(), tokend.WithServiceConfig(config))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		_, err = client.GetOpenIdTokenForDeveloperIdentity(t.Context(), tokend.TokenRequest{})
		if status.Code(err) != want {
			t.Errorf("error %v, want %v", err, want)
		}
	}
}
