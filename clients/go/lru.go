package tokend

import (
	"container/heap"
	"sync/atomic"
)

// entry is a user of a cache.
type entry struct {
	key       key
	source    *CachedTokenSource
	used      atomic.Int64 // time of the last use, in milliseconds
	evicted   atomic.Bool
	lastPlace place // its place when the heap last read it, or an earlier one
	index     int   // in the heap; -1 if it is not in the heap
}

// place is the position of an entry in the eviction order: users without a token come first.
type place struct {
	hasToken bool
	used     int64
	sequence uint64 // orders entries that were used in the same millisecond
}

func (e *entry) place() place {
	return place{hasToken: e.source.hasToken.Load(), used: e.used.Load(), sequence: e.lastPlace.sequence}
}

func (p place) before(other place) bool {
	if p.hasToken != other.hasToken {
		return other.hasToken
	}
	if p.used != other.used {
		return p.used < other.used
	}
	return p.sequence < other.sequence
}

// touch records the time of a use. It writes only if the time is later, since writes slow down concurrent readers.
func (e *entry) touch(now int64) {
	if e.used.Load() < now {
		e.used.Store(now)
	}
}

// useHeap orders entries by the places that it last read, so that a use needs no lock. A use or a new token moves an
// entry back; popLeastRecent corrects its place when the entry comes first. The loss of a token moves an entry forward;
// the caller reports it with markWithoutToken.
type useHeap []*entry

// popLeastRecent removes and returns the entry to evict.
func (h *useHeap) popLeastRecent() *entry {
	for {
		first := (*h)[0]
		place := first.place()
		if !first.lastPlace.before(place) {
			return heap.Pop(h).(*entry)
		}
		first.lastPlace = place
		heap.Fix(h, 0)
	}
}

// markWithoutToken moves an entry to those without a token.
func (h *useHeap) markWithoutToken(e *entry) {
	if e.index >= 0 {
		e.lastPlace.hasToken = false
		heap.Fix(h, e.index)
	}
}

// Len implements heap.Interface.
func (h useHeap) Len() int { return len(h) }

// Less implements heap.Interface.
func (h useHeap) Less(i, j int) bool { return h[i].lastPlace.before(h[j].lastPlace) }

// Swap implements heap.Interface.
func (h useHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *useHeap) Push(added any) {
	entry := added.(*entry)
	entry.index = len(*h)
	*h = append(*h, entry)
}

// Pop implements heap.Interface.
func (h *useHeap) Pop() any {
	last := len(*h) - 1
	popped := (*h)[last]
	popped.index = -1
	(*h)[last] = nil
	*h = (*h)[:last]
	return popped
}
