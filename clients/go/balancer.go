package tokend

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/balancer/roundrobin"
	"google.golang.org/grpc/connectivity"
)

// spreadingName names the policy in a service config.
const spreadingName = "tokend_round_robin"

// gRPC finds a policy by its name alone, in a registry of the process that may be written during initialization only.
// The name is tokend's own, so that other clients in the process keep theirs.
func init() { balancer.Register(spreading{}) }

// spreading is gRPC's round_robin, except that each attempt of a call goes to another connection than those before. With
// many calls at once the next connection in turn may be the one that has just failed this call.
type spreading struct{}

// Name implements [balancer.Builder].
func (spreading) Name() string { return spreadingName }

// Build implements [balancer.Builder].
func (spreading) Build(channel balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	return balancer.Get(roundrobin.Name).Build(spreadingChannel{channel}, opts)
}

// spreadingChannel is what round_robin reports its pickers to.
type spreadingChannel struct {
	balancer.ClientConn
}

// UpdateState implements [balancer.ClientConn].
func (c spreadingChannel) UpdateState(state balancer.State) {
	picker := spreadingPicker{inTurn: state.Picker}
	for _, child := range endpointsharding.ChildStatesFromPicker(state.Picker) {
		if child.State.ConnectivityState == connectivity.Ready {
			picker.ready = append(picker.ready, child.State.Picker)
		}
	}
	state.Picker = picker
	c.ClientConn.UpdateState(state)
}

// spreadingPicker picks the next connection in turn, unless the call has used it.
type spreadingPicker struct {
	inTurn balancer.Picker
	ready  []balancer.Picker // each of one connection
}

// Pick implements [balancer.Picker]. Where the call has used all connections, it picks the one that was used longest ago.
//
// An attempt whose time is over uses none: a server that saw its deadline first cancelled it, gRPC makes it once more, and
// the call's next attempt would find all connections used.
func (p spreadingPicker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	picked, err := p.inTurn.Pick(info)
	call, known := info.Ctx.Value(attemptsKey{}).(*attempts)
	if err != nil || !known || isOver(info.Ctx) {
		return picked, err
	}
	if call.lastUseOf(picked) != never {
		for _, i := range rand.Perm(len(p.ready)) { // one server that fails should not double the calls of one other
			other, err := p.ready[i].Pick(info)
			if err == nil && call.lastUseOf(other) < call.lastUseOf(picked) {
				picked = other
			}
		}
	}
	call.use(picked)
	return picked, nil
}

func isOver(ctx context.Context) bool {
	deadline, bounded := ctx.Deadline()
	return bounded && time.Until(deadline) <= 0
}

// attempts are the connections that one call has used, the last one at the end. gRPC makes one attempt after another.
type attempts struct {
	used []balancer.SubConn
}

type attemptsKey struct{}

// countingAttempts has [spreading] tell the attempts of a call from those of others.
func countingAttempts(ctx context.Context) context.Context {
	return context.WithValue(ctx, attemptsKey{}, &attempts{})
}

const never = -1

// lastUseOf is greater for a connection that was used later.
func (a *attempts) lastUseOf(picked balancer.PickResult) int {
	return slices.Index(a.used, picked.SubConn)
}

func (a *attempts) use(picked balancer.PickResult) {
	if i := a.lastUseOf(picked); i != never {
		a.used = slices.Delete(a.used, i, i+1)
	}
	a.used = append(a.used, picked.SubConn)
}
