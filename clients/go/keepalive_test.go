package tokend_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"tokend.internal/go"
	"tokend.internal/go/tokendv1"
)

// wire is a connection whose other side can be made to hang, so that no data arrives.
type wire struct {
	net.Conn

	mu     sync.Mutex
	hangs  bool
	closed chan struct{}
	end    sync.Once
}

func (w *wire) Read(into []byte) (int, error) {
	for {
		n, err := w.Conn.Read(into)
		w.mu.Lock()
		hangs := w.hangs
		w.mu.Unlock()
		if !hangs || err != nil {
			return n, err
		}
	}
}

func (w *wire) Close() error {
	w.end.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

func (w *wire) hang() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hangs = true
}

// issuing is a service that issues tokens.
type issuing struct {
	tokendv1.UnimplementedDeveloperIdentityServiceServer
}

func (issuing) GetOpenIdTokenForDeveloperIdentity(
	context.Context, *tokendv1.GetOpenIdTokenForDeveloperIdentityRequest,
) (*tokendv1.GetOpenIdTokenForDeveloperIdentityResponse, error) {
	return answerOfLife(life), nil
}

func TestHungConnectionIsClosedWithin33SecondsWithoutCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := bufconn.Listen(1 << 20)
		server := grpc.NewServer()
		tokendv1.RegisterDeveloperIdentityServiceServer(server, issuing{})
		go func() { _ = server.Serve(listener) }()
		defer server.Stop()
		wires := make(chan *wire, 100)
		client, err := tokend.New("passthrough:///hanging", tokend.WithPlaintext(), tokend.WithDialOptions(
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				connection, err := listener.DialContext(ctx)
				made := &wire{Conn: connection, closed: make(chan struct{})}
				wires <- made
				return made, err
			})))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		issue(t, client, request("alice"))
		first := <-wires
		first.hang()
		begin := time.Now()
		select {
		case <-first.closed:
		case <-time.After(40 * time.Second):
		}
		if after := time.Since(begin); after > 33*time.Second || after < 30*time.Second {
			t.Errorf("it was given up after %v", after)
		}
		issue(t, client, request("alice")) // over another connection
		if len(wires) < 1 {
			t.Error("there is no other connection")
		}
	})
}
