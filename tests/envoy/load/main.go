// Command load calls a tokend over and over by the Go client, until its standard input ends, and then writes how many
// calls it has made and how those that failed did so, as JSON. It says "calling" once every caller has had an answer.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"

	tokend "tokend.internal/go"
)

// pause lies between two calls of a caller: it leaves the processor to the servers.
const pause = 10 * time.Millisecond

// report is what came of the calls.
type report struct {
	Calls    int            `json:"calls"`
	Failures map[string]int `json:"failures"`

	lock sync.Mutex
}

func (r *report) add(err error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.Calls++
	if err != nil {
		r.Failures[err.Error()]++
	}
}

func main() {
	target := flag.String("target", "", "a gRPC target")
	pool := flag.String("pool", "", "the identity pool")
	provider := flag.String("provider", "", "its developer provider")
	callers := flag.Int("callers", 1, "how many call at once")
	noRetries := flag.Bool("no-retries", false, "take the service config's retry policy away")
	flag.Parse()
	opts := []tokend.Option{tokend.WithPlaintext()}
	timeout := time.Duration(0) // the client's own
	if *noRetries {
		timeout = time.Minute // after half of it, the client would make a second attempt
		opts = append(opts, tokend.WithDialOptions(grpc.WithDisableRetry()))
	}
	client, err := tokend.New(*target, opts...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	call(client, *pool, *provider, *callers, timeout)
}

func call(client *tokend.Client, pool, provider string, callers int, timeout time.Duration) {
	result := report{Failures: map[string]int{}}
	ending := make(chan struct{})
	var answered, ended sync.WaitGroup
	for number := range callers {
		answered.Add(1)
		request := tokend.TokenRequest{
			IdentityPoolID: pool,
			Logins:         tokend.Logins{provider: tokend.NewSecret(fmt.Sprintf("user %d", number))},
		}
		ended.Go(func() {
			first := sync.OnceFunc(answered.Done)
			for {
				ctx, cancel := context.Background(), func() {}
				if timeout > 0 {
					ctx, cancel = context.WithTimeout(ctx, timeout)
				}
				_, err := client.GetOpenIdTokenForDeveloperIdentity(ctx, request)
				cancel()
				result.add(err)
				first()
				select {
				case <-ending:
					return
				case <-time.After(pause):
				}
			}
		})
	}
	answered.Wait()
	fmt.Println("calling")
	_, _ = io.Copy(io.Discard, os.Stdin)
	close(ending)
	ended.Wait()
	_ = json.NewEncoder(os.Stdout).Encode(&result)
}
