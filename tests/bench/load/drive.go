package main

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// report is what came of a run. Latencies are of successful calls.
type report struct {
	Calls             int            `json:"calls"`
	Failures          map[string]int `json:"failures"`
	Seconds           float64        `json:"seconds"`
	CPUSeconds        float64        `json:"cpu_seconds"`
	P50Milliseconds   float64        `json:"p50_milliseconds"`
	P99Milliseconds   float64        `json:"p99_milliseconds"`
	SmallestBodyBytes int64          `json:"smallest_body_bytes"`
	LargestBodyBytes  int64          `json:"largest_body_bytes"`
}

// tally is one stream's part of a report.
type tally struct {
	latencies []time.Duration
	sizes     []int64
	failures  map[string]int
}

// connected makes the clients, over HTTP/2 with their connections.
func connected(s settings) ([]*http.Client, error) {
	clients := make([]*http.Client, s.connections)
	for c := range clients {
		clients[c] = newClient(s)
		if !s.grpc {
			continue
		}
		if err := connect(clients[c], s); err != nil {
			return nil, err
		}
	}
	return clients, nil
}

// drive keeps a number of calls in flight for each client until the duration is over, and waits for the last of them.
func drive(s settings, b bodies, clients []*http.Client) report {
	tallies := make([]tally, s.connections*s.streams)
	var next atomic.Uint64
	next.Store(s.first)
	var done sync.WaitGroup
	begin := time.Now()
	for c, client := range clients {
		for i := range s.streams {
			index := c*s.streams + i
			draw := drawer(s, &next, uint64(index))
			done.Add(1)
			go func() {
				defer done.Done()
				tallies[index] = stream(client, s, b, draw, pacer(s, begin, index), begin.Add(s.duration))
			}()
		}
	}
	done.Wait()
	return summary(tallies, time.Since(begin))
}

// drawer picks the users of a stream.
func drawer(s settings, next *atomic.Uint64, stream uint64) func() uint64 {
	if s.inOrder {
		return func() uint64 { return next.Add(1) - 1 }
	}
	random := rand.New(rand.NewPCG(s.seed, stream))
	return func() uint64 { return s.first + random.Uint64N(s.count) }
}

// pacer waits until the next call of a stream is due, and tells that moment: a server that stalls is charged for each
// call that it kept from being made.
func pacer(s settings, begin time.Time, index int) func() time.Time {
	if s.rate == 0 {
		return time.Now
	}
	number := index
	return func() time.Time {
		due := begin.Add(time.Duration(float64(number) / s.rate * float64(time.Second)))
		number += s.connections * s.streams
		time.Sleep(time.Until(due))
		return due
	}
}

func stream(client *http.Client, s settings, b bodies, draw func() uint64, pace func() time.Time, end time.Time) tally {
	t := tally{failures: map[string]int{}}
	for begin := pace(); begin.Before(end); begin = pace() {
		size, failure := call(client, s, b.forUser(draw()))
		if failure != "" {
			t.failures[failure]++
			continue
		}
		t.latencies = append(t.latencies, time.Since(begin))
		t.sizes = append(t.sizes, size)
	}
	return t
}

func summary(tallies []tally, elapsed time.Duration) report {
	r := report{Failures: map[string]int{}, Seconds: elapsed.Seconds(), CPUSeconds: cpu().Seconds()}
	var latencies []time.Duration
	var sizes []int64
	for _, t := range tallies {
		latencies = append(latencies, t.latencies...)
		sizes = append(sizes, t.sizes...)
		for failure, count := range t.failures {
			r.Failures[failure] += count
		}
	}
	if r.Calls = len(latencies); r.Calls == 0 {
		return r
	}
	slices.Sort(latencies)
	r.P50Milliseconds = milliseconds(latencies[r.Calls/2])
	r.P99Milliseconds = milliseconds(latencies[r.Calls*99/100])
	r.SmallestBodyBytes, r.LargestBodyBytes = slices.Min(sizes), slices.Max(sizes)
	return r
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// cpu is the time that this process has computed so far.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
