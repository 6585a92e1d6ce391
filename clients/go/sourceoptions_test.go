package tokend_test

import (
	"testing"
	"time"

	"tokend.internal/go"
)

func TestSourceOptionsRejectInvalidNumbers(t *testing.T) {
	for want, option := range map[string]func(){
		"tokend: skew must not be negative: -1s":               func() { tokend.WithSkew(-time.Second) },
		"tokend: refresh timeout must be positive: 0s":         func() { tokend.WithRefreshTimeout(0) },
		"tokend: refresh timeout must be positive: -1ms":       func() { tokend.WithRefreshTimeout(-time.Millisecond) },
		"tokend: maximum number of users must be positive: 0":  func() { tokend.WithMaxUsers(0) },
		"tokend: maximum number of users must be positive: -1": func() { tokend.WithMaxUsers(-1) },
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("panic %v, want %s", got, want)
				}
			}()
			option()
		}()
	}
}
