package tokend

import (
	"container/heap"
	"sync/atomic"
)

// entry is a user of a cache.
type entry struct {
	key     key
	source  *Source
	used    atomic.Int64 // when it was last asked for, in milliseconds
	evicted atomic.Bool
	placed  int64 // what used was when the heap last looked
}

// touch notes the time of a use, and writes only when it is later: a write is what readers would have to wait for.
func (e *entry) touch(now int64) {
	if e.used.Load() < now {
		e.used.Store(now)
	}
}

// useHeap orders entries by a time of use that may be out of date, which leastRecent mends for those that it meets.
// So a use costs no lock.
type useHeap []*entry

// leastRecent removes the entry that was not used for the longest.
func (h *useHeap) leastRecent() *entry {
	for {
		first := (*h)[0]
		used := first.used.Load()
		if used == first.placed {
			return heap.Pop(h).(*entry)
		}
		first.placed = used
		heap.Fix(h, 0)
	}
}

// Len implements heap.Interface.
func (h useHeap) Len() int { return len(h) }

// Less implements heap.Interface.
func (h useHeap) Less(i, j int) bool { return h[i].placed < h[j].placed }

// Swap implements heap.Interface.
func (h useHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *useHeap) Push(added any) { *h = append(*h, added.(*entry)) }

// Pop implements heap.Interface.
func (h *useHeap) Pop() any {
	last := len(*h) - 1
	popped := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return popped
}
