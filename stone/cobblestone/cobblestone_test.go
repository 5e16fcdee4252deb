package cobblestone

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"testing"
)

var (
	testKey     = sequence(KeySize, 0xa0)
	testSalt    = sequence(SaltSize, 0x40)
	testContext = []byte("a context")
)

func sequence(n int, from byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = from + byte(i)
	}
	return b
}

// pattern is the plaintext that the vectors use.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(131*i + 17*(i>>8) + 7)
	}
	return b
}

func mustSeal(t testing.TB, plaintext []byte) []byte {
	t.Helper()
	message, err := Seal(nil, plaintext, testKey, testSalt, testContext)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

var lengths = []int{
	0, 1, 15, 16, 17, 255,
	ChunkSize - 1, ChunkSize, ChunkSize + 1,
	2*ChunkSize - 1, 2 * ChunkSize, 2*ChunkSize + 1,
	1<<20 - 1, 1 << 20, 1<<20 + 1,
}

func TestRoundTrip(t *testing.T) {
	for _, n := range lengths {
		plaintext := pattern(n)
		message := mustSeal(t, plaintext)
		if len(message) != SealedSize(n) {
			t.Errorf("%d bytes: the message has %d bytes, SealedSize says %d", n, len(message), SealedSize(n))
		}
		if got, err := PlaintextSize(len(message)); err != nil || got != n {
			t.Errorf("%d bytes: PlaintextSize says %d, %v", n, got, err)
		}
		got, err := Open(nil, message, testKey, testContext)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%d bytes: came back different, %v", n, err)
		}
	}
}

// TestByHand builds messages from HMAC and AES-GCM alone, line by line from the specification.
func TestByHand(t *testing.T) {
	info := []byte("c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00")
	info = append(append(info, testSalt...), testContext...)
	var okm, block []byte
	for i := byte(1); i <= 2; i++ {
		mac := hmac.New(sha512.New, testKey)
		mac.Write(block)
		mac.Write(info)
		mac.Write([]byte{i})
		block = mac.Sum(nil)
		okm = append(okm, block...)
	}
	key, base, commitment := okm[:32], okm[32:44], okm[44:76]
	c, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range lengths {
		plaintext := pattern(n)
		want := append(append([]byte(nil), testSalt...), commitment...)
		for i := 0; ; i++ {
			nonce := make([]byte, 12)
			binary.BigEndian.PutUint32(nonce[8:], uint32(i))
			for j := range nonce {
				nonce[j] ^= base[j]
			}
			from := i * 16384
			if len(plaintext)-from < 16384 {
				want = gcm.Seal(want, nonce, plaintext[from:], nil)
				break
			}
			want = gcm.Seal(want, nonce, plaintext[from:from+16384], nil)
		}
		if got := mustSeal(t, plaintext); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: sealed differently", n)
		}
	}
}

// TestKey has one key used by many goroutines, with contexts of every length, and holds what is derived against
// the standard library's HKDF.
func TestKey(t *testing.T) {
	k, err := NewKey(testKey)
	if err != nil {
		t.Fatal(err)
	}
	plaintext := pattern(300)
	var all sync.WaitGroup
	for n := range 300 {
		all.Go(func() {
			context := pattern(n)
			message, err := k.Seal(nil, plaintext, testSalt, context)
			if err != nil {
				t.Error(err)
				return
			}
			want, err := Seal(nil, plaintext, testKey, testSalt, context)
			if err != nil || !bytes.Equal(message, want) {
				t.Errorf("a context of %d bytes: sealed differently, %v", n, err)
			}
			okm, err := hkdf.Expand(sha512.New, testKey, string(label)+string(testSalt)+string(context), 76)
			if err != nil || !bytes.Equal(message[SaltSize:HeaderSize], okm[44:]) {
				t.Errorf("a context of %d bytes: another commitment, %v", n, err)
			}
			if got, err := k.Open(nil, message, context); err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("a context of %d bytes: came back different, %v", n, err)
			}
			if _, err := k.Open(nil, message, append(context, 0)); !errors.Is(err, ErrCommitment) {
				t.Errorf("a context of %d bytes and another: %v", n, err)
			}
		})
	}
	all.Wait()
	for _, n := range []int{0, KeySize - 1, KeySize + 1} {
		if _, err := NewKey(make([]byte, n)); !errors.Is(err, ErrParameter) {
			t.Errorf("a key of %d bytes: %v", n, err)
		}
	}
}

