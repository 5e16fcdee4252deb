package auth

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

func TestLinkText(t *testing.T) {
	link, err := NewLinkText(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewLinkText(rand.Reader)
	if err != nil || other.Text() == link.Text() {
		t.Fatal(err, "the same link twice")
	}
	sum := sha256.Sum256([]byte(link.Text()))
	if !strings.HasPrefix(link.Text(), "svl_") || len(link.Text()) != 47 || !bytes.Equal(link.Hash(), sum[:]) {
		t.Error("a link of another form")
	}
	if again, ok := ParseLinkText(link.Text()); !ok || again != link {
		t.Error("a link is not read again")
	}
	for _, text := range []string{
		"", "svl_", link.Text()[4:], "svr_" + link.Text()[4:], link.Text() + "A", link.Text()[:46], " " + link.Text(),
		link.Text()[:46] + "!", link.Text()[:46] + "=", link.Text()[:46] + "\n", link.Text()[:20] + "+" + link.Text()[21:],
		"svl_" + strings.Repeat("A", 42) + "B", // bits behind the last byte
	} {
		if _, ok := ParseLinkText(text); ok {
			t.Errorf("%q is taken for a link", text)
		}
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if shown := fmt.Sprintf(format, link); strings.Contains(shown, link.Text()[8:20]) {
			t.Errorf("%s shows the link", format)
		}
	}
	if _, err := NewLinkText(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("a link without enough randomness")
	}
}
