package tokend_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
	"tokend.internal/go/tokendv1"
)

const (
	callsAtOnce = 64
	serviceName = "tokend.v1.DeveloperIdentityService"

	// A user's config that names the policy.
	withoutThrottling = `{
	  "loadBalancingConfig": [{ "tokend_round_robin": {} }],
	  "methodConfig": [{
	    "name": [{}], "timeout": "3s",
	    "retryPolicy": {
	      "maxAttempts": 4, "initialBackoff": "0.05s", "maxBackoff": "1s", "backoffMultiplier": 2,
	      "retryableStatusCodes": ["UNAVAILABLE"]
	    }
	  }]
	}`
)

// fleet is a set of servers of one service, each with its own response. It records which servers received each user's
// call.
type fleet struct {
	mu      sync.Mutex
	answers []func(context.Context) error
	came    map[string][]int
	health  []*health.Server
}

type member struct {
	tokendv1.UnimplementedDeveloperIdentityServiceServer

	fleet *fleet
	index int
}

func (m member) GetOpenIdTokenForDeveloperIdentity(
	ctx context.Context, request *tokendv1.GetOpenIdTokenForDeveloperIdentityRequest,
) (*tokendv1.GetOpenIdTokenForDeveloperIdentityResponse, error) {
	if err := m.fleet.arrive(request.GetLogins()[tokendtest.DeveloperProviderName], m.index)(ctx); err != nil {
		return nil, err
	}
	return answerOfLife(life), nil
}

func (f *fleet) arrive(user string, index int) func(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.came[user] = append(f.came[user], index)
	return f.answers[index]
}

func (f *fleet) set(answers ...func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers, f.came = answers, map[string][]int{}
}

// calls returns how many attempts a server has received.
func (f *fleet) calls(index int) (calls int) {
	for _, came := range f.came {
		for _, at := range came {
			if at == index {
				calls++
			}
		}
	}
	return calls
}

// reached returns how many calls reached a server at least once.
func (f *fleet) reached(index int) (reached int) {
	for _, came := range f.came {
		if slices.Contains(came, index) {
			reached++
		}
	}
	return reached
}

// newFleet starts servers, and a client that is connected to all of them.
func newFleet(t *testing.T, size int, opts ...tokend.Option) (*fleet, *tokend.Client) {
	made := &fleet{}
	made.set(make([]func(context.Context) error, size)...)
	listeners, state := map[string]*bufconn.Listener{}, resolver.State{}
	for i := range size {
		made.answers[i] = answered
		address := fmt.Sprintf("server-%d", i)
		listener := bufconn.Listen(1 << 20)
		listeners[address] = listener
		made.health = append(made.health, health.NewServer())
		made.health[i].SetServingStatus(serviceName, healthv1.HealthCheckResponse_SERVING)
		server := grpc.NewServer()
		healthv1.RegisterHealthServer(server, made.health[i])
		tokendv1.RegisterDeveloperIdentityServiceServer(server, member{fleet: made, index: i})
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(server.Stop)
		state.Addresses = append(state.Addresses, resolver.Address{Addr: address})
	}
	resolved := manual.NewBuilderWithScheme("fleet")
	resolved.InitialState(state)
	client := newClient(t, "fleet:///", append(opts, tokend.WithDialOptions(grpc.WithResolvers(resolved),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return listeners[address].DialContext(ctx)
		})))...)
	issue(t, client, request("first"))
	synctest.Wait() // until all servers are connected
	return made, client
}

// callTogether makes concurrent calls of different users, and returns how many failed.
func callTogether(t *testing.T, client *tokend.Client) int {
	var calling sync.WaitGroup
	failed := make(chan error, callsAtOnce)
	for i := range callsAtOnce {
		calling.Go(func() {
			if _, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request(fmt.Sprint(i))); err != nil {
				failed <- err
			}
		})
	}
	calling.Wait()
	synctest.Wait() // until servers have finished, too
	return len(failed)
}

func answered(context.Context) error { return nil }

func hung(ctx context.Context) error {
	<-ctx.Done()
	return status.FromContextError(ctx.Err()).Err()
}

func unavailable(context.Context) error { return status.Error(codes.Unavailable, "restarting") }

func TestRetriesUseServersThatTheCallHasNotUsed(t *testing.T) {
	for name, c := range map[string]struct {
		fault  func(context.Context) error
		config string
	}{
		"it hangs": {hung, tokend.ServiceConfig}, "it restarts": {unavailable, withoutThrottling},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				servers, client := newFleet(t, 2, tokend.WithServiceConfig(c.config))
				servers.set(c.fault, answered)
				if failed := callTogether(t, client); failed != 0 {
					t.Errorf("%d of %d calls failed", failed, callsAtOnce)
				}
				if calls, reached := servers.calls(0), servers.reached(0); calls != callsAtOnce/2 || reached != calls {
					t.Errorf("%d attempts of %d calls came to it, want one of each of %d", calls, reached, callsAtOnce/2)
				}
			})
		})
	}
}

func TestNotServingServerGetsNoAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers, client := newFleet(t, 3)
		servers.set(hung, answered, answered)
		servers.health[1].SetServingStatus(serviceName, healthv1.HealthCheckResponse_NOT_SERVING)
		synctest.Wait()
		if failed := callTogether(t, client); failed != 0 || servers.calls(1) != 0 || servers.calls(2) != callsAtOnce {
			t.Errorf("%d calls failed, %d attempts came to it, %d to the last server", failed, servers.calls(1), servers.calls(2))
		}
	})
}

func TestAttemptsOfCallUseAllServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers, client := newFleet(t, 3, tokend.WithServiceConfig(withoutThrottling))
		servers.set(unavailable, unavailable, unavailable)
		if failed := callTogether(t, client); failed != callsAtOnce {
			t.Errorf("%d of %d calls failed", failed, callsAtOnce)
		}
		for user, came := range servers.came {
			if len(came) != 4 || came[0] == came[1] || came[0] == came[2] || came[1] == came[2] || came[3] != came[0] {
				t.Errorf("the call of user %s came to %v", user, came)
			}
		}
	})
}

func TestCallsAreBalancedOverAllServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers, client := newFleet(t, 4)
		servers.set(answered, answered, answered, answered)
		_ = callTogether(t, client)
		for i := range 4 {
			if calls := servers.calls(i); calls != callsAtOnce/4 {
				t.Errorf("server %d got %d calls", i, calls)
			}
		}
	})
}

func TestSecondAttemptUsesTheOnlyConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers, client := newFleet(t, 1)
		servers.set(hung)
		if failed := callTogether(t, client); failed != callsAtOnce {
			t.Errorf("%d of %d calls failed", failed, callsAtOnce)
		}
		for user, came := range servers.came {
			if len(came) != 2 {
				t.Errorf("the call of user %s was made %d times", user, len(came))
			}
		}
	})
}

func TestServiceConfigOfUserSetsLoadBalancing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers, client := newFleet(t, 2, tokend.WithServiceConfig(`{"loadBalancingConfig": [{"pick_first": {}}]}`))
		servers.set(answered, answered)
		_ = callTogether(t, client)
		if first, second := servers.calls(0), servers.calls(1); first != callsAtOnce || second != 0 {
			t.Errorf("the servers got %d and %d calls", first, second)
		}
	})
}
