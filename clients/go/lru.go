package tokend

import (
	"container/heap"
	"sync/atomic"
)

// entry is a user of a cache.
type entry struct {
	key     key
	source  *CachedTokenSource
	used    atomic.Int64 // when it was last asked for, in milliseconds
	evicted atomic.Bool
	placed  place // where it belonged when the heap last looked, or before that
	index   int   // in the heap; -1 when it is not there
}

// place is where an entry stands among those that make room: users without a token come first.
type place struct {
	served bool
	used   int64
	made   uint64 // decides between those that were used in the same millisecond
}

func (e *entry) place() place {
	return place{served: e.source.served.Load(), used: e.used.Load(), made: e.placed.made}
}

func (p place) before(other place) bool {
	if p.served != other.served {
		return other.served
	}
	if p.used != other.used {
		return p.used < other.used
	}
	return p.made < other.made
}

// touch notes the time of a use, and writes only when it is later: a write is what readers would have to wait for.
func (e *entry) touch(now int64) {
	if e.used.Load() < now {
		e.used.Store(now)
	}
}

// useHeap orders entries by the places that they had when it last looked, so that a use costs no lock. An entry only
// moves back by being used and by getting a token; leastRecent sees to that when the entry comes first. One that moves
// forward, since it has lost its token, has to be told by lost.
type useHeap []*entry

// leastRecent removes the entry that makes room.
func (h *useHeap) leastRecent() *entry {
	for {
		first := (*h)[0]
		place := first.place()
		if !first.placed.before(place) {
			return heap.Pop(h).(*entry)
		}
		first.placed = place
		heap.Fix(h, 0)
	}
}

// lost puts an entry among those without a token.
func (h *useHeap) lost(e *entry) {
	if e.index >= 0 {
		e.placed.served = false
		heap.Fix(h, e.index)
	}
}

// Len implements heap.Interface.
func (h useHeap) Len() int { return len(h) }

// Less implements heap.Interface.
func (h useHeap) Less(i, j int) bool { return h[i].placed.before(h[j].placed) }

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
