package tokend

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

const almostOne = 1 - 1e-9

var errFailed = errors.New("failed")

func TestBackoffDoublesFromOneSecondToSixtyAndIsDrawnFromItsUpperHalf(t *testing.T) {
	var least, most backoff
	for failure, ceiling := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		ceiling *= time.Second
		least = least.after(errFailed, arrival, 0)
		most = most.after(errFailed, arrival, almostOne)
		if got := least.until.Sub(arrival); got != ceiling/2 {
			t.Errorf("failure %d: at least %v, want %v", failure, got, ceiling/2)
		}
		if got := most.until.Sub(arrival); got > ceiling || got < ceiling-time.Microsecond {
			t.Errorf("failure %d: at most %v, want %v", failure, got, ceiling)
		}
	}
}

func TestBackoffStaysAtItsCeilingAfterManyFailures(t *testing.T) {
	if got := backoffCeiling(1_000_000_000); got != maxBackoff {
		t.Errorf("ceiling %v, want %v", got, maxBackoff)
	}
}

func TestRetryInfoTakesThePlaceOfTheBackoff(t *testing.T) {
	failure := fmt.Errorf("wrapped: %w", &Error{RetryDelay: 90 * time.Second})
	for _, random := range []float64{0, almostOne} {
		if got := (backoff{}).after(failure, arrival, random).until.Sub(arrival); got != 90*time.Second {
			t.Errorf("the next attempt comes after %v, want 90s", got)
		}
	}
}

func TestNegativeRetryInfoIsNone(t *testing.T) {
	b := backoff{}.after(&Error{RetryDelay: -time.Second}, arrival, 0)
	if got := b.until.Sub(arrival); got != 500*time.Millisecond {
		t.Errorf("the next attempt comes after %v, want 500ms", got)
	}
}
