package tokend

import (
	"errors"
	"time"
)

const (
	firstBackoff = time.Second
	maxBackoff   = time.Minute
)

// backoff is the failures since the last token. It never changes.
type backoff struct {
	failures int
	last     error
	until    time.Time
}

// after is the back-off when a refresh has failed just now; random is from 0 up to 1.
func (b backoff) after(failure error, now time.Time, random float64) backoff {
	delay := retryDelay(failure)
	if delay <= 0 {
		most := backoffCeiling(b.failures)
		delay = most/2 + time.Duration(random*float64(most/2))
	}
	return backoff{failures: b.failures + 1, last: failure, until: now.Add(delay)}
}

// backoffCeiling is the longest back-off after a number of failures before this one.
func backoffCeiling(failures int) time.Duration {
	ceiling := firstBackoff
	for range failures {
		if ceiling *= 2; ceiling >= maxBackoff {
			return maxBackoff
		}
	}
	return ceiling
}

func retryDelay(failure error) time.Duration {
	if failed, ok := errors.AsType[*Error](failure); ok {
		return failed.RetryDelay
	}
	return 0
}
