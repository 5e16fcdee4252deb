package audit_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"math"
	"testing"
	"unicode/utf8"

	"stonevault/audit"
	"stonevault/stone/canonical"
)

// samePayloads commits to an event, and demands that the fields of each opening are written as the general
// writer of canonical JSON writes them.
func samePayloads(t *testing.T, e audit.Event) {
	t.Helper()
	r, err := e.Commit(randomness(12))
	if err != nil {
		t.Fatalf("%v: %v", e, err)
	}
	for slot, values := range []audit.Values{e.Operational, e.Actor, e.Subject} {
		o := r.Openings[slot]
		if values == nil {
			if slot > 0 && o != nil {
				t.Errorf("%s: an empty slot has an opening", e.Type)
			}
			continue
		}
		want, err := canonical.Marshal(map[string]any(values))
		if err != nil {
			t.Fatal(err)
		}
		got := []byte(o[audit.SaltSize:])
		if audit.Slot(slot) == audit.Operational {
			got = got[1:] // which slots are filled
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s, %s: written %s, and should be %s", e.Type, audit.Slot(slot), got, want)
		}
	}
}

// TestPayloads: every row, with values that are easily written in another way.
func TestPayloads(t *testing.T) {
	hostile := []string{"", "\x00\b\t\n\f\r\x1f\x7f", "\"\\/<>&", "\u2028\u2029\ufeff\ufffd", "é\U0010ffff"}
	counts := []int64{0, 1, 10, 999, math.MaxInt32 + 1, 1e15, audit.MaxCount - 1, audit.MaxCount}
	for _, d := range audit.Definitions() {
		for n := range counts {
			e := sample(d)
			for slot, values := range []audit.Values{e.Operational, e.Actor, e.Subject} {
				for i, f := range d.Fields[slot] {
					switch {
					case f.Kind == audit.Text && f.Among == nil:
						if s := hostile[(n+i)%len(hostile)]; len(s) <= f.Max {
							values[f.Name] = s
						}
					case f.Kind == audit.Count:
						values[f.Name] = counts[(n+i)%len(counts)]
						if n == 0 {
							values[f.Name] = i // an int is taken too
						}
					case f.Kind == audit.Flag:
						values[f.Name] = n%2 == 0
					}
				}
			}
			samePayloads(t, e)
		}
	}
}

// FuzzPayload: whatever the values are, they are written as the general writer does.
func FuzzPayload(f *testing.F) {
	f.Add("laptop", "/a/b", int64(1), true, int64(7))
	f.Add("\x00\x1f\"\\", "\u2028<\U0001f600", int64(audit.MaxCount), false, int64(audit.MaxSize))
	f.Fuzz(func(t *testing.T, client, path string, n int64, flag bool, part int64) {
		e := put(1)
		e.Type = audit.FileExported
		e.Operational = audit.Values{"file": "", "document": "", "version": n, "download": "", "manifest": "", "recipients": n / 3, "passphrase": flag}
		e.Actor = audit.Values{"person": "", "name": path, "session": "", "client": client, "address": ""}
		e.Subject = audit.Values{"person": "", "path": path}
		list := erasure(e.Actor, part/2, part)
		for _, e := range []audit.Event{e, list} {
			if _, err := e.Commit(randomness(12)); err != nil {
				if utf8.ValidString(client) && utf8.ValidString(path) && len(client) <= 200 && len(path) <= 255 &&
					n >= 0 && n <= audit.MaxCount && part > 0 && part < 2*audit.MaxSize {
					t.Fatalf("%v: %v", e, err)
				}
				continue
			}
			samePayloads(t, e)
		}
	})
}

// TestCommitment: a commitment is the HMAC that the specification says, whatever the length of what is hidden.
func TestCommitment(t *testing.T) {
	r := randomness(13)
	header := make([]byte, audit.LeafSize)
	r.Read(header)
	var lengths []int
	for n := range 700 {
		lengths = append(lengths, n)
	}
	for slot, label := range []string{"operational", "actor", "subject"} {
		for _, n := range append(lengths, audit.MaxPayload, audit.MaxPayload+1) {
			o := make(audit.Opening, audit.SaltSize+n)
			r.Read(o)
			mac := hmac.New(sha256.New, o[:audit.SaltSize])
			mac.Write([]byte("stonevault.v1/audit/" + label))
			mac.Write(header[:12])
			mac.Write(o[audit.SaltSize:])
			if got := audit.Commitment(audit.Slot(slot), header, o); !bytes.Equal(got[:], mac.Sum(nil)) {
				t.Errorf("%s, %d bytes: %x", label, n, got)
			}
		}
	}
}
