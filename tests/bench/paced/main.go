// Command paced makes one kind of call at a fixed rate and writes how long the answers took to standard output as JSON.
//
// A latency counts from the moment at which the call was due, so that a server which stalls is charged for every call
// that it kept from being made. A rate of 0 makes the next call as soon as the last one on the connection is answered.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// settings are what the command line says.
type settings struct {
	urls        []string
	body        string
	rate        float64
	connections int
	duration    time.Duration
}

// report is what came of a run. Latencies are of successful calls.
type report struct {
	Calls           int            `json:"calls"`
	Failures        map[string]int `json:"failures"`
	Seconds         float64        `json:"seconds"`
	P50Milliseconds float64        `json:"p50_milliseconds"`
	P99Milliseconds float64        `json:"p99_milliseconds"`
	MaxMilliseconds float64        `json:"max_milliseconds"`
}

// tally is one connection's part of a report.
type tally struct {
	latencies []time.Duration
	failures  map[string]int
}

func parse(arguments []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("paced", flag.ContinueOnError)
	urls := flags.String("url", "", "where to GET from, or to POST to; several, with blanks between them, in turns")
	flags.StringVar(&s.body, "body", "", "file with a gRPC body to POST over cleartext HTTP/2; without it, GET over HTTP/1.1")
	flags.Float64Var(&s.rate, "rate", 0, "calls a second, over all connections; 0: as fast as answers come")
	flags.IntVar(&s.connections, "connections", 1, "connections, with one call in flight on each")
	flags.DurationVar(&s.duration, "duration", 5*time.Second, "how long to begin calls")
	err := flags.Parse(arguments)
	if s.urls = strings.Fields(*urls); err == nil && len(s.urls) == 0 {
		err = errors.New("no -url")
	}
	return s, err
}

// drive makes the calls from all connections until the duration is over, and waits for the last of them.
func drive(s settings, body []byte) report {
	tallies := make([]tally, s.connections)
	var done sync.WaitGroup
	begin := time.Now()
	for i := range tallies {
		done.Add(1)
		go func() {
			defer done.Done()
			tallies[i] = connection(s, body, begin, i)
		}()
	}
	done.Wait()
	return summary(tallies, time.Since(begin))
}

// connection makes its share of the calls: of n connections, the i-th makes the calls i, i+n, i+2n, ...
func connection(s settings, body []byte, begin time.Time, i int) tally {
	client := newClient(body != nil)
	defer client.CloseIdleConnections()
	t := tally{failures: map[string]int{}}
	for number := i; ; number += s.connections {
		due := time.Now()
		if s.rate > 0 {
			due = begin.Add(time.Duration(float64(number) / s.rate * float64(time.Second)))
			time.Sleep(time.Until(due))
		}
		if due.After(begin.Add(s.duration)) {
			return t
		}
		if err := call(client, s.urls[number%len(s.urls)], body); err != nil {
			t.failures[err.Error()]++
			continue
		}
		t.latencies = append(t.latencies, time.Since(due))
	}
}

func newClient(grpc bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(grpc)
	protocols.SetHTTP1(!grpc)
	return &http.Client{Transport: &http.Transport{Protocols: protocols, DisableCompression: true}, Timeout: 30 * time.Second}
}

func call(client *http.Client, url string, body []byte) error {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if body != nil {
		request, err = http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	}
	if err != nil {
		return err
	}
	if body != nil {
		request.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Grpc-Timeout": {"30S"}}
	}
	response, err := client.Do(request)
	if err != nil {
		return errors.Unwrap(err)
	}
	defer response.Body.Close()
	if _, err = io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	if status := response.Trailer.Get("grpc-status"); body != nil && status != "0" {
		return fmt.Errorf("grpc-status %q", status)
	}
	return nil
}

func summary(tallies []tally, elapsed time.Duration) report {
	r := report{Failures: map[string]int{}, Seconds: elapsed.Seconds()}
	var latencies []time.Duration
	for _, t := range tallies {
		latencies = append(latencies, t.latencies...)
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
	r.MaxMilliseconds = milliseconds(latencies[r.Calls-1])
	return r
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func run(arguments []string) error {
	s, err := parse(arguments)
	if err != nil {
		return err
	}
	var body []byte
	if s.body != "" {
		if body, err = os.ReadFile(s.body); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(drive(s, body))
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "paced:", err)
		os.Exit(1)
	}
}
