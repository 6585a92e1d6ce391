package tokend

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/balancer"
)

// connection is a connection that can only be picked.
type connection struct {
	balancer.SubConn

	name string
}

// cyclePicker picks its connections in a cycle.
type cyclePicker struct {
	connections []*connection
	next        int
}

func (p *cyclePicker) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	picked := p.connections[p.next%len(p.connections)]
	p.next++
	return balancer.PickResult{SubConn: picked}, nil
}

func TestExpiredAttemptUsesNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung, good := &connection{name: "hung"}, &connection{name: "good"}
		picker := spreadingPicker{
			roundRobin: &cyclePicker{connections: []*connection{hung, good}},
			ready: []balancer.Picker{
				&cyclePicker{connections: []*connection{hung}}, &cyclePicker{connections: []*connection{good}},
			},
		}
		pick := func(ctx context.Context) balancer.SubConn {
			picked, err := picker.Pick(balancer.PickInfo{Ctx: ctx})
			if err != nil {
				t.Fatal(err)
			}
			return picked.SubConn
		}
		call := withAttempts(t.Context())
		first, cancel := context.WithTimeout(call, 5*time.Second)
		defer cancel()
		if picked := pick(first); picked != hung {
			t.Fatalf("the first attempt went to %v", picked)
		}
		<-first.Done()
		pick(first)
		if picked := pick(call); picked != good {
			t.Errorf("the second attempt went to %v", picked)
		}
	})
}
