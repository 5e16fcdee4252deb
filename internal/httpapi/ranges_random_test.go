package httpapi

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"stonevault/api"
)

// lines is n bytes that compress well and of which no two lines are the same.
func lines(n int) []byte {
	b := make([]byte, 0, n+64)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%08d speak, friend, and enter %x\n", i, i*i)
	}
	return b[:n]
}

// patchwork is a file of which each letter is a segment, or what is left of one: r is noise, which is kept raw, z
// is text, and h is half of each, which are kept compressed.
func patchwork(letters string, size int) []byte {
	noise, text := noise(size), lines(size)
	b := make([]byte, 0, size)
	for i, letter := range letters {
		start, end := i*segment, min((i+1)*segment, size)
		half := map[rune]int{'r': end, 'z': start, 'h': (start + end) / 2}[letter]
		b = append(append(b, noise[start:half]...), text[half:end]...)
	}
	return b
}

// encodings reads off a stored body which of its segments are raw and which are compressed.
func (w *world) encodings(fileID string, segments int) string {
	w.t.Helper()
	b, err := os.ReadFile(w.object(fileID + ".body"))
	if err != nil {
		w.t.Fatal(err)
	}
	const row = 4 + 4 + 1 + 32 // two lengths, the encoding and SHA-256: docs/spec/stone.md
	index := b[len(b)-segments*row:]
	var letters strings.Builder
	for i := range segments {
		letters.WriteByte("rz"[index[i*row+8]])
	}
	return letters.String()
}

// span is a stretch of a file; end is exclusive.
type span struct{ start, end int }

// asker makes Range headers for a file of size bytes, and knows what each is to give.
type asker struct {
	*rand.Rand
	size  int
	asked map[string]int // by kind
}

// position is anywhere in the file, and often beside a segment's edge.
func (a *asker) position() int {
	at := a.IntN(a.size)
	if a.IntN(3) == 0 {
		at = a.IntN(a.size/segment+1)*segment + a.IntN(7) - 3
	}
	return min(max(at, 0), a.size-1)
}

// length is short more often than long, up to a few segments.
func (a *asker) length() int { return 1 + a.IntN(1<<a.IntN(23)) }

func (a *asker) closed(length int) (text string, inside []span) {
	a.asked["closed"]++
	start := a.position()
	end := min(start+length, a.size)
	return fmt.Sprintf("%d-%d", start, end-1), []span{{start, end}}
}

// spec is one range; one that lies outside of the file gives nothing.
func (a *asker) spec() (text string, inside []span) {
	n := a.length()
	last := max(a.size-n, 0)
	switch kind := a.IntN(16); {
	case kind < 8:
		return a.closed(n)
	case kind < 10:
		a.asked["beyond the end"]++
		return fmt.Sprintf("%d-%d", last, a.size+a.IntN(2*segment)), []span{{last, a.size}}
	case kind < 12:
		a.asked["open"]++
		if a.IntN(4) == 0 {
			last = a.position()
		}
		return fmt.Sprintf("%d-", last), []span{{last, a.size}}
	case kind < 14:
		a.asked["suffix"]++
		return fmt.Sprintf("-%d", n), []span{{last, a.size}}
	case kind < 15:
		a.asked["suffix of all or more"]++
		return fmt.Sprintf("-%d", a.size-1+n), []span{{0, a.size}}
	}
	a.asked["outside"]++
	return []string{fmt.Sprintf("%d-", a.size+n-1), fmt.Sprintf("%d-%d", a.size, a.size+n), "-0"}[a.IntN(3)], nil
}

// next is a header and the stretches that it is to give; none at all stands for a refusal.
func (a *asker) next() (header string, want []span) {
	var specs []string
	add := func(text string, inside []span) { specs, want = append(specs, text), append(want, inside...) }
	switch dice := a.IntN(60); {
	case dice == 0: // as many as there may be, and one less or more
		for range maxRanges - 1 + a.IntN(3) {
			add(a.closed(1 + a.IntN(100)))
		}
		a.asked["many parts"]++
	case dice < 20:
		for range 2 + a.IntN(7) {
			add(a.spec())
		}
		a.asked["several parts"]++
	default:
		add(a.spec())
	}
	sum := 0
	for _, s := range want {
		sum += s.end - s.start
	}
	if sum > a.size || len(want) > maxRanges {
		a.asked["too much"]++
		want = nil
	}
	return "bytes=" + strings.Join(specs, []string{",", ", "}[a.IntN(2)]), want
}

