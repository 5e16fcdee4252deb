package metadb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/internal/metadb/metadbtest"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// benchDir is on a disk, which a temporary directory need not be: set STONEVAULT_BENCH_DIR to choose it.
func benchDir(b *testing.B) string {
	dir, err := os.MkdirTemp(os.Getenv("STONEVAULT_BENCH_DIR"), "metadb-bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// scatter makes ids that lie as random ones do.
func scatter(n int64) (id stone.FileID) {
	binary.BigEndian.PutUint64(id[:8], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

func benchFile(n int64, owner vault.PersonID, parent vault.NodeID) (vault.Node, vault.Version) {
	node, version := metadbtest.File(0, owner, parent, fmt.Sprintf("file %d.txt", n))
	version.FileID = scatter(n)
	version.Document = vault.NodeID(scatter(n ^ 0x5555).String())
	version.Size = n * 7919 % 100_000
	version.MediaType = [...]string{"text/plain", "image/png", "image/jpeg", "application/pdf"}[n%4]
	version.ModifiedAt = version.ModifiedAt.Add(time.Duration(n*104_729%1_000_000) * time.Second)
	node.ID, node.Current = version.Document, version.FileID
	node.Size, node.MediaType, node.ModifiedAt = version.Size, version.MediaType, version.ModifiedAt
	node.CreatedAt = node.CreatedAt.Add(time.Duration(n) * time.Millisecond)
	return node, version
}

func benchOwner(b testing.TB, db *DB) vault.PersonID {
	p := metadbtest.Person(1)
	if err := db.Update(b.Context(), func(tx vault.Tx) error { return tx.People().Insert(b.Context(), p) }); err != nil {
		b.Fatal(err)
	}
	return p.ID
}

// BenchmarkPut is what a durable put asks of the database: an intent, and then the rows of the file.
func BenchmarkPut(b *testing.B) {
	for _, goroutines := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			db := open(b, filepath.Join(benchDir(b), "vault.db"))
			owner := benchOwner(b, db)
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range goroutines {
				wg.Go(func() {
					ctx, cancel := context.WithCancel(b.Context()) // as a request has
					defer cancel()
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						node, version := benchFile(n, owner, "")
						err := db.Update(ctx, func(tx vault.Tx) error {
							return tx.Intents().Insert(ctx, vault.Intent{FileID: version.FileID, Kind: vault.IntentPut, CreatedAt: node.CreatedAt})
						})
						if err == nil {
							err = db.Update(ctx, func(tx vault.Tx) error {
								if err := metadbtest.InsertFile(ctx, tx, node, version); err != nil {
									return err
								}
								return tx.Intents().Delete(ctx, version.FileID)
							})
						}
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
		})
	}
}

// BenchmarkLookup is what a get asks: a path of two names and the version at its end.
func BenchmarkLookup(b *testing.B) {
	db := open(b, filepath.Join(benchDir(b), "vault.db"))
	owner, folder := fill(b, db, 10_000)
	b.ResetTimer()
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		for pb.Next() {
			name := fmt.Sprintf("file %d.txt", next.Add(1)%10_000+1)
			err := db.View(ctx, func(tx vault.Tx) error {
				n, err := tx.Nodes().Child(ctx, owner, "", "folder")
				if err != nil || n.ID != folder {
					return fmt.Errorf("folder: %w", err)
				}
				if n, err = tx.Nodes().Child(ctx, owner, folder, name); err != nil {
					return err
				}
				_, err = tx.Versions().ByID(ctx, n.Current)
				return err
			})
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// fill puts files into one folder.
func fill(b testing.TB, db *DB, files int64) (vault.PersonID, vault.NodeID) {
	owner := benchOwner(b, db)
	folder := metadbtest.Folder(1, owner, "", "folder")
	err := db.Update(b.Context(), func(tx vault.Tx) error { return tx.Nodes().Insert(b.Context(), folder) })
	for from := int64(0); err == nil && from < files; from += 5000 {
		err = db.Update(b.Context(), func(tx vault.Tx) error {
			for n := from + 1; n <= min(from+5000, files); n++ {
				node, version := benchFile(n, owner, folder.ID)
				if err := metadbtest.InsertFile(b.Context(), tx, node, version); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		b.Fatal(err)
	}
	return owner, folder.ID
}

// BenchmarkList compares page 1 with page 100 of a folder of 100,000 files, for every sort field.
func BenchmarkList(b *testing.B) {
	db := open(b, filepath.Join(benchDir(b), "vault.db"))
	owner, folder := fill(b, db, 100_000)
	list := func(q vault.ListQuery) (page []vault.Entry) {
		err := db.View(b.Context(), func(tx vault.Tx) (err error) {
			page, err = tx.Nodes().List(b.Context(), q)
			return err
		})
		if err != nil || len(page) != q.Limit {
			b.Fatalf("%d entries, %v", len(page), err)
		}
		return page
	}
	for _, field := range []vault.SortField{vault.SortName, vault.SortSize, vault.SortMediaType, vault.SortModifiedAt, vault.SortCreatedAt} {
		for _, descending := range []bool{false, true} {
			q := vault.ListQuery{Owner: owner, Folder: folder, Sort: []vault.SortKey{{Field: field, Descending: descending}}, Limit: 100}
			deep := q
			deep.Limit = 99 * 100
			last := list(deep)[deep.Limit-1].Node
			deep.Limit = 100
			deep.After = []any{map[vault.SortField]any{
				vault.SortName: last.Name, vault.SortSize: last.Size, vault.SortMediaType: last.MediaType,
				vault.SortModifiedAt: last.ModifiedAt.UnixMilli(), vault.SortCreatedAt: last.CreatedAt.UnixMilli(),
			}[field], string(last.ID)}
			for name, q := range map[string]vault.ListQuery{"page=1": q, "page=100": deep} {
				b.Run(fmt.Sprintf("%s/descending=%v/%s", field, descending, name), func(b *testing.B) {
					for b.Loop() {
						list(q)
					}
				})
			}
		}
	}
}

// BenchmarkGroupBounds is what a put asks of a group's quota, with 10,000 members and as many uploads in progress as said.
func BenchmarkGroupBounds(b *testing.B) {
	const members = 10_000
	db := open(b, filepath.Join(benchDir(b), "meta.db"))
	uploads, put := 0, 0
	person := func(n int) vault.PersonID { return metadbtest.Person(n).ID }
	update := func(fn func(tx vault.Tx) error) {
		b.Helper()
		if err := db.Update(b.Context(), fn); err != nil {
			b.Fatal(err)
		}
	}
	group := metadbtest.Group(1)
	update(func(tx vault.Tx) error {
		err := errors.Join(tx.Groups().Insert(b.Context(), group), tx.Quotas().SetGroup(b.Context(), group.ID, vault.Limits{Bytes: 1 << 50, Files: 1 << 30}))
		for n := 1; n <= members && err == nil; n++ {
			node, version := benchFile(int64(n), person(n), "")
			err = errors.Join(tx.People().Insert(b.Context(), metadbtest.Person(n)), metadbtest.InsertFile(b.Context(), tx, node, version),
				tx.Groups().Put(b.Context(), vault.Membership{Group: group.ID, Person: person(n), Member: true, Since: node.CreatedAt}))
		}
		return err
	})
	for _, total := range []int{0, 1000} {
		update(func(tx vault.Tx) (err error) {
			for ; uploads < total && err == nil; uploads++ {
				err = tx.Uploads().Insert(b.Context(), vault.Upload{
					ID: scatter(int64(uploads + 1)), Owner: person(1 + uploads*7%members), Path: "/u", Class: string(stone.ClassNormal), Suite: identity.SuiteHybrid, SealedKey: make([]byte, 100),
					Size: -1, Offset: 1000, CreatedAt: group.CreatedAt, ExpiresAt: group.CreatedAt, ModifiedAt: group.CreatedAt,
				})
			}
			return err
		})
		b.Run(fmt.Sprintf("bounds/uploads=%d", total), func(b *testing.B) {
			for b.Loop() {
				if err := db.View(b.Context(), func(tx vault.Tx) error {
					_, err := tx.Quotas().Bounds(b.Context(), person(5), stone.FileID{})
					return err
				}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	// What the rows of a put cost where a group's sums are kept along with them.
	for name, owner := range map[string]vault.PersonID{"a member's": person(5), "a stranger's": person(members + 1)} {
		if owner == person(members+1) {
			update(func(tx vault.Tx) error { return tx.People().Insert(b.Context(), metadbtest.Person(members+1)) })
		}
		b.Run("put/"+name, func(b *testing.B) {
			for b.Loop() {
				put++
				node, version := benchFile(int64(members+put), owner, "")
				update(func(tx vault.Tx) error { return metadbtest.InsertFile(b.Context(), tx, node, version) })
			}
		})
	}
}
