package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"stonevault/api"
	"stonevault/audit"
	"stonevault/internal/anchor"
	"stonevault/internal/anchor/anviltest"
	"stonevault/internal/auditlog"
	"stonevault/internal/config"
)

// anchorHouse is a vault whose log is in the contract on a chain of its own.
type anchorHouse struct {
	t        *testing.T
	node     *anviltest.Node
	root     string
	data     string
	file     string // the settings that deploy printed
	anchorer string
}

// newAnchorHouse goes the way that the guide goes, by the real commands. Blocks are final two seconds after.
func newAnchorHouse(t *testing.T) *anchorHouse {
	t.Helper()
	h := &anchorHouse{t: t, root: t.TempDir()}
	h.node = anviltest.Start(t, "../../internal/anchor/contract", "--slots-in-an-epoch", "1", "--block-time", "1")
	h.data, h.file = filepath.Join(h.root, "data"), filepath.Join(h.root, "stonevault.toml")
	makeVault(t, h.data)
	owner := h.newKey("owner")
	h.anchorer = h.newKey("anchorer")
	h.node.Fund(t, common.HexToAddress(owner))
	h.node.Fund(t, common.HexToAddress(h.anchorer))
	r := h.deploy("--anchorer-key", h.path("anchorer.json"))
	if r.code != 0 || !strings.Contains(r.stderr, "This costs coins of "+owner+", on chain 80002") || strings.Count(r.stderr, "Sent the transaction 0x") != 2 {
		t.Fatalf("deploy: %+v", r)
	}
	write(t, h.file, strings.Replace(r.stdout, `"FILE"`, fmt.Sprintf("%q", h.path("anchorer.pass")), 1))
	if r := run(t, "", "config", "check", "--config", h.file); r.code != 0 {
		t.Fatalf("the settings that were printed: %+v\n%s", r, r.stdout)
	}
	return h
}

func (h *anchorHouse) path(name string) string { return filepath.Join(h.root, name) }

// newKey makes a key that opens quickly, and its passphrase beside it.
func (h *anchorHouse) newKey(name string) (address string) {
	h.t.Helper()
	write(h.t, h.path(name+".pass"), testPassword+"\n")
	account, err := keystore.StoreKey(h.path(name+".keys"), testPassword, 2, 1)
	check(h.t, err)
	check(h.t, os.Rename(account.URL.Path, h.path(name+".json")))
	return account.Address.Hex()
}

func (h *anchorHouse) deploy(more ...string) result {
	h.t.Helper()
	return run(h.t, "", append([]string{"anchor", "deploy", "--data", h.data, "--chain", "amoy", "--rpc", h.node.URL,
		"--key", h.path("owner.json"), "--key-passphrase-file", h.path("owner.pass")}, more...)...)
}

// run runs a verb of anchor with the vault's settings.
func (h *anchorHouse) run(verb string, more ...string) result {
	h.t.Helper()
	return run(h.t, "", append([]string{"anchor", verb, "--data", h.data, "--config", h.file}, more...)...)
}

func (h *anchorHouse) status(more ...string) (r anchorReport, code int) {
	h.t.Helper()
	res := h.run("status", append(more, "--json")...)
	if err := json.Unmarshal([]byte(res.stdout), &r); err != nil {
		h.t.Fatalf("status: %v, %+v", err, res)
	}
	return r, res.code
}

