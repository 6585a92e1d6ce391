package tokend

import "time"

const (
	firstBackoff           = time.Second
	maxBackoff             = time.Minute
	maxBackoffWithoutToken = 2 * time.Second // without a usable token: calls are failing
	maxRetryDelay          = time.Minute
)

// backoff describes the failures since the last token. It is immutable.
type backoff struct {
	failures int
	last     error
	failed   Reading
	delay    time.Duration
	// delayWithoutToken applies while there is no usable token.
	delayWithoutToken time.Duration
	// endsOnSuccess is whether the next success of the client ends the back-off; successes is their number at the
	// failure.
	endsOnSuccess bool
	successes     uint64
}

// after returns the back-off after another failed refresh; random is from 0 up to 1, and successes is how many
// refreshes of the client have succeeded so far.
func (b backoff) after(failure error, now Reading, random float64, successes uint64) backoff {
	next := backoff{
		failures: b.failures + 1, last: failure, failed: now, endsOnSuccess: reasonOf(failure) == "", successes: successes,
	}
	if asked := retryDelay(failure); asked > 0 {
		next.delay = min(asked, maxRetryDelay)
		next.delayWithoutToken = next.delay
		return next
	}
	next.delay = jittered(backoffCeiling(b.failures, maxBackoff), random)
	next.delayWithoutToken = jittered(backoffCeiling(b.failures, maxBackoffWithoutToken), random)
	return next
}

// isOver reports whether a refresh may start: usable is whether there is a token to return meanwhile.
func (b backoff) isOver(now Reading, usable bool, successes uint64) bool {
	if b.last == nil || b.endsOnSuccess && b.successes != successes {
		return true
	}
	return now.Monotonic-b.failed.Monotonic >= b.wait(usable)
}

// wait returns how long no refresh starts after the last failure: usable is whether there is a token to return
// meanwhile.
func (b backoff) wait(usable bool) time.Duration {
	if usable {
		return b.delay
	}
	return b.delayWithoutToken
}

// jittered returns a delay from the upper half of the longest one.
func jittered(most time.Duration, random float64) time.Duration {
	return most/2 + time.Duration(random*float64(most/2))
}

// backoffCeiling returns the longest back-off after a number of earlier failures.
func backoffCeiling(failures int, most time.Duration) time.Duration {
	ceiling := firstBackoff
	for range failures {
		if ceiling *= 2; ceiling >= most {
			return most
		}
	}
	return ceiling
}

func retryDelay(failure error) time.Duration {
	if failed, ok := asError(failure); ok {
		return failed.RetryDelay
	}
	return 0
}

func reasonOf(failure error) Reason {
	if failed, ok := asError(failure); ok {
		return failed.Reason
	}
	return ""
}
