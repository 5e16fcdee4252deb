package datadir

import (
	"os"
	"path/filepath"
	"testing"
)

// TestReserve: it is given back step by step, and taken again once there is room for twice as much.
func TestReserve(t *testing.T) {
	for _, tt := range []struct {
		name string
		free uint64
		want int64
	}{
		{"a large disk", 1 << 40, 64 << 20}, {"a small one", 24 << 20, 3 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := At(filepath.Join(t.TempDir(), "data"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Make(); err != nil {
				t.Fatal(err)
			}
			free := tt.free
			room := func(string) (uint64, uint64, error) { return free, free, nil }
			r, err := d.Reserve(room)
			if err != nil {
				t.Fatal(err)
			}
			size := func() int64 {
				info, err := os.Stat(filepath.Join(d.Path(), "reserve"))
				if err != nil {
					t.Fatal(err)
				}
				return info.Size()
			}
			if size() != tt.want || r.Short() {
				t.Fatalf("it has %d bytes, want %d; short: %v", size(), tt.want, r.Short())
			}
			free = 0
			steps := 0
			for was := size(); r.Release(); steps++ {
				if now := size(); now >= was || !r.Short() {
					t.Fatalf("after %d steps it has %d bytes, and had %d", steps+1, now, was)
				} else {
					was = now
				}
			}
			if size() != 0 || steps != int((tt.want+4<<20-1)/(4<<20)) {
				t.Errorf("%d bytes are left after %d steps", size(), steps)
			}
			free = uint64(2*tt.want - 1)
			if err := r.Refill(); err != nil || size() != 0 || !r.Short() {
				t.Errorf("with too little room: %v, %d bytes", err, size())
			}
			free++
			if err := r.Refill(); err != nil || size() != tt.want || r.Short() {
				t.Errorf("with enough room: %v, %d bytes", err, size())
			}
			if again, err := d.Reserve(room); err != nil || again.Short() || size() == 0 {
				t.Errorf("opened again: %v", err)
			}
		})
	}
}