func TestAppends(t *testing.T) {
	plaintext := pattern(ChunkSize + 5)
	prefix := []byte("before")
	message, err := Seal(bytes.Clone(prefix), plaintext, testKey, testSalt, testContext)
	if err != nil || !bytes.HasPrefix(message, prefix) {
		t.Fatalf("Seal lost the prefix: %v", err)
	}
	got, err := Open(bytes.Clone(prefix), message[len(prefix):], testKey, testContext)
	if err != nil || !bytes.Equal(got, append(prefix, plaintext...)) {
		t.Fatalf("Open lost the prefix: %v", err)
	}

	room := make([]byte, 0, SealedSize(len(plaintext)))
	message, _ = Seal(room, plaintext, testKey, testSalt, testContext)
	if &message[0] != &room[:1][0] {
		t.Error("Seal moved a buffer that was large enough")
	}
	room = make([]byte, 0, len(plaintext)+TagSize)
	got, _ = Open(room, message, testKey, testContext)
	if &got[0] != &room[:1][0] {
		t.Error("Open moved a buffer that was large enough")
	}
}

func TestInPlace(t *testing.T) {
	for _, n := range append([]int{64 * ChunkSize, 64*ChunkSize + 1}, lengths...) {
		plaintext, want := pattern(n), mustSeal(t, pattern(n))
		room := append(make([]byte, SealedSize(n)-n), plaintext...)
		got, err := Seal(room[:0], room[len(room)-n:], testKey, testSalt, testContext)
		if err != nil || !bytes.Equal(got, want) || &got[0] != &room[0] {
			t.Fatalf("%d bytes: sealed in place, the message differs: %v", n, err)
		}
		if n > 0 {
			cut := bytes.Clone(got)
			cut[len(cut)-1] ^= 1
			if opened, err := Open(cut[:0], cut, testKey, testContext); opened != nil || !errors.Is(err, ErrAuthentication) {
				t.Errorf("%d bytes: a wrong last tag: %v", n, err)
			}
			if end := min(n, ChunkSize); bytes.Contains(cut, plaintext[:end]) {
				t.Errorf("%d bytes: a refused message has left plaintext", n)
			}
		}
		opened, err := Open(got[:0], got, testKey, testContext)
		if err != nil || !bytes.Equal(opened, plaintext) || n > 0 && &opened[0] != &room[0] {
			t.Errorf("%d bytes: opened in place, the plaintext differs: %v", n, err)
		}
	}
}

func TestEveryBit(t *testing.T) {
	for _, n := range []int{0, 100} {
		message := mustSeal(t, pattern(n))
		for bit := range len(message) * 8 {
			flipped := bytes.Clone(message)
			flipped[bit/8] ^= 1 << (bit % 8)
			want := ErrAuthentication
			if bit/8 < HeaderSize {
				want = ErrCommitment
			}
			if got, err := Open(nil, flipped, testKey, testContext); got != nil || !errors.Is(err, want) {
				t.Errorf("%d bytes, bit %d flipped: %v, %v; want %v", n, bit, got, err, want)
			}
		}
	}
}

func TestEveryLength(t *testing.T) {
	message := mustSeal(t, pattern(2*ChunkSize))
	for n := range len(message) {
		want := ErrAuthentication
		if n < HeaderSize || (n-HeaderSize)%SealedChunkSize < TagSize {
			want = ErrTruncated
		}
		if n > HeaderSize+TagSize && n < len(message)-TagSize-1 && n%97 != 0 && want == ErrAuthentication {
			continue // decrypting for each of 32,872 lengths says no more than for some
		}
		if got, err := Open(nil, message[:n], testKey, testContext); got != nil || !errors.Is(err, want) {
			t.Errorf("cut to %d bytes: %v; want %v", n, err, want)
		}
	}
	for _, more := range []int{1, TagSize, SealedChunkSize} {
		if _, err := Open(nil, append(message, make([]byte, more)...), testKey, testContext); !errors.Is(err, ErrOpen) {
			t.Errorf("%d bytes appended: %v", more, err)
		}
	}
}

