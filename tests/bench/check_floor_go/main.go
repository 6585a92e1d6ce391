// The floor of an ext_authz server in Go: it answers every Check with the same bytes, over mutual TLS, and does nothing else.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"log"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/emptypb"
)

func main() {
	port := flag.String("port", "", "port on the loopback")
	directory := flag.String("files", "", "directory of tls.crt, tls.key and clients.crt")
	answer := flag.String("answer", "", "file with a serialized CheckResponse")
	flag.Parse()

	response, err := os.ReadFile(*answer)
	exitOn(err)
	transport, err := mutualTLS(*directory)
	exitOn(err)
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", *port))
	exitOn(err)
	server := grpc.NewServer(grpc.Creds(transport))
	grpc_health_v1.RegisterHealthServer(server, healthy())
	server.RegisterService(checks(response), nil)
	exitOn(server.Serve(listener))
}

// checks is Envoy's service without Envoy's messages: what an Empty does not know, it keeps and sends.
func checks(response []byte) *grpc.ServiceDesc {
	check := func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		if err := decode(&emptypb.Empty{}); err != nil {
			return nil, err
		}
		answer := &emptypb.Empty{}
		answer.ProtoReflect().SetUnknown(response)
		return answer, nil
	}
	return &grpc.ServiceDesc{
		ServiceName: "envoy.service.auth.v3.Authorization",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Check", Handler: check}},
	}
}

func healthy() *health.Server {
	server := health.NewServer()
	server.SetServingStatus("tokend.v1.DeveloperIdentityService", grpc_health_v1.HealthCheckResponse_SERVING)
	return server
}

func mutualTLS(directory string) (credentials.TransportCredentials, error) {
	shown, err := tls.LoadX509KeyPair(filepath.Join(directory, "tls.crt"), filepath.Join(directory, "tls.key"))
	if err != nil {
		return nil, err
	}
	authorities, err := os.ReadFile(filepath.Join(directory, "clients.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authorities)
	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{shown},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
	}), nil
}

func exitOn(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
