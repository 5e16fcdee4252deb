package anchor

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"stonevault/internal/anchor/anviltest"
	"stonevault/internal/anchor/contract"
)

func TestOwner(t *testing.T) {
	node := anviltest.Start(t, "contract", "--slots-in-an-epoch", "1")
	var sent []string
	o := Owner{ChainID: anviltest.ChainID, Servers: []string{node.URL}, Key: newKey(newPrivate(t)), Sent: func(h string) { sent = append(sent, h) }}
	if _, err := o.Deploy(t.Context()); !errors.Is(err, ErrFunds) {
		t.Errorf("without coins: %v", err)
	}
	node.Fund(t, o.Key.address)
	elsewhere := o
	elsewhere.ChainID = 137
	if _, err := elsewhere.Deploy(t.Context()); !errors.Is(err, ErrWrongChain) {
		t.Errorf("on another chain: %v", err)
	}
	at, err := o.Deploy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	anchorer := newKey(newPrivate(t))
	if _, err := o.CreateLog(t.Context(), o.Key.address.Hex(), testOrigin, anchorer.address.Hex()); !errors.Is(err, ErrWrongContract) {
		t.Errorf("in another contract: %v", err)
	}
	target, err := o.CreateLog(t.Context(), at, testOrigin, anchorer.address.Hex())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := o.CreateLog(t.Context(), at, testOrigin, anchorer.address.Hex()); err != nil || again != target {
		t.Errorf("a second time: %+v, %v", again, err)
	}
	if len(sent) != 2 {
		t.Errorf("it sent %v", sent)
	}
	other := newKey(newPrivate(t))
	if again, err := o.CreateLog(t.Context(), at, testOrigin, other.address.Hex()); err != nil || again != target || len(sent) != 3 {
		t.Errorf("for another anchorer: %+v, %v, it sent %v", again, err, sent)
	}
	node.Call(t, nil, "anvil_mine", "0x5")
	c, err := Open(t.Context(), target, 0, node.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	final, _, err := c.look(t.Context(), anchorer.address)
	if want := (contract.Log{Anchorer: other.address, Owner: o.Key.address}); err != nil || final.log != want {
		t.Errorf("%+v, %v", final.log, err)
	}
}

func TestTarget(t *testing.T) {
	const good = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed" // from EIP-55
	for text, ok := range map[string]bool{
		good: true,
		"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed": true,
		"0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED": true,
		"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed": false,
		"5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed":   false,
		good[:40]:        false,
		good + "00":      false,
		"0x":             false,
		"":               false,
		"0xg" + good[3:]: false,
	} {
		a, err := parseAddress(text)
		if (err == nil) != ok || ok && a != common.HexToAddress(good) {
			t.Errorf("%q: %v, %v", text, a, err)
		}
	}
	for name, make := range map[string]func() (Target, error){
		"contract": func() (Target, error) { return NewTarget(137, "0x1", good, "o") },
		"creator":  func() (Target, error) { return NewTarget(137, good, "0x1", "o") },
	} {
		if _, err := make(); err == nil {
			t.Errorf("a wrong %s is taken", name)
		}
	}
	target, err := NewTarget(137, good, good, testOrigin)
	if err != nil || target.checkOrigin(testOrigin) != nil || !errors.Is(target.checkOrigin(testOrigin+"x"), ErrWrongLog) {
		t.Errorf("%+v, %v", target, err)
	}
}

func TestServers(t *testing.T) {
	const a, b = "https://a.example/KEY", "https://b.example"
	for _, c := range []struct {
		quorum    int
		addresses []string
		want      int // 0: refused
	}{
		{0, []string{a}, 1},
		{0, []string{a, b}, 2},
		{0, []string{a, b, "http://c.example"}, 2},
		{1, []string{a, b}, 1},
		{3, []string{a, b}, 0},
		{-1, []string{a, b}, 0},
		{0, nil, 0},
		{0, []string{a, a}, 0},
		{0, []string{b, b + "/"}, 0},
		{0, []string{"a.example"}, 0},
		{0, []string{"file:///etc/passwd"}, 0},
		{0, []string{"/var/run/geth.ipc"}, 0},
		{0, []string{"https://%"}, 0},
	} {
		s, err := dialAll(t.Context(), c.addresses, c.quorum)
		if (err == nil) != (c.want > 0) {
			t.Errorf("%d of %q: %v", c.quorum, c.addresses, err)
			continue
		}
		if err == nil {
			if s.quorum != c.want || s.all[0].name == a {
				t.Errorf("%d of %q: %d, %s", c.quorum, c.addresses, s.quorum, s.all[0].name)
			}
			s.close()
		}
	}
}

// A server cannot fill the memory: an answer is cut, and is then no answer.
func TestEndlessAnswer(t *testing.T) {
	sent := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"jsonrpc":"2.0","id":1,"result":"0x`)
		zeros := bytes.Repeat([]byte("0"), 1<<20)
		for n := 1; n != 0 && sent < 100<<20; sent += n {
			n, _ = w.Write(zeros)
		}
	}))
	defer s.Close()
	c, err := Open(t.Context(), Target{ChainID: 1}, 0, s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err := c.look(t.Context(), common.Address{}); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
	s.Close()
	if sent > 50<<20 {
		t.Errorf("%d bytes were taken", sent)
	}
}

// What a server writes into an error is short, printable, and has no key in it.
func TestServersErrors(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no route for\n\x1b[31m"+r.URL.RequestURI()+" nor SECRET"+strings.Repeat("x", 10000), http.StatusNotFound)
	}))
	defer s.Close()
	for _, path := range []string{"/v2/SECRET", "/v2/SECRET/", "/?key=SECRET", "/rpc?key=SECRET"} {
		c, err := Open(t.Context(), Target{ChainID: 1}, 0, s.URL+path)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = c.look(t.Context(), common.Address{})
		c.Close()
		if text := fmt.Sprint(err); !errors.Is(err, ErrUnreachable) || strings.Contains(text, "SECRET") || strings.ContainsAny(text, "\n\x1b") || len(text) > 2*maxSaid {
			t.Errorf("%s: %q", path, text)
		}
	}
}

// Every error that a worker or a verifier ends with has a name of its own.
func TestConditions(t *testing.T) {
	named := map[string]error{}
	for _, err := range []error{
		ErrUnreachable, ErrDisagree, ErrLies, ErrStalled, ErrWrongChain, ErrWrongContract, ErrWrongLog, ErrNotAnchorer, ErrFunds,
		ErrFee, ErrForeign, ErrNotTaken, ErrAbandoned, ErrReverted, ErrNotFinal, ErrNotAnchored, ErrWrongClaim, ErrForked, ErrRolledBack, ErrTakenBack,
	} {
		name := Condition(fmt.Errorf("around: %w", err))
		if other, ok := named[name]; ok || name == "failed" || name == "ok" {
			t.Errorf("%v has the name %q, as has %v", err, name, other)
		}
		named[name] = err
	}
	if Condition(nil) != "ok" || Condition(errors.New("another")) != "failed" || Tampering(nil) || Tampering(ErrDisagree) || !Tampering(ErrForked) {
		t.Error("other errors have other names")
	}
}
