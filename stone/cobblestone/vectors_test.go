package cobblestone

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"testing"

	"stonevault/internal/vectors"
)

// A vector's plaintext is pattern(PlaintextLength). Sealed is left out where it is long and can be made
// again, and then SealedSHA256 stands for it.
type vector struct {
	Name            string      `json:"name"`
	Expect          string      `json:"expect"` // a row of outcomes
	Key             vectors.Hex `json:"key"`
	Salt            vectors.Hex `json:"salt"`
	Context         vectors.Hex `json:"context"`
	PlaintextLength int         `json:"plaintext_length"`
	PlaintextSHA256 string      `json:"plaintext_sha256,omitempty"`
	Sealed          vectors.Hex `json:"sealed,omitempty"`
	SealedSHA256    string      `json:"sealed_sha256"`
	SealedLength    int         `json:"sealed_length"`
}

type vectorFile struct {
	Algorithm string   `json:"algorithm"`
	Plaintext string   `json:"plaintext"`
	Vectors   []vector `json:"vectors"`
}

var outcomes = map[string]error{
	"open":           nil,
	"reject":         ErrOpen, // the published file does not say which refusal
	"commitment":     ErrCommitment,
	"truncated":      ErrTruncated,
	"authentication": ErrAuthentication,
}

// check runs every vector and returns how many there were of each outcome.
func check(t *testing.T, raw []byte) map[string]int {
	t.Helper()
	var f vectorFile
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	ran := make(map[string]int)
	for _, v := range f.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			want, known := outcomes[v.Expect]
			if !known {
				t.Fatalf("unknown outcome %q", v.Expect)
			}
			plaintext := pattern(v.PlaintextLength)
			message := []byte(v.Sealed)
			if want == nil {
				made, err := Seal(nil, plaintext, v.Key, v.Salt, v.Context)
				if err != nil {
					t.Fatal(err)
				}
				if message != nil && !bytes.Equal(made, message) {
					t.Error("sealed differently")
				}
				if sum(plaintext) != v.PlaintextSHA256 {
					t.Error("the plaintext is not the one meant")
				}
				message = made
			}
			if len(message) != v.SealedLength || sum(message) != v.SealedSHA256 {
				t.Fatalf("%d bytes, digest %s: not the message meant", len(message), sum(message))
			}
			got, err := Open(nil, message, v.Key, v.Context)
			if !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
			if want == nil && !bytes.Equal(got, plaintext) {
				t.Error("opened to something else")
			}
			if want != nil && got != nil {
				t.Errorf("%d bytes were given out", len(got))
			}
		})
		ran[v.Expect]++
	}
	t.Logf("%d vectors: %v", len(f.Vectors), ran)
	return ran
}

func TestPublishedVectors(t *testing.T) {
	ran := check(t, vectors.Shared(t, "cobblestone256.json"))
	if ran["open"] != 26 || ran["reject"] != 13 {
		t.Errorf("ran %v, want 26 that open and 13 that are refused", ran)
	}
}

const goldenFile = "testdata/golden.json"

var update = flag.Bool("update", false, "write testdata/golden.json anew")

func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	raw, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	ran := check(t, raw)
	for expect := range outcomes {
		if expect != "reject" && ran[expect] == 0 {
			t.Errorf("no vector expects %q", expect)
		}
	}
}

func writeGolden(t *testing.T) {
	f := vectorFile{
		Algorithm: "Cobblestone-256",
		Plaintext: "byte i of a plaintext is (131*i + 17*(i>>8) + 7) mod 256",
	}
	add := func(name, expect string, n int, message []byte) {
		v := vector{
			Name: name, Expect: expect, Key: testKey, Salt: testSalt, Context: testContext,
			PlaintextLength: n, SealedLength: len(message), SealedSHA256: sum(message),
		}
		if expect == "open" {
			v.PlaintextSHA256 = sum(pattern(n))
		}
		if expect != "open" || len(message) < 512 {
			v.Sealed = message
		}
		f.Vectors = append(f.Vectors, v)
	}
	for _, c := range []struct {
		name string
		n    int
	}{
		{"empty", 0}, {"one byte", 1}, {"200 bytes", 200},
		{"one byte less than a chunk", ChunkSize - 1}, {"one chunk", ChunkSize},
		{"one byte more than a chunk", ChunkSize + 1}, {"1 MiB", 1 << 20},
	} {
		add(c.name, "open", c.n, mustSeal(t, pattern(c.n)))
	}

	small := mustSeal(t, pattern(40))
	flip := func(at int) []byte {
		b := bytes.Clone(small)
		b[at] ^= 0x80
		return b
	}
	add("salt changed", "commitment", 40, flip(0))
	add("commitment changed", "commitment", 40, flip(SaltSize))
	add("ciphertext changed", "authentication", 40, flip(HeaderSize))
	add("tag changed", "authentication", 40, flip(len(small)-1))
	add("cut by one byte", "authentication", 40, small[:len(small)-1])
	add("one byte appended", "authentication", 40, append(bytes.Clone(small), 0))
	add("cut inside the tag", "truncated", 40, small[:HeaderSize+TagSize-1])
	add("header alone", "truncated", 40, small[:HeaderSize])
	add("cut inside the header", "truncated", 40, small[:HeaderSize-1])
	add("nothing", "truncated", 40, []byte{})
	full := mustSeal(t, pattern(ChunkSize))
	add("empty last chunk removed", "truncated", ChunkSize, full[:HeaderSize+SealedChunkSize])
	add("empty last chunk alone", "authentication", ChunkSize,
		append(bytes.Clone(full[:HeaderSize]), full[HeaderSize+SealedChunkSize:]...))

	out, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goldenFile, append(out, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestSalamander shows why there is a commitment: AES-GCM opens one ciphertext under two keys, so that
// one message could say two things to two people. A Cobblestone message can't.
func TestSalamander(t *testing.T) {
	var v struct{ Key1, Key2, Nonce, Pt1, Pt2, Sealed vectors.Hex }
	if err := json.Unmarshal(vectors.Shared(t, "salamander_vector.json"), &v); err != nil {
		t.Fatal(err)
	}
	sides := []struct{ key, plaintext []byte }{{v.Key1, v.Pt1}, {v.Key2, v.Pt2}}
	if bytes.Equal(v.Key1, v.Key2) || bytes.Equal(v.Pt1, v.Pt2) {
		t.Fatal("the vector does not have two sides")
	}

	var message [2][]byte
	for i, side := range sides {
		// Without a commitment, the chunk would open under both keys to different plaintexts.
		bare := &Opener{keys: keys{aead: mustGCM(t, side.key), base: [nonceSize]byte(v.Nonce)}, last: len(v.Sealed)}
		got, err := bare.OpenChunk(nil, v.Sealed, 0)
		if err != nil || !bytes.Equal(got, side.plaintext) {
			t.Fatalf("AES-GCM under key %d: %v", i+1, err)
		}
		k, err := NewKey(side.key)
		if err != nil {
			t.Fatal(err)
		}
		own, err := k.derive(testSalt, nil)
		if err != nil {
			t.Fatal(err)
		}
		message[i] = append(append(bytes.Clone(testSalt), own.commitment[:]...), v.Sealed...)
	}
	for i := range sides {
		if _, err := Open(nil, message[i], sides[1-i].key, nil); !errors.Is(err, ErrCommitment) {
			t.Errorf("committed to key %d, opened under the other: %v", i+1, err)
		}
		if _, err := Open(nil, message[i], sides[i].key, nil); !errors.Is(err, ErrOpen) {
			t.Errorf("committed to key %d, opened under it: %v", i+1, err)
		}
	}
}
