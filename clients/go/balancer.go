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

// gRPC finds a policy by name, in a process-wide registry that may be written only during initialization. The name is
// tokend's own, so that the policies of other clients in the process do not change.
func init() { balancer.Register(spreadingRoundRobin{}) }

// spreadingRoundRobin is gRPC's round_robin, except that each attempt of a call goes to a connection that the call has
// not used. With many concurrent calls, round_robin's next connection may be the one on which this call has just
// failed.
type spreadingRoundRobin struct{}

// Name implements [balancer.Builder].
func (spreadingRoundRobin) Name() string { return spreadingName }

// Build implements [balancer.Builder].
func (spreadingRoundRobin) Build(channel balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	return balancer.Get(roundrobin.Name).Build(spreadingChannel{channel}, opts)
}

// spreadingChannel receives the pickers of round_robin.
type spreadingChannel struct {
	balancer.ClientConn
}

// UpdateState implements [balancer.ClientConn].
func (c spreadingChannel) UpdateState(state balancer.State) {
	picker := spreadingPicker{roundRobin: state.Picker}
	for _, child := range endpointsharding.ChildStatesFromPicker(state.Picker) {
		if child.State.ConnectivityState == connectivity.Ready {
			picker.ready = append(picker.ready, child.State.Picker)
		}
	}
	state.Picker = picker
	c.ClientConn.UpdateState(state)
}

// spreadingPicker picks round_robin's next connection, unless the call has used it.
type spreadingPicker struct {
	roundRobin balancer.Picker
	ready      []balancer.Picker // each of one connection
}

// Pick implements [balancer.Picker]. If the call has used all connections, it picks the least recently used one.
//
// An attempt whose deadline has passed does not count as a use: if the server notices the deadline first and cancels
// the attempt, gRPC retries it, and the call's next attempt would find all connections used.
func (p spreadingPicker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	picked, err := p.roundRobin.Pick(info)
	call, known := info.Ctx.Value(attemptsKey{}).(*attempts)
	if err != nil || !known || deadlinePassed(info.Ctx) {
		return picked, err
	}
	if call.lastUseOf(picked) != neverUsed {
		for _, i := range rand.Perm(len(p.ready)) { // random: a failing server should not double the load of one other
			other, err := p.ready[i].Pick(info)
			if err == nil && call.lastUseOf(other) < call.lastUseOf(picked) {
				picked = other
			}
		}
	}
	call.use(picked)
	return picked, nil
}

func deadlinePassed(ctx context.Context) bool {
	deadline, bounded := ctx.Deadline()
	return bounded && time.Until(deadline) <= 0
}

// attempts are the connections that one call has used, in order of use. gRPC makes its attempts one after another.
type attempts struct {
	used []balancer.SubConn
}

type attemptsKey struct{}

// withAttempts lets [spreadingRoundRobin] distinguish the attempts of a call from those of other calls.
func withAttempts(ctx context.Context) context.Context {
	return context.WithValue(ctx, attemptsKey{}, &attempts{})
}

const neverUsed = -1

// lastUseOf returns a number that is greater for connections that were used later.
func (a *attempts) lastUseOf(picked balancer.PickResult) int {
	return slices.Index(a.used, picked.SubConn)
}

func (a *attempts) use(picked balancer.PickResult) {
	if i := a.lastUseOf(picked); i != neverUsed {
		a.used = slices.Delete(a.used, i, i+1)
	}
	a.used = append(a.used, picked.SubConn)
}