// await waits until the status is as it should be.
func (h *anchorHouse) await(what string, is func(anchorReport) bool) anchorReport {
	h.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		r, code := h.status()
		if is(r) {
			return r
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%s does not come: exit code %d, %+v", what, code, r)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// beside opens the vault as a command does.
func (h *anchorHouse) beside(fn func(s *store)) {
	h.t.Helper()
	o := &opener{config: settings(h.t, map[string]string{"data": h.data}), version: olderVersion, ask: noTerminal, now: time.Now, log: slog.New(slog.DiscardHandler)}
	s, err := o.open(h.t.Context(), toChange)
	check(h.t, err)
	fn(s)
	check(h.t, s.close())
}

// record writes events.
func (h *anchorHouse) record(n int) {
	h.t.Helper()
	h.beside(func(s *store) {
		check(h.t, s.db.Audit().Update(h.t.Context(), func(store auditlog.Store) error {
			for range n {
				_, err := s.recorder.Record(h.t.Context(), store, audit.Event{Type: audit.ServerStopped, Time: time.Now(), Operational: audit.Values{"reason": "asked"}})
				if err != nil {
					return err
				}
			}
			return nil
		}))
	})
}

// recorded are the transactions that the log has events of, in order.
func (h *anchorHouse) recorded() (transactions []string) {
	h.t.Helper()
	h.beside(func(s *store) {
		page, err := s.reader.List(h.t.Context(), auditlog.Query{Limit: 1000}, auditlog.ViewAll)
		check(h.t, err)
		for _, e := range page.Entries {
			if e.Event.Type == audit.LogAnchored {
				transactions = append(transactions, e.Event.Operational["transaction"].(string))
				if len(e.Event.Actor) != 0 || len(e.Event.Subject) != 0 {
					h.t.Errorf("an anchor is about a person: %+v", e.Event)
				}
			}
		}
	})
	slices.Reverse(transactions)
	return transactions
}

// sent is how many transactions of the anchorer are in blocks.
func (h *anchorHouse) sent() int {
	h.t.Helper()
	var n hexutil.Uint64
	h.node.Call(h.t, &n, "eth_getTransactionCount", h.anchorer, "latest")
	return int(n)
}

// mine lets the node make blocks by itself, or not.
func (h *anchorHouse) mine(on bool) {
	h.t.Helper()
	seconds := 0
	if on {
		seconds = 1
	}
	h.node.Call(h.t, nil, "evm_setIntervalMining", seconds)
}

// once demands that each anchor that was sent was recorded once.
func (h *anchorHouse) once(anchors int) {
	h.t.Helper()
	transactions := h.recorded()
	if len(transactions) != anchors || len(slices.Compact(slices.Sorted(slices.Values(transactions)))) != anchors || h.sent() != anchors {
		h.t.Errorf("%d anchors are recorded as %v, and %d transactions were sent", anchors, transactions, h.sent())
	}
}

var anchoredLine = regexp.MustCompile(`Anchored: \d+ events, in block \d+`)

// TestAnchoring goes from a new vault to anchors by a server, by commands beside it, and without it.
func TestAnchoring(t *testing.T) {
	t.Parallel()
	h := newAnchorHouse(t)
	h.await("the log in a final block", func(r anchorReport) bool { return r.Condition == "not_anchored" })
	if r := h.run("status"); r.code != 1 || !strings.Contains(r.stdout, "problem       the chain has no anchor of this log yet") || !strings.Contains(r.stdout, "server        none runs") {
		t.Errorf("before the first anchor: %+v", r)
	}

	// A server anchors by itself.
	h.record(3)
	c, _, err := config.Load(config.Sources{File: h.file, Flags: map[string]string{
		"data": h.data, "listen": "127.0.0.1:0", "metrics-listen": "127.0.0.1:0", "anchor-interval": "10m"}})
	check(t, err)
	s := newServer(t, h.data)
	s.Config = c
	check(t, s.Run(t.Context()))
	r := h.await("an anchor by the server", func(r anchorReport) bool { return r.Last != nil && r.Condition == "ok" })
	if !r.Serving || r.Last.Events < 4 || r.Last.State != "final" || r.OnChain == nil || int64(r.OnChain.Events) != int64(r.Last.Events) || r.InFlight != nil || r.Anchorer != h.anchorer {
		t.Errorf("%+v, last %+v, on chain %+v", r, r.Last, r.OnChain)
	}
	ann := signIn(t, s.Addr(), "ann")
	var log api.AuditLog
	var list api.AuditAnchorList
	check(t, json.Unmarshal(ann.must(ann.do("GET", "/api/v1/audit", nil, nil)).body, &log))
	check(t, json.Unmarshal(ann.must(ann.do("GET", "/api/v1/audit/anchors?limit=1", nil, nil)).body, &list))
	if a := log.Anchoring; !a.Configured || a.ChainID != 80002 || a.Condition != "ok" || a.AnchoredSize < 4 || len(list.Items) != 1 ||
		list.Items[0].State != api.AuditAnchorStateFinal || list.Items[0].Transaction == "" || list.Items[0].Contract != a.Contract {
		t.Errorf("the API says %+v, %+v", a, list)
	}
	text := metricsOf(t, s)
	for _, want := range []string{"stonevault_anchor_condition{condition=\"ok\"} 1\n", "stonevault_anchor_condition{condition=\"forked\"} 0\n",
		fmt.Sprintf("stonevault_anchor_last_events %d\n", r.Last.Events), "stonevault_anchor_replaced_total 0\n", "stonevault_anchor_failures_total "} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics do not say %q:\n%s", want, text)
		}
	}
	closeServer(t, s)
	h.once(1)

	// A command does, where no server runs.
	h.record(2)
	if r := h.run("now", "--no-wait"); r.code != 1 || !strings.Contains(r.stderr, "none uses the data in "+h.data) {
		t.Errorf("now --no-wait without a server: %+v", r)
	}
	if r := h.run("now"); r.code != 0 || !anchoredLine.MatchString(r.stderr) {
		t.Errorf("now without a server: %+v", r)
	}
	if r := h.run("now"); r.code != 0 || !strings.Contains(r.stderr, "Nothing has happened since the last anchor, which covers ") {
		t.Errorf("now with nothing to anchor: %+v", r)
	}
	h.once(2)

	// A server does what a command asks, though the interval is long.
	p := start(t, h.data, "--config", h.file)
	h.record(1)
	if r := h.run("now"); r.code != 0 || !anchoredLine.MatchString(r.stderr) {
		t.Errorf("now beside a server: %+v\n%s", r, p.stderr)
	}
	if r, code := h.status(); code != 0 || r.Unanchored > 1 || r.Condition != "ok" {
		t.Errorf("afterwards: %d, %+v", code, r)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("the server ends with %d: %s", code, p.stderr)
	}
	if text := p.stderr.String(); !strings.Contains(text, "anchorer="+h.anchorer) || strings.Contains(text, "level=WARN msg=\"anchoring") {
		t.Errorf("it said %s", text)
	}
	h.once(3)
}

