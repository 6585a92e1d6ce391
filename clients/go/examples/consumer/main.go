// Command consumer simulates a service that continually needs tokens of many users:
//
//	consumer HOST:PORT,HOST:PORT IDENTITY_POOL_ID DEVELOPER_PROVIDER_NAME CALLERS TOKEN_SECONDS
//
// It prints "ready" when each caller has got a token, and runs until its standard input ends. Then it prints as JSON
// the number of requests, the time and code of each failure, and the number of tokens that had already expired.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	tokend "tokend.internal/go"
)

const (
	requestTimeout = time.Second
	pause          = 50 * time.Millisecond
)

// failure is a failed request: its time, in seconds since the Unix epoch, and its status code.
type failure struct {
	At   float64 `json:"at"`
	Code string  `json:"code"`
}

// report counts the results of all requests.
type report struct {
	mu       sync.Mutex
	Asks     int       `json:"asks"`
	Expired  int       `json:"expired"`
	Failures []failure `json:"failures"`
}

func (r *report) add(token tokend.Token, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.Asks++
	if err != nil {
		r.Failures = append(r.Failures, failure{float64(now.UnixMilli()) / 1000, nameOf(err)})
	} else if !token.ExpireTime.After(now) {
		r.Expired++
	}
}

func nameOf(err error) string {
	names := map[codes.Code]string{codes.Unavailable: "UNAVAILABLE", codes.DeadlineExceeded: "DEADLINE_EXCEEDED"}
	var failed *tokend.Error
	if errors.As(err, &failed) {
		if name, ok := names[failed.Code]; ok {
			return name
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return names[codes.DeadlineExceeded]
	}
	return err.Error()
}

// call requests the token of a user repeatedly.
func call(ctx context.Context, source tokend.TokenSource, report *report, ready func()) {
	once := sync.OnceFunc(ready)
	for ctx.Err() == nil {
		asking, done := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		token, err := source.Token(asking)
		done()
		report.add(token, err)
		if err == nil {
			once()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// connect creates a client of all replicas. If they share a DNS name, tokend.New("dns:///tokend:50051") is enough.
func connect(replicas string) (*tokend.Client, error) {
	named := manual.NewBuilderWithScheme("replicas")
	var state resolver.State
	for address := range strings.SplitSeq(replicas, ",") {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: address})
	}
	named.InitialState(state)
	return tokend.New("replicas:///", tokend.WithPlaintext(), tokend.WithDialOptions(grpc.WithResolvers(named)))
}

func run(replicas, pool, provider string, callers int, duration time.Duration) (*report, error) {
	client, err := connect(replicas)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	cache := tokend.NewTokenCache(client)
	defer cache.Close()

	report := &report{Failures: []failure{}}
	ctx, stop := context.WithCancel(context.Background())
	var ready, running sync.WaitGroup
	ready.Add(callers)
	for number := range callers {
		source := cache.Source(tokend.TokenRequest{
			IdentityPoolID: pool,
			Logins:         tokend.Logins{provider: tokend.NewSecret("caller-" + strconv.Itoa(number))},
			TokenDuration:  &duration,
		})
		running.Go(func() { call(ctx, source, report, ready.Done) })
	}
	ready.Wait()
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	stop()
	running.Wait()
	return report, err
}

func main() {
	callers, err := strconv.Atoi(os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	seconds, err := strconv.Atoi(os.Args[5])
	if err != nil {
		log.Fatal(err)
	}
	outcome, err := run(os.Args[1], os.Args[2], os.Args[3], callers, time.Duration(seconds)*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(outcome); err != nil {
		log.Fatal(err)
	}
}
