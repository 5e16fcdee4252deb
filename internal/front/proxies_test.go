package front

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// proxies trusts two ranges and one machine.
func proxies(header string, haveTLS bool) *Proxies {
	return &Proxies{
		Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("192.0.2.1/32")},
		Header:  header, HaveTLS: haveTLS,
	}
}

// TestClients gives headers that are forged, broken and good: an address counts as far as trusted
// proxies have said it.
func TestClients(t *testing.T) {
	const xff, fwd = "X-Forwarded-For", "Forwarded"
	for _, c := range []struct {
		name   string
		header string // that is believed
		peer   string
		claims map[string][]string
		want   string
	}{
		{"no proxy", xff, "203.0.113.5:4000", nil, "203.0.113.5:4000"},
		{"forged by a stranger", xff, "203.0.113.5:4000", map[string][]string{xff: {"198.51.100.1"}}, "203.0.113.5:4000"},
		{"forged by a stranger, with a proxy's name in it", xff, "203.0.113.5:4000", map[string][]string{xff: {"198.51.100.1, 10.0.0.1"}}, "203.0.113.5:4000"},
		{"a proxy that says nothing", xff, "10.0.0.1:4000", nil, "10.0.0.1:4000"},
		{"a proxy", xff, "10.0.0.1:4000", map[string][]string{xff: {"203.0.113.5"}}, "203.0.113.5:0"},
		{"a proxy with one address", xff, "192.0.2.1:4000", map[string][]string{xff: {"203.0.113.5"}}, "203.0.113.5:0"},
		{"its neighbour", xff, "192.0.2.2:4000", map[string][]string{xff: {"203.0.113.5"}}, "192.0.2.2:4000"},
		{"a proxy by IPv4 in IPv6", xff, "[::ffff:10.0.0.1]:4000", map[string][]string{xff: {"203.0.113.5"}}, "203.0.113.5:0"},
		{"forged in front of a proxy", xff, "10.0.0.1:4000", map[string][]string{xff: {"198.51.100.1, 203.0.113.5"}}, "203.0.113.5:0"},
		{"forged as a proxy's", xff, "10.0.0.1:4000", map[string][]string{xff: {"198.51.100.1, 10.0.0.9, 203.0.113.5"}}, "203.0.113.5:0"},
		{"forged on a line of its own", xff, "10.0.0.1:4000", map[string][]string{xff: {"198.51.100.1", "203.0.113.5"}}, "203.0.113.5:0"},
		{"two proxies", xff, "10.0.0.1:4000", map[string][]string{xff: {"198.51.100.1, 203.0.113.5, 10.0.0.2"}}, "203.0.113.5:0"},
		{"proxies alone", xff, "10.0.0.1:4000", map[string][]string{xff: {"10.0.0.3,10.0.0.2"}}, "10.0.0.3:0"},
		{"IPv6", xff, "[fd00::1]:4000", map[string][]string{xff: {"2001:db8::5"}}, "[2001:db8::5]:0"},
		{"IPv6 with a port", xff, "[fd00::1]:4000", map[string][]string{xff: {"[2001:db8::5]:99"}}, "[2001:db8::5]:0"},
		{"IPv4 with a port", xff, "10.0.0.1:4000", map[string][]string{xff: {"203.0.113.5:99"}}, "203.0.113.5:0"},
		{"rubbish", xff, "10.0.0.1:4000", map[string][]string{xff: {"203.0.113.5, rubbish"}}, "10.0.0.1:4000"},
		{"rubbish behind a second proxy", xff, "10.0.0.1:4000", map[string][]string{xff: {"203.0.113.5, rubbish, 10.0.0.2"}}, "10.0.0.2:0"},
		{"an empty place", xff, "10.0.0.1:4000", map[string][]string{xff: {"203.0.113.5,"}}, "10.0.0.1:4000"},
		{"a zone", xff, "10.0.0.1:4000", map[string][]string{xff: {"fe80::1%eth0"}}, "10.0.0.1:4000"},
		{"the other header", xff, "10.0.0.1:4000", map[string][]string{fwd: {"for=203.0.113.5"}}, "10.0.0.1:4000"},
		{"the other header, the other way round", fwd, "10.0.0.1:4000", map[string][]string{xff: {"203.0.113.5"}}, "10.0.0.1:4000"},
		{"a third header", xff, "10.0.0.1:4000", map[string][]string{"X-Real-Ip": {"203.0.113.5"}}, "10.0.0.1:4000"},

		{"Forwarded", fwd, "10.0.0.1:4000", map[string][]string{fwd: {"for=203.0.113.5;proto=https"}}, "203.0.113.5:0"},
		{"Forwarded by a stranger", fwd, "203.0.113.5:4000", map[string][]string{fwd: {"for=198.51.100.1"}}, "203.0.113.5:4000"},
		{"Forwarded, forged in front", fwd, "10.0.0.1:4000", map[string][]string{fwd: {"for=198.51.100.1, for=203.0.113.5"}}, "203.0.113.5:0"},
		{"Forwarded with quotes", fwd, "10.0.0.1:4000", map[string][]string{fwd: {`For="[2001:db8::5]:99"; by=10.0.0.1`}}, "[2001:db8::5]:0"},
		{"Forwarded IPv6 without a port", fwd, "10.0.0.1:4000", map[string][]string{fwd: {`for="[2001:db8::5]"`}}, "[2001:db8::5]:0"},
		{"Forwarded by two", fwd, "10.0.0.1:4000", map[string][]string{fwd: {"for=203.0.113.5", "for=10.0.0.2"}}, "203.0.113.5:0"},
		{"Forwarded, hidden", fwd, "10.0.0.1:4000", map[string][]string{fwd: {"for=203.0.113.5, for=_secret"}}, "10.0.0.1:4000"},
		{"Forwarded, unknown", fwd, "10.0.0.1:4000", map[string][]string{fwd: {"for=unknown"}}, "10.0.0.1:4000"},
		{"Forwarded without for", fwd, "10.0.0.1:4000", map[string][]string{fwd: {"for=203.0.113.5, proto=https"}}, "10.0.0.1:4000"},
		{"Forwarded with a quotation left open", fwd, "10.0.0.1:4000", map[string][]string{fwd: {`for=198.51.100.1;x=", for=203.0.113.5`}}, "10.0.0.1:4000"},
		{"Forwarded with a quotation that swallows another", fwd, "10.0.0.1:4000", map[string][]string{fwd: {`for=198.51.100.1;x=", for="[2001:db8::5]"`}}, "10.0.0.1:4000"},
		{"Forwarded with two fors", fwd, "10.0.0.1:4000", map[string][]string{fwd: {`for=203.0.113.5;for=198.51.100.1`}}, "10.0.0.1:4000"},
		{"Forwarded that ends in a backslash", fwd, "10.0.0.1:4000", map[string][]string{fwd: {`for="203.0.113.5\`}}, "10.0.0.1:4000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, haveTLS := range []bool{false, true} {
				p := proxies(c.header, haveTLS)
				called := false
				h := p.Restore(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					called = true
					if r.RemoteAddr != c.want {
						t.Errorf("it comes from %s, want %s", r.RemoteAddr, c.want)
					}
					for _, name := range []string{xff, fwd, "X-Real-Ip", "X-Forwarded-Host"} {
						if r.Header.Get(name) != "" {
							t.Errorf("%s was left", name)
						}
					}
					peer, _ := peerOf(c.peer)
					want := ""
					if p.trusts(peer) {
						want = "claimed"
						if haveTLS {
							want = "https"
						}
					}
					if got := r.Header.Get("X-Forwarded-Proto"); got != want {
						t.Errorf("X-Forwarded-Proto is %q, want %q", got, want)
					}
				}))
				r := httptest.NewRequest("GET", "/", nil)
				r.RemoteAddr = c.peer
				r.Header.Set("X-Forwarded-Proto", "claimed")
				r.Header.Set("X-Forwarded-Host", "elsewhere.example")
				for name, values := range c.claims {
					r.Header[name] = values
				}
				h.ServeHTTP(httptest.NewRecorder(), r)
				if !called {
					t.Error("the handler was not reached")
				}
			}
		})
	}
}

// FuzzForwarded puts what a client has made up in front of what a proxy adds: nothing that the client writes
// may count.
func FuzzForwarded(f *testing.F) {
	f.Add("for=198.51.100.1", false)
	f.Add(`for=198.51.100.1;x="`, true)
	f.Add(`x="\`, true)
	f.Add(`for="198.51.100.1`, false)
	f.Fuzz(func(t *testing.T, forged string, quoted bool) {
		if strings.ContainsAny(forged, "\r\n\x00") {
			t.Skip() // no header holds them
		}
		proxy := netip.MustParseAddr("10.0.0.1")
		added := "for=203.0.113.5"
		if quoted {
			added = `for="203.0.113.5:99"`
		}
		p := proxies("Forwarded", true)
		if got := p.client(proxy, []string{forged + ", " + added}).String(); got != "203.0.113.5" && got != "10.0.0.1" {
			t.Errorf("Forwarded: %s", got)
		}
		p.Header = "X-Forwarded-For"
		if got := p.client(proxy, []string{forged + ", 203.0.113.5"}).String(); got != "203.0.113.5" {
			t.Errorf("X-Forwarded-For: %s", got)
		}
	})
}

// queue is a listener whose connections are there already.
type queue struct {
	net.Listener
	conns []net.Conn
}

func (q *queue) Accept() (net.Conn, error) {
	if len(q.conns) == 0 {
		return nil, net.ErrClosed
	}
	c := q.conns[0]
	q.conns = q.conns[1:]
	return c, nil
}

// from is a connection that comes from an address.
type from struct {
	net.Conn
	addr   netip.AddrPort
	closed bool
}

func (f *from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(f.addr) }
func (f *from) Close() error         { f.closed = true; return nil }

func TestGuard(t *testing.T) {
	q := &queue{}
	var all []*from
	for _, addr := range []string{"203.0.113.5:1", "10.1.2.3:1", "[::ffff:10.1.2.3]:1", "11.0.0.1:1", "127.0.0.1:1", "[::1]:1", "[2001:db8::1]:1", "[fd00::2]:1", "[fe80::1%1]:1"} {
		f := &from{addr: netip.MustParseAddrPort(addr)}
		all, q.conns = append(all, f), append(q.conns, f)
	}
	refused := 0
	l := proxies("Forwarded", true).Guard(q, func(who net.Addr, why Refusal) {
		if why != RefusedPeer || who == nil {
			t.Errorf("%v, %v", who, why)
		}
		refused++
	})
	var let []string
	for {
		c, err := l.Accept()
		if err != nil {
			break
		}
		let = append(let, c.RemoteAddr().String())
	}
	if got := strings.Join(let, " "); got != "10.1.2.3:1 10.1.2.3:1 127.0.0.1:1 [::1]:1 [fd00::2]:1" {
		t.Errorf("let in were %s", got)
	}
	closed := 0
	for _, f := range all {
		if f.closed {
			closed++
		}
	}
	if refused != 4 || closed != 4 {
		t.Errorf("%d were refused and %d closed", refused, closed)
	}
}
