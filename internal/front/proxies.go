package front

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are what stands in front of the server.
type Proxies struct {
	Trusted []netip.Prefix
	Header  string // X-Forwarded-For or Forwarded
	HaveTLS bool   // their connections were protected as far as there, and may go on in clear
}

func (p *Proxies) trusts(ip netip.Addr) bool {
	for _, prefix := range p.Trusted {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// Restore gives each request the address of the client that it comes from, as RemoteAddr with port 0 where a
// proxy has said it. Headers in which addresses are claimed are removed, and so is X-Forwarded-Proto unless it
// is a trusted proxy's.
func (p *Proxies) Restore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims := r.Header.Values(p.Header)
		for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"} {
			delete(r.Header, name)
		}
		peer, ok := peerOf(r.RemoteAddr)
		if !ok || !p.trusts(peer) {
			delete(r.Header, "X-Forwarded-Proto")
			next.ServeHTTP(w, r)
			return
		}
		if p.HaveTLS {
			r.Header.Set("X-Forwarded-Proto", "https")
		}
		if client := p.client(peer, claims); client != peer {
			r.RemoteAddr = netip.AddrPortFrom(client, 0).String()
		}
		next.ServeHTTP(w, r)
	})
}

// client goes from the peer back through those who say that they passed the request on, for as long as they
// are trusted. What nobody trusted has said is where it ends.
func (p *Proxies) client(peer netip.Addr, claims []string) netip.Addr {
	var hops []string
	if p.Header == "Forwarded" {
		hops = forwardedFor(claims)
	} else {
		hops = strings.Split(strings.Join(claims, ","), ",")
	}
	for i := len(hops) - 1; i >= 0 && p.trusts(peer); i-- {
		hop, ok := parseHop(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		peer = hop
	}
	return peer
}

// forwardedFor returns what each element of Forwarded headers says the request was passed on for; nothing
// at all where one of them is not as RFC 7239 wants it, since a quotation mark that a client has left open would
// hide what a proxy has put behind it.
func forwardedFor(headers []string) (hops []string) {
	for _, rest := range headers {
		hop := ""
		for {
			name, value, after, ok := cutPair(rest)
			if !ok {
				return nil
			}
			if strings.EqualFold(name, "for") {
				if hop != "" {
					return nil
				}
				hop = value
			}
			end := after == "" || after[0] == ','
			if end {
				hops, hop = append(hops, hop), ""
			}
			if after == "" {
				break
			}
			if !end && after[0] != ';' {
				return nil
			}
			rest = after[1:]
		}
	}
	return hops
}

// cutPair reads name=value from the front; after begins with what stands behind it.
func cutPair(text string) (name, value, after string, ok bool) {
	name, rest, ok := strings.Cut(strings.TrimLeft(text, " \t"), "=")
	if !ok || name == "" || strings.ContainsAny(name, " \t,;\"") {
		return "", "", "", false
	}
	if !strings.HasPrefix(rest, `"`) {
		end := strings.IndexAny(rest, " \t,;\"")
		if end < 0 {
			end = len(rest)
		}
		return name, rest[:end], strings.TrimLeft(rest[end:], " \t"), end > 0
	}
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			return name, b.String(), strings.TrimLeft(rest[i+1:], " \t"), true
		case '\\':
			if i++; i == len(rest) {
				return "", "", "", false
			}
		}
		b.WriteByte(rest[i])
	}
	return "", "", "", false
}

// parseHop reads an address, with or without a port, and with brackets where it is IPv6.
func parseHop(text string) (netip.Addr, bool) {
	if ip, ok := peerOf(text); ok {
		return ip, true
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		text, ok = strings.CutSuffix(inner, "]")
		if !ok {
			return netip.Addr{}, false
		}
	}
	ip, err := netip.ParseAddr(text)
	return ip.Unmap(), err == nil && ip.Zone() == ""
}

// peerOf is the address in what the standard library says of a connection.
func peerOf(addrPort string) (netip.Addr, bool) {
	a, err := netip.ParseAddrPort(addrPort)
	return a.Addr().Unmap().WithZone(""), err == nil
}

// Guard lets in trusted proxies and this machine alone. Others are turned away before they can send anything,
// which would go in clear.
func (p *Proxies) Guard(l net.Listener, refused func(who net.Addr, why Refusal)) net.Listener {
	return &guarded{l, p, refused}
}

type guarded struct {
	net.Listener
	proxies *Proxies
	refused func(who net.Addr, why Refusal)
}

func (g *guarded) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if ip, ok := peerOf(c.RemoteAddr().String()); ok && (ip.IsLoopback() || g.proxies.trusts(ip)) {
			return c, nil
		}
		c.Close()
		g.refused(c.RemoteAddr(), RefusedPeer)
	}
}