func TestPlaintextSizeRefuses(t *testing.T) {
	for _, n := range []int{-1, 0, HeaderSize, HeaderSize + TagSize - 1,
		HeaderSize + SealedChunkSize, HeaderSize + SealedChunkSize + TagSize - 1} {
		if got, err := PlaintextSize(n); !errors.Is(err, ErrTruncated) {
			t.Errorf("%d: %d, %v", n, got, err)
		}
	}
}

func TestWrongKeyAndContext(t *testing.T) {
	message := mustSeal(t, pattern(10))
	if _, err := Open(nil, message, sequence(KeySize, 1), testContext); !errors.Is(err, ErrCommitment) {
		t.Errorf("another key: %v", err)
	}
	for _, context := range []string{"", "a contex", "a context\x00"} {
		if _, err := Open(nil, message, testKey, []byte(context)); !errors.Is(err, ErrCommitment) {
			t.Errorf("context %q: %v", context, err)
		}
	}
}

func TestParameters(t *testing.T) {
	for _, n := range []int{0, KeySize - 1, KeySize + 1} {
		if _, err := Seal(nil, nil, make([]byte, n), testSalt, nil); !errors.Is(err, ErrParameter) {
			t.Errorf("Seal with a key of %d bytes: %v", n, err)
		}
		if _, err := Open(nil, mustSeal(t, nil), make([]byte, n), nil); !errors.Is(err, ErrParameter) {
			t.Errorf("Open with a key of %d bytes: %v", n, err)
		}
	}
	for _, n := range []int{0, SaltSize - 1, SaltSize + 1} {
		if _, err := Seal(nil, nil, testKey, make([]byte, n), nil); !errors.Is(err, ErrParameter) {
			t.Errorf("a salt of %d bytes: %v", n, err)
		}
	}
	for _, n := range []int{0, HeaderSize - 1, HeaderSize + 1} {
		if _, err := NewOpener(make([]byte, n), 100, testKey, nil); !errors.Is(err, ErrParameter) {
			t.Errorf("a header of %d bytes: %v", n, err)
		}
	}
}

func TestFailureLeavesNothing(t *testing.T) {
	plaintext := pattern(3*ChunkSize + 10)
	message := mustSeal(t, plaintext)
	message[len(message)-1] ^= 1 // three good chunks are decrypted before this one is found out
	room := append(make([]byte, 0, 10+len(plaintext)), "before"...)
	if got, err := Open(room, message, testKey, testContext); got != nil || !errors.Is(err, ErrAuthentication) {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
	if !bytes.Equal(room, []byte("before")) {
		t.Error("what was in dst changed")
	}
	for i, b := range room[len(room):cap(room)] {
		if b != 0 {
			t.Fatalf("byte %d behind dst was left at %#x", i, b)
		}
	}
}

func TestOpener(t *testing.T) {
	for _, n := range []int{0, 1, ChunkSize - 1, ChunkSize, ChunkSize + 1, 3*ChunkSize + 7} {
		plaintext := pattern(n)
		message := mustSeal(t, plaintext)
		o, err := NewOpener(message[:HeaderSize], int64(len(message)), testKey, testContext)
		if err != nil {
			t.Fatal(err)
		}
		if o.Chunks() != int64(n/ChunkSize+1) {
			t.Errorf("%d bytes: %d chunks", n, o.Chunks())
		}
		sealed := func(i int64) []byte {
			offset, length, err := o.Chunk(i)
			if err != nil {
				t.Fatal(err)
			}
			return message[offset : offset+int64(length)]
		}
		for i := o.Chunks() - 1; i >= 0; i-- {
			got, err := o.OpenChunk(nil, sealed(i), i)
			from := int(i) * ChunkSize
			if want := plaintext[from:min(from+ChunkSize, n)]; err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, chunk %d: %v", n, i, err)
			}
			for j := range o.Chunks() {
				if _, err := o.OpenChunk(nil, sealed(i), j); j != i && !errors.Is(err, ErrAuthentication) {
					t.Errorf("%d bytes: chunk %d opened in the place of %d: %v", n, i, j, err)
				}
			}
			for _, wrong := range [][]byte{nil, sealed(i)[1:], append(bytes.Clone(sealed(i)), 0)} {
				if _, err := o.OpenChunk(nil, wrong, i); !errors.Is(err, ErrAuthentication) {
					t.Errorf("%d bytes: chunk %d with length %d: %v", n, i, len(wrong), err)
				}
			}
		}
		for _, i := range []int64{-1, o.Chunks(), MaxChunks} {
			if _, err := o.OpenChunk(nil, make([]byte, TagSize), i); !errors.Is(err, ErrParameter) {
				t.Errorf("%d bytes: chunk %d: %v", n, i, err)
			}
		}
	}
}

