package tokend

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

const almostOne = 1 - 1e-9

var errFailed = errors.New("failed")

func TestBackoffDoublesToItsLimitWithJitter(t *testing.T) {
	var least, most backoff
	for failure, ceiling := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		ceiling *= time.Second
		least = least.after(errFailed, reading(0), 0, 0)
		most = most.after(errFailed, reading(0), almostOne, 0)
		if got := least.delay; got != ceiling/2 {
			t.Errorf("failure %d: at least %v, want %v", failure, got, ceiling/2)
		}
		if got := most.delay; got > ceiling || got < ceiling-time.Microsecond {
			t.Errorf("failure %d: at most %v, want %v", failure, got, ceiling)
		}
		if got, want := most.delayWithoutToken, min(ceiling, 2*time.Second); got > want || got < want-time.Microsecond {
			t.Errorf("failure %d: at most %v without a token, want %v", failure, got, want)
		}
	}
}

func TestExpiryDuringBackoffShortensBackoff(t *testing.T) {
	b := backoff{failures: 9}.after(errFailed, reading(0), almostOne, 0)
	for _, c := range []struct {
		after        time.Duration
		usable, want bool
	}{
		{1900 * time.Millisecond, false, false},
		{2 * time.Second, false, true},
		{2 * time.Second, true, false},
		{59 * time.Second, true, false},
		{60 * time.Second, true, true},
	} {
		if got := b.isOver(reading(c.after), c.usable, 0); got != c.want {
			t.Errorf("after %v, usable %v: over %v", c.after, c.usable, got)
		}
	}
}

func TestBackoffUsesMonotonicClock(t *testing.T) {
	b := backoff{}.after(errFailed, reading(0), 0, 0)
	setForward := Reading{Wall: arrival.Add(time.Hour), Monotonic: time.Hour}
	setBack := Reading{Wall: arrival.Add(-time.Hour), Monotonic: time.Hour + 500*time.Millisecond}
	if b.isOver(setForward, false, 0) || !b.isOver(setBack, false, 0) {
		t.Error("the wall clock counts")
	}
}

func TestSuccessOfClientEndsBackoffOfOutage(t *testing.T) {
	if b := (backoff{}).after(errFailed, reading(0), 0, 7); b.isOver(reading(0), false, 7) || !b.isOver(reading(0), false, 8) {
		t.Error("an outage")
	}
	refused := &Error{Reason: TooManyRequests}
	if b := (backoff{}).after(refused, reading(0), 0, 7); b.isOver(reading(0), false, 8) {
		t.Error("a refusal")
	}
}

func TestBackoffIsLimitedAfterManyFailures(t *testing.T) {
	if got := backoffCeiling(1_000_000_000, maxBackoff); got != maxBackoff {
		t.Errorf("ceiling %v, want %v", got, maxBackoff)
	}
}

func TestRetryInfoReplacesBackoffUpToOneMinute(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{
		30 * time.Second: 30 * time.Second, 24 * time.Hour: time.Minute, 0: 500 * time.Millisecond,
	} {
		failure := fmt.Errorf("wrapped: %w", &Error{Reason: TooManyRequests, RetryDelay: asked})
		b := backoff{}.after(failure, reading(0), 0, 0)
		if b.delay != want || b.delayWithoutToken != want {
			t.Errorf("asked for %v: the next attempt comes after %v, or %v", asked, b.delay, b.delayWithoutToken)
		}
	}
}