// compareRanges tells what is wrong with the answer to a request for stretches of body.
func compareRanges(a *answer, body []byte, want []span) error {
	contentRange := func(s span) string { return fmt.Sprintf("bytes %d-%d/%d", s.start, s.end-1, len(body)) }
	got := a.Header.Get("Content-Range")
	switch {
	case a.err != nil:
		return a.err
	case len(want) == 0:
		if a.StatusCode != http.StatusRequestedRangeNotSatisfiable || got != fmt.Sprintf("bytes */%d", len(body)) {
			return fmt.Errorf("status %d, Content-Range %q, for what cannot be had", a.StatusCode, got)
		}
		return nil
	case a.StatusCode != http.StatusPartialContent || a.ContentLength != int64(len(a.body)):
		return fmt.Errorf("status %d, %d bytes, %d announced", a.StatusCode, len(a.body), a.ContentLength)
	case len(want) == 1:
		if got != contentRange(want[0]) || !bytes.Equal(a.body, body[want[0].start:want[0].end]) {
			return fmt.Errorf("%d bytes of Content-Range %q are not those of %v", len(a.body), got, want[0])
		}
		return nil
	}
	mediaType, params, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/byteranges" {
		return fmt.Errorf("Content-Type %q (%v)", a.Header.Get("Content-Type"), err)
	}
	parts := multipart.NewReader(bytes.NewReader(a.body), params["boundary"])
	for i, s := range want {
		part, err := parts.NextPart()
		if err != nil {
			return fmt.Errorf("part %d: %w", i, err)
		}
		b, err := io.ReadAll(part)
		if got := part.Header.Get("Content-Range"); err != nil || got != contentRange(s) || !bytes.Equal(b, body[s.start:s.end]) {
			return fmt.Errorf("part %d: %d bytes of Content-Range %q are not those of %v (%v)", i, len(b), got, s, err)
		}
	}
	if _, err := parts.NextPart(); err != io.EOF {
		return fmt.Errorf("after the last part: %v", err)
	}
	return nil
}

// TestRandomRanges compares what Range requests of every form give with the same slices of the original.
func TestRandomRanges(t *testing.T) {
	requests := 500
	if os.Getenv("STONEVAULT_TORTURE") == "1" {
		requests = 10_000
	} else {
		t.Logf("%d of 10,000 requests; all of them with STONEVAULT_TORTURE=1", requests)
	}
	w := newWorld(t)
	const size = 6*segment + 400_001
	stones := []struct {
		name, letters, kept string
		class               api.Class
		file                api.File
		body                []byte
		ask                 *asker
	}{
		{name: "raw", letters: "rrrrrrr", kept: "rrrrrrr", class: api.ClassNormal},
		{name: "compressed", letters: "zzzzzzz", kept: "zzzzzzz", class: api.ClassNormal},
		{name: "mixed", letters: "zrrzhrz", kept: "zrrzzrz", class: api.ClassNormal},
		{name: "padded", letters: "zrzrzrz", kept: "rrrrrrr", class: api.ClassRestricted},
	}
	for i := range stones {
		s := &stones[i]
		s.body = patchwork(s.letters, size)
		s.ask = &asker{Rand: rand.New(rand.NewPCG(3, uint64(i))), size: size, asked: map[string]int{}}
		a := w.do("owner", "PUT", "/api/v1/content/ranges/"+s.name, s.body, "Content-Type: text/plain", "Stonevault-Class: "+string(s.class))
		if a.StatusCode != http.StatusCreated {
			t.Fatalf("put %s: %d %s", s.name, a.StatusCode, a.body)
		}
		s.file = decode[api.File](t, a)
		if kept := w.encodings(s.file.FileID, len(s.kept)); kept != s.kept {
			t.Fatalf("the segments of %s are kept as %s, want %s", s.name, kept, s.kept)
		}
	}
	const batch = 500 // takes less time than an access token lasts
	for done := 0; done < requests; done += batch {
		delete(w.tokens, "owner")
		w.token("owner")
		var all sync.WaitGroup
		for _, s := range stones {
			all.Go(func() {
				for range batch/3 + 1 { // the padded one comes on top
					target := "/api/v1/content" + s.file.Path
					if s.ask.IntN(2) == 0 {
						target = "/api/v1/files/" + s.file.ID + "/content"
					}
					header, want := s.ask.next()
					if err := compareRanges(w.do("owner", "GET", target, nil, "Range: "+header), s.body, want); err != nil {
						t.Errorf("%s: %.300s: %v", s.name, header, err)
					}
				}
			})
		}
		all.Wait()
	}
	for _, s := range stones {
		t.Logf("%s: %v", s.name, s.ask.asked)
		for _, kind := range []string{
			"closed", "beyond the end", "open", "suffix", "suffix of all or more", "outside", "several parts", "many parts", "too much",
		} {
			if s.ask.asked[kind] == 0 {
				t.Errorf("%s: nothing of the kind %q was asked for", s.name, kind)
			}
		}
	}
}