// TestAnchoringSurvives kills the server while an anchor is under way: the same transaction goes on, and is
// recorded once.
func TestAnchoringSurvives(t *testing.T) {
	t.Parallel()
	h := newAnchorHouse(t)
	h.await("the log in a final block", func(r anchorReport) bool { return r.Condition == "not_anchored" })
	h.mine(false)
	h.record(3)
	p := start(t, h.data, "--config", h.file, "--anchor-interval", "1s")
	sent := h.await("a transaction on its way", func(r anchorReport) bool { return r.InFlight != nil && r.InFlight.State == "sent" })
	p.kill()
	p = start(t, h.data, "--config", h.file, "--anchor-interval", "1s")
	h.mine(true)
	mined := h.await("its block", func(r anchorReport) bool { return r.Last != nil || r.InFlight != nil && r.InFlight.State == "mined" })
	p.kill()
	p = start(t, h.data, "--config", h.file, "--anchor-interval", "1s")
	final := h.await("its end", func(r anchorReport) bool { return r.Last != nil })
	if final.Last.Transaction != sent.InFlight.Transaction || mined.InFlight != nil && mined.InFlight.Transaction != sent.InFlight.Transaction {
		t.Errorf("%+v became %+v", sent.InFlight, final.Last)
	}
	p.kill()
	// A further anchor may be on its way; none was recorded twice, or sent without being recorded.
	transactions := h.recorded()
	if n := len(transactions); n == 0 || transactions[0] != sent.InFlight.Transaction || len(slices.Compact(slices.Sorted(slices.Values(transactions)))) != n || h.sent() > n+1 {
		t.Errorf("recorded are %v, and %d transactions were sent; the first was %s", transactions, h.sent(), sent.InFlight.Transaction)
	}
}

// TestAnchorTrouble shows what each kind of trouble is called, what it says and how it ends.
func TestAnchorTrouble(t *testing.T) {
	t.Parallel()
	h := newAnchorHouse(t)
	h.await("the log in a final block", func(r anchorReport) bool { return r.Condition == "not_anchored" })
	backup := h.path("backup")
	check(t, os.CopyFS(backup, os.DirFS(h.data)))
	h.record(3)
	if r := h.run("now"); r.code != 0 {
		t.Fatalf("now: %+v", r)
	}
	owner, err := anchor.AddressIn(h.path("owner.json"))
	check(t, err)
	const nowhere = "http://127.0.0.1:1"
	for _, c := range []struct {
		condition string
		args      []string
		code      int
		say       string
	}{
		{"ok", nil, 0, ""},
		{"rpc_unreachable", []string{"--anchor-rpc", nowhere}, 3, "too few RPC servers answer"},
		{"wrong_chain", []string{"--anchor-chain", "polygon"}, 3, "the RPC server is for another chain"},
		{"wrong_contract", []string{"--anchor-contract", owner}, 3, "is not the anchoring contract's"},
		{"wrong_log", []string{"--anchor-creator", h.anchorer}, 3, "has no such log of this vault"},
		{"rolled_back", []string{"--data", backup, "--master-key", "file:" + h.data + ".master.key"}, 2, "shorter than its anchored head"},
	} {
		r, code := h.status(c.args...)
		if code != c.code || r.Condition != c.condition || !strings.Contains(r.Problem, c.say) {
			t.Errorf("%s: exit code %d, %+v", c.condition, code, r)
		}
	}
	if r := h.run("now", "--anchor-creator", h.anchorer); r.code != 1 || !strings.Contains(r.stderr, "has no such log of this vault") {
		t.Errorf("now with another creator: %+v", r)
	}

	// A server whose chain is out of reach serves, and says so; a command beside it is told.
	p := start(t, h.data, "--config", h.file, "--anchor-rpc", nowhere)
	r := h.await("the server's word", func(r anchorReport) bool { return r.Condition == "rpc_unreachable" })
	if !r.Serving || r.OnChain == nil {
		t.Errorf("%+v", r)
	}
	p.kill()
	p = start(t, h.data, "--config", h.file, "--anchor-creator", h.anchorer)
	h.record(2)
	h.await("the server's word", func(r anchorReport) bool { return r.Condition == "wrong_log" })
	if r := h.run("now"); r.code != 1 || !strings.Contains(r.stderr, "create it, or correct creator and log id") {
		t.Errorf("now beside a server with another creator: %+v", r)
	}
	p.kill()
	p = start(t, h.data)
	h.await("the server's word", func(r anchorReport) bool { return strings.Contains(r.Problem, "the server that runs anchors nothing") })
	if r := h.run("now"); r.code != 1 || !strings.Contains(r.stderr, "anchors nothing") {
		t.Errorf("now beside a server without anchoring: %+v", r)
	}
	p.kill()
}
