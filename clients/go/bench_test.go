//go:build unix

package tokend_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tokend.internal/go"
)

// callers is the number of concurrent goroutines.
const callers = 64

func BenchmarkFreshSource(b *testing.B) {
	source := tokend.NewTokenSource(&scriptedIssuer{}, request("alice"))
	defer source.Close()
	benchmarkReads(b, source.Token)
}

func BenchmarkFreshSourceOfACache(b *testing.B) {
	cache := tokend.NewTokenCache(&scriptedIssuer{})
	defer cache.Close()
	benchmarkReads(b, cache.Source(request("alice")).Token)
}

func BenchmarkFreshCache(b *testing.B) {
	cache := tokend.NewTokenCache(&scriptedIssuer{})
	defer cache.Close()
	asked := request("alice")
	benchmarkReads(b, func(ctx context.Context) (tokend.Token, error) { return cache.Token(ctx, asked) })
}

// BenchmarkStaleSource reads while a refresh runs that does not end.
func BenchmarkStaleSource(b *testing.B) {
	issuer := &scriptedIssuer{}
	var offset atomic.Int64
	begin := time.Now()
	source := tokend.NewTokenSource(issuer, request("alice"), tokend.WithClock(func() tokend.Reading {
		now := time.Now().Add(time.Duration(offset.Load()))
		return tokend.Reading{Wall: now, Monotonic: now.Sub(begin)}
	}))
	defer source.Close()
	if _, err := source.Token(b.Context()); err != nil {
		b.Fatal(err)
	}
	issuer.set(held(nil))
	offset.Store(int64(untilStale))
	benchmarkReads(b, source.Token)
}

func benchmarkReads(b *testing.B, read func(context.Context) (tokend.Token, error)) {
	if _, err := read(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(max(callers/runtime.GOMAXPROCS(0), 1))
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime(b)
	b.RunParallel(func(pb *testing.PB) {
		ctx := context.Background()
		for pb.Next() {
			if _, err := read(ctx); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// processorTime returns the CPU time of this process.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
