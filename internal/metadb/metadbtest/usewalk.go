package metadbtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"stonevault/identity"
	"stonevault/internal/vault"
	"stonevault/stone"
)

const (
	walkers    = 6
	walkGroups = 4
)

// useWalk is what the files take, as a list of them and of who is in which group tells.
type useWalk struct {
	docs    map[int]*walkDoc // by the number of the node
	person  [walkers + 1]bool
	member  map[[2]int]bool // of a group and a person; false is a manager alone
	group   [walkGroups + 1]bool
	uploads map[int][2]int64 // owner and offset
	next    int
}

type walkDoc struct {
	owner    int
	node     vault.Node
	versions []vault.Version
}

// use sums up anew what people take.
func (w *useWalk) use(of func(person int) bool) (u vault.Use) {
	for _, d := range w.docs {
		if of(d.owner) {
			u.Files++
			for _, v := range d.versions {
				u.Bytes += v.Size
			}
		}
	}
	for _, up := range w.uploads {
		if of(int(up[0])) {
			u.Uploading += up[1]
		}
	}
	return u
}

// testUseWalk: whatever is done in whatever order, what is kept as the use is what a sum over everything gives.
func testUseWalk(t *testing.T, db Database) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	w := &useWalk{docs: map[int]*walkDoc{}, member: map[[2]int]bool{}, uploads: map[int][2]int64{}, next: 100}
	steps := []struct {
		name string
		do   func(ctx context.Context, tx vault.Tx) error
	}{
		{"put", func(ctx context.Context, tx vault.Tx) error { return w.put(ctx, tx, r) }},
		{"another version", func(ctx context.Context, tx vault.Tx) error { return w.putAgain(ctx, tx, r) }},
		{"another version", func(ctx context.Context, tx vault.Tx) error { return w.putAgain(ctx, tx, r) }},
		{"another size", func(ctx context.Context, tx vault.Tx) error { return w.resize(ctx, tx, r) }},
		{"delete", func(ctx context.Context, tx vault.Tx) error { return w.remove(ctx, tx, w.anyDoc(r)) }},
		{"hand over", func(ctx context.Context, tx vault.Tx) error { return w.handOver(ctx, tx, r) }},
		{"upload", func(ctx context.Context, tx vault.Tx) error { return w.upload(ctx, tx, r) }},
		{"join", func(ctx context.Context, tx vault.Tx) error { return w.join(ctx, tx, r) }},
		{"join", func(ctx context.Context, tx vault.Tx) error { return w.join(ctx, tx, r) }},
		{"leave", func(ctx context.Context, tx vault.Tx) error { return w.leave(ctx, tx, r) }},
		{"make or delete a group", func(ctx context.Context, tx vault.Tx) error { return w.toggleGroup(ctx, tx, 1+r.IntN(walkGroups)) }},
		{"make or erase a person", func(ctx context.Context, tx vault.Tx) error { return w.togglePerson(ctx, tx, 1+r.IntN(walkers)) }},
	}
	update(t, db, func(ctx context.Context, tx vault.Tx) (err error) {
		for n := 1; n <= walkers; n++ {
			err = errors.Join(err, w.togglePerson(ctx, tx, n))
		}
		for n := 1; n <= walkGroups; n++ {
			err = errors.Join(err, w.toggleGroup(ctx, tx, n))
		}
		return err
	})
	compared := 0
	for range 400 {
		step := steps[r.IntN(len(steps))]
		update(t, db, step.do)
		if w.compare(t, db); t.Failed() {
			t.Fatalf("after: %s", step.name)
		}
		if len(w.docs) > 0 {
			compared++
		}
	}
	if compared == 0 {
		t.Error("there was never anything to compare")
	}
}

func (w *useWalk) compare(t *testing.T, db Database) {
	t.Helper()
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		for n := 1; n <= walkGroups; n++ {
			if !w.group[n] {
				continue
			}
			got, err := tx.Quotas().OfGroup(ctx, Group(n).ID)
			if err != nil {
				return err
			}
			equal(t, fmt.Sprintf("group %d", n), got.Used, w.use(func(p int) bool { return w.member[[2]int{n, p}] }))
		}
		for n := 1; n <= walkers; n++ {
			if !w.person[n] {
				continue
			}
			got, err := tx.Quotas().Bounds(ctx, Person(n).ID, stone.FileID{})
			if err != nil {
				return err
			}
			equal(t, fmt.Sprintf("person %d", n), got[0].Used, w.use(func(p int) bool { return p == n }))
		}
		return nil
	})
}

func (w *useWalk) anyPerson(r *rand.Rand) int {
	for {
		if n := 1 + r.IntN(walkers); w.person[n] {
			return n
		}
	}
}

