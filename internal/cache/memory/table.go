package memory

import (
	"container/heap"

	"stonevault/internal/cache"
)

// table is a map whose items end, and that never has more than max of them. The item that ends first is found
// at once, so that no call looks through all of them, even while the table is full.
type table[K comparable, V any] struct {
	max   int
	items map[K]*item[K, V]
	ends  queue[K, V]
}

type item[K comparable, V any] struct {
	key   K
	value V
	until int64 // in milliseconds; at that moment it is gone
	place int   // in the queue
}

func newTable[K comparable, V any](max int) *table[K, V] {
	return &table[K, V]{max: max, items: map[K]*item[K, V]{}}
}

// get returns nil where there is no item any more.
func (t *table[K, V]) get(key K, now int64) *item[K, V] {
	found := t.items[key]
	if found != nil && found.until <= now {
		t.remove(found)
		return nil
	}
	return found
}

// set puts an item or replaces it. A new one first makes room: two that have ended go for each one that comes, and
// all of them when the table is full.
func (t *table[K, V]) set(key K, value V, now, until int64) error {
	if old := t.items[key]; old != nil {
		old.value = value
		if old.until != until {
			old.until = until
			heap.Fix(&t.ends, old.place)
		}
		return nil
	}
	for n := 0; len(t.ends) > 0 && t.ends[0].until <= now && (n < 2 || len(t.items) >= t.max); n++ {
		t.remove(t.ends[0])
	}
	if len(t.items) >= t.max {
		return cache.ErrFull
	}
	added := &item[K, V]{key: key, value: value, until: until}
	t.items[key] = added
	heap.Push(&t.ends, added)
	return nil
}

func (t *table[K, V]) remove(i *item[K, V]) {
	delete(t.items, i.key)
	heap.Remove(&t.ends, i.place)
}

// queue is a heap by the end.
type queue[K comparable, V any] []*item[K, V]

func (q queue[K, V]) Len() int           { return len(q) }
func (q queue[K, V]) Less(a, b int) bool { return q[a].until < q[b].until }

func (q queue[K, V]) Swap(a, b int) {
	q[a], q[b] = q[b], q[a]
	q[a].place, q[b].place = a, b
}

func (q *queue[K, V]) Push(x any) {
	i := x.(*item[K, V])
	i.place = len(*q)
	*q = append(*q, i)
}

func (q *queue[K, V]) Pop() any {
	last := len(*q) - 1
	i := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return i
}
