package vault

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"stonevault/stone"
)

// FuzzPlan makes a plan of whatever people's keys may have signed. Every candidate has one place, no id and no
// name is given twice, and the order in which envelopes are read makes no difference.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("one document, two versions, one folder; and so on for some bytes more"))
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		b := make([]byte, 40+random.IntN(400))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		found := candidates(b)
		shuffled := make([]*candidate, len(found))
		for i, at := range rand.New(rand.NewPCG(uint64(len(b)), 1)).Perm(len(found)) {
			shuffled[i] = found[at]
		}
		p := newPlan(found)
		if !reflect.DeepEqual(p, newPlan(shuffled)) {
			t.Fatal("the order makes a difference")
		}
		checkPlan(t, p, found)
	})
}

// candidates reads eight bytes for each: few owners, documents, folders and names, so that they collide.
func candidates(b []byte) []*candidate {
	names := []string{"a", "b", "a (2)", "b.txt", ".hidden", "ü", strings.Repeat("n", 255), strings.Repeat("m", 250) + ".tar"}
	id := func(n byte) string { return fmt.Sprintf("%032x", n) }
	var found []*candidate
	for n := 0; len(b) >= 8; n++ {
		c := &candidate{
			owner: PersonID(id(b[0] % 3)), document: NodeID(id(b[1] % 8)), version: int64(b[2]%5) + 1,
			time: int64(b[3] % 16), sealed: int64(b[4] % 8), created: int64(b[4]),
		}
		binary.BigEndian.PutUint64(c.id[:], uint64(n)+1)
		c.path = "/" + names[b[5]%8]
		for depth := b[6] % 4; depth > 0; depth-- {
			c.path = "/" + names[(b[7]>>depth)%8] + c.path
			c.folder = NodeID(id(b[7]%8 + 4)) // some are documents as well
		}
		found = append(found, c)
		b = b[8:]
	}
	return found
}

func checkPlan(t *testing.T, p *plan, found []*candidate) {
	t.Helper()
	ids := make(map[NodeID]string)
	places := make(map[string]string)
	folders := make(map[*folderPlan]bool)
	take := func(id NodeID, owner PersonID, parent *folderPlan, name string) {
		what := string(owner) + path.Join(parent.path(), name)
		if other, ok := ids[id]; ok || !isID(string(id)) {
			t.Errorf("id %q is of %s and of %s", id, other, what)
		}
		ids[id] = what
		place := string(owner) + string(parent.nodeID()) + "/" + name
		if other, ok := places[place]; ok {
			t.Errorf("the place %s is of %s and of %s", place, other, what)
		}
		places[place] = what
		if parent != nil && parent.owner != owner {
			t.Errorf("%s lies in a folder of %s", what, parent.owner)
		}
		if err := checkName(name); err != nil || !utf8.ValidString(name) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	placed := make(map[stone.FileID]bool)
	for _, d := range p.documents {
		take(d.id, d.owner, d.parent, d.name)
		for f := d.parent; f != nil && !folders[f]; f = f.parent {
			folders[f] = true
			take(f.id, f.owner, f.parent, f.name)
		}
		last := 0
		for _, v := range d.versions {
			if v.number <= last || v.number < int(v.version) || v.owner != d.owner || placed[v.id] {
				t.Errorf("version %d of %s follows %d", v.number, d.id, last)
			}
			last = v.number
			placed[v.id] = true
			if v.created < d.created {
				t.Errorf("%s is older than its document", v.id)
			}
		}
	}
	if len(placed) != len(found) {
		t.Errorf("%d of %d candidates have a place", len(placed), len(found))
	}
}