// anyDoc is the number of a document, or 0 where there is none.
func (w *useWalk) anyDoc(r *rand.Rand) int {
	var all []int
	for n := range w.docs {
		all = append(all, n)
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[r.IntN(len(all))]
}

func (w *useWalk) number() int { w.next++; return w.next }

func (w *useWalk) put(ctx context.Context, tx vault.Tx, r *rand.Rand) error {
	n, owner := w.number(), w.anyPerson(r)
	node, version := File(n, Person(owner).ID, "", fmt.Sprint("file ", n))
	node.Size = r.Int64N(1000)
	version.Size = node.Size
	w.docs[n] = &walkDoc{owner, node, []vault.Version{version}}
	return InsertFile(ctx, tx, node, version)
}

func (w *useWalk) putAgain(ctx context.Context, tx vault.Tx, r *rand.Rand) error {
	d := w.docs[w.anyDoc(r)]
	if d == nil {
		return nil
	}
	v := d.versions[len(d.versions)-1]
	v.FileID, v.Number, v.Size = FileID(w.number()), v.Number+1, r.Int64N(1000)
	d.versions = append(d.versions, v)
	return tx.Versions().Insert(ctx, v)
}

func (w *useWalk) resize(ctx context.Context, tx vault.Tx, r *rand.Rand) error {
	d := w.docs[w.anyDoc(r)]
	if d == nil {
		return nil
	}
	v := &d.versions[len(d.versions)-1]
	v.Size, v.Revision = r.Int64N(1000), v.Revision+1
	return tx.Versions().Update(ctx, *v, v.Revision-1)
}

func (w *useWalk) remove(ctx context.Context, tx vault.Tx, n int) error {
	d := w.docs[n]
	if d == nil {
		return nil
	}
	delete(w.docs, n)
	return errors.Join(tx.Versions().DeleteOfDocument(ctx, d.node.ID), tx.Nodes().Delete(ctx, d.node.ID))
}

func (w *useWalk) handOver(ctx context.Context, tx vault.Tx, r *rand.Rand) error {
	d := w.docs[w.anyDoc(r)]
	if d == nil {
		return nil
	}
	was, to := d.owner, w.anyPerson(r)
	d.owner, d.node.Owner = to, Person(to).ID
	for i := range d.versions {
		v := &d.versions[i]
		v.Owner, v.Revision = d.node.Owner, v.Revision+1
		if err := tx.Versions().Give(ctx, *v, Person(was).ID, v.Revision-1); err != nil {
			return err
		}
	}
	return tx.Nodes().Give(ctx, d.node, Person(was).ID)
}

// upload begins an upload, brings one further, or ends one.
func (w *useWalk) upload(ctx context.Context, tx vault.Tx, r *rand.Rand) error {
	row := func(n int) vault.Upload {
		return vault.Upload{ID: FileID(n), Owner: Person(int(w.uploads[n][0])).ID, Path: "/u", Suite: identity.SuiteHybrid, Class: string(stone.ClassNormal),
			SealedKey: []byte{1}, Size: -1, Offset: w.uploads[n][1], CreatedAt: start, ExpiresAt: start, ModifiedAt: start}
	}
	for n, up := range w.uploads {
		if r.IntN(2) == 0 {
			delete(w.uploads, n)
			return tx.Uploads().Delete(ctx, FileID(n))
		}
		w.uploads[n] = [2]int64{up[0], up[1] + r.Int64N(1000)}
		return tx.Uploads().Update(ctx, row(n), up[1])
	}
	n := w.number()
	w.uploads[n] = [2]int64{int64(w.anyPerson(r)), r.Int64N(1000)}
	return tx.Uploads().Insert(ctx, row(n))
}

// join makes somebody a member of a group, its manager, or both, whatever he was in it.
func (w *useWalk) join(ctx context.Context, tx vault.Tx, r *rand.Rand) error {
	group, person, member := 1+r.IntN(walkGroups), w.anyPerson(r), r.IntN(3) > 0
	if !w.group[group] {
		return nil
	}
	w.member[[2]int{group, person}] = member
	return tx.Groups().Put(ctx, in(group, person, member, !member || r.IntN(2) == 0))
}

func (w *useWalk) leave(ctx context.Context, tx vault.Tx, r *rand.Rand) error {
	group, person := 1+r.IntN(walkGroups), w.anyPerson(r)
	if _, in := w.member[[2]int{group, person}]; !in {
		return nil
	}
	delete(w.member, [2]int{group, person})
	return tx.Groups().Remove(ctx, Group(group).ID, Person(person).ID)
}

func (w *useWalk) toggleGroup(ctx context.Context, tx vault.Tx, n int) error {
	if w.group[n] = !w.group[n]; w.group[n] {
		return tx.Groups().Insert(ctx, Group(n))
	}
	for p := 1; p <= walkers; p++ {
		delete(w.member, [2]int{n, p})
	}
	return tx.Groups().Delete(ctx, Group(n).ID)
}

// togglePerson makes a person, or erases one with all files and uploads; the groups are left with the account.
func (w *useWalk) togglePerson(ctx context.Context, tx vault.Tx, n int) error {
	if !w.person[n] {
		w.person[n] = true
		return tx.People().Insert(ctx, Person(n))
	}
	for i := 1; i <= walkers; i++ {
		if i != n && w.person[i] { // somebody stays
			w.person[n] = false
		}
	}
	if w.person[n] {
		return nil
	}
	for number, d := range w.docs {
		if d.owner == n {
			if err := w.remove(ctx, tx, number); err != nil {
				return err
			}
		}
	}
	for number, up := range w.uploads {
		if int(up[0]) == n {
			delete(w.uploads, number)
			if err := tx.Uploads().Delete(ctx, FileID(number)); err != nil {
				return err
			}
		}
	}
	for g := 1; g <= walkGroups; g++ {
		delete(w.member, [2]int{g, n})
	}
	return tx.People().Erase(ctx, Person(n).ID)
}
