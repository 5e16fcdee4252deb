package main

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path"
	"sync"
	"testing"
	"time"
)

// announcer announces uploads, each with a key of its own, and remembers what it was told.
type announcer struct {
	n, next int
	told    map[int]string // the places, by the number of the upload
}

// announce asks for the n-th upload, again or for the first time.
func (a *announcer) announce(c *client, n int) error {
	name := fmt.Sprintf("/of-%d/%d", a.n, n)
	r, err := c.do("POST", "/api/v1/uploads", nil, http.Header{
		"Tus-Resumable": {"1.0.0"}, "Upload-Length": {"10"}, "Idempotency-Key": {`"` + name + `"`},
		"Upload-Metadata": {"path " + base64.StdEncoding.EncodeToString([]byte(name))},
	})
	if err != nil {
		return err
	}
	place := r.header.Get("Location")
	if before, ok := a.told[n]; r.status != http.StatusCreated || place == "" || ok && place != before {
		c.t.Errorf("upload %s is at %s, and was at %s: %d %s", name, place, before, r.status, r.body)
	}
	a.told[n] = place
	return nil
}

// TestKillRetries kills the server while four clients make things with keys. Whatever was under way is asked for again
// after the restart, as what was answered is: each key has made one thing, at one place.
func TestKillRetries(t *testing.T) {
	kills := 5
	if torture() {
		kills = 100
	}
	data := t.TempDir() + "/data"
	makeVault(t, data)
	announcers := make([]*announcer, 4)
	for i := range announcers {
		announcers[i] = &announcer{n: i, told: map[int]string{}}
	}
	const most = 900 / 4 // a person has at most 1,000 uploads in progress
	var ann *client
	for range kills {
		p := start(t, data)
		ann = signIn(t, p.addr, "ann")
		var working sync.WaitGroup
		for _, a := range announcers {
			working.Go(func() {
				for n := max(0, a.next-2); n < a.next; n++ { // also what was answered
					if a.announce(ann, n) != nil {
						return
					}
				}
				for ; a.next < most && a.announce(ann, a.next) == nil; a.next++ {
					time.Sleep(time.Millisecond)
				}
			})
		}
		time.Sleep(time.Duration(50+rand.IntN(300)) * time.Millisecond)
		p.kill()
		working.Wait()
		ann.http.CloseIdleConnections()
	}
	p := start(t, data)
	ann = signIn(t, p.addr, "ann")
	places, all := map[string]string{}, 0
	for _, a := range announcers {
		for n := range min(a.next+1, most) { // the last one may have been made, and not told of
			check(t, a.announce(ann, n))
			all++
			places[path.Base(a.told[n])] = fmt.Sprintf("/of-%d/%d", a.n, n)
		}
	}
	for _, u := range ann.uploads() {
		if places[u.ID] != u.Path {
			t.Errorf("%s is %s, and %q was told of", u.ID, u.Path, places[u.ID])
		}
		delete(places, u.ID)
	}
	if len(places) != 0 {
		t.Errorf("these are told of, and not there: %v", places)
	}
	if all < kills {
		t.Errorf("only %d uploads were announced", all)
	}
	t.Logf("%d kills, %d uploads", kills, all)
}
