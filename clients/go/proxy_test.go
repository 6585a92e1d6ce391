package tokend_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"tokend.internal/go"
)

// proxied makes the test below make a call in a separate process, since Go reads the proxy's variables once.
const proxied = "TOKEND_TEST_PROXIED"

func TestEnvironmentProxyIsUsedOnlyWithOption(t *testing.T) {
	switch os.Getenv(proxied) {
	case "no":
		callThroughProxy(t)
		return
	case "yes":
		callThroughProxy(t, tokend.WithEnvironmentProxy())
		return
	}
	for asked, want := range map[string]string{"no": "", "yes": "CONNECT tokend.example.invalid:443"} {
		if got := firstProxyRequest(t, asked); got != want {
			t.Errorf("with the option: %s; the proxy got %q, want %q", asked, got, want)
		}
	}
}

func callThroughProxy(t *testing.T, opts ...tokend.Option) {
	client, err := tokend.New("dns:///tokend.example.invalid:443", append(opts, tokend.WithPlaintext())...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := client.GetOpenIdTokenForDeveloperIdentity(ctx, request("alice")); err == nil {
		t.Error("the call succeeded")
	}
}

// firstProxyRequest returns the first request to the proxy; empty if there is none.
func firstProxyRequest(t *testing.T, asked string) string {
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan string, 1)
	go func() {
		defer close(first)
		connection, err := proxy.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		if request, err := http.ReadRequest(bufio.NewReader(connection)); err == nil {
			first <- request.Method + " " + request.Host
		}
	}()
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	command.Env = append(os.Environ(), proxied+"="+asked, "HTTPS_PROXY=http://"+proxy.Addr().String(), "NO_PROXY=")
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
	_ = proxy.Close()
	return <-first
}