func TestOpenerSizes(t *testing.T) {
	header := mustSeal(t, nil)[:HeaderSize]
	const largest = HeaderSize + MaxChunks*SealedChunkSize - 1
	for _, c := range []struct {
		size int64
		want error
	}{
		{-1 << 63, ErrTruncated}, {-1, ErrTruncated}, {0, ErrTruncated}, {HeaderSize, ErrTruncated},
		{HeaderSize + TagSize, nil}, {HeaderSize + SealedChunkSize, ErrTruncated},
		{largest, nil}, {largest + 1 + TagSize, ErrTooLong}, {1<<63 - 1, ErrTooLong},
	} {
		if _, err := NewOpener(header, c.size, testKey, testContext); !errors.Is(err, c.want) {
			t.Errorf("size %d: %v, want %v", c.size, err, c.want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, n := range []int{0, 1, ChunkSize, ChunkSize + 1} {
		f.Add(mustSeal(f, pattern(n)), testContext)
	}
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, message, context []byte) {
		plaintext, err := Open(nil, message, testKey, context)
		if err != nil {
			if plaintext != nil || !errors.Is(err, ErrOpen) {
				t.Fatalf("%d bytes and %v", len(plaintext), err)
			}
			return
		}
		// Whatever opens must be the one message for its salt, plaintext and context.
		again, err := Seal(nil, plaintext, testKey, message[:SaltSize], context)
		if err != nil || !bytes.Equal(again, message) {
			t.Fatalf("a second message for one plaintext: %v", err)
		}
	})
}

func FuzzSeal(f *testing.F) {
	f.Add([]byte("plaintext"), testKey, testSalt, testContext, uint(3))
	f.Add(pattern(ChunkSize), testKey, testSalt, []byte{}, uint(70))
	f.Fuzz(func(t *testing.T, plaintext, key, salt, context []byte, at uint) {
		message, err := Seal(nil, plaintext, key, salt, context)
		if err != nil {
			if (len(key) == KeySize && len(salt) == SaltSize) || !errors.Is(err, ErrParameter) {
				t.Fatal(err)
			}
			return
		}
		if got, err := Open(nil, message, key, context); err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("came back different: %v", err)
		}
		message[at%uint(len(message))] ^= 1
		if _, err := Open(nil, message, key, context); !errors.Is(err, ErrOpen) {
			t.Fatalf("byte %d changed: %v", at%uint(len(message)), err)
		}
	})
}

func Benchmark(b *testing.B) {
	for _, n := range []int{4 << 10, 1 << 20} {
		plaintext, message := pattern(n), mustSeal(b, pattern(n))
		room := make([]byte, 0, len(message))
		run := func(name string, f func() error) {
			b.Run(fmt.Sprintf("%s/%dKiB", name, n>>10), func(b *testing.B) {
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("Seal", func() error {
			_, err := Seal(room, plaintext, testKey, testSalt, testContext)
			return err
		})
		run("Open", func() error {
			_, err := Open(room, message, testKey, testContext)
			return err
		})
		gcm := mustGCM(b, testKey)
		run("PlainGCM", func() error {
			gcm.Seal(room, testSalt[:nonceSize], plaintext, nil)
			return nil
		})
	}
}

// BenchmarkKey is of messages as short as an event's parts, under one key.
func BenchmarkKey(b *testing.B) {
	k, err := NewKey(testKey)
	if err != nil {
		b.Fatal(err)
	}
	message := mustSeal(b, pattern(200))
	for b.Loop() {
		if _, err := k.Open(nil, message, testContext); err != nil {
			b.Fatal(err)
		}
	}
}

func mustGCM(t testing.TB, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return gcm
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
