package webhook

import (
	"net/netip"
	"net/url"
	"strings"
)

const maxURL = 2048

// reserved are ranges of public-looking addresses that lead nowhere, or to somebody near.
var reserved = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

var (
	globalIPv6 = netip.MustParsePrefix("2000::/3")
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	shared     = netip.MustParsePrefix("100.64.0.0/10") // of carriers; VPNs use it too
	siteLocal  = netip.MustParsePrefix("fec0::/10")
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// Reachable tells whether a message may be sent to an address: to public ones, and where private is set to this
// machine and its networks. Link-local ones, where clouds keep credentials of their machines, never are.
func Reachable(ip netip.Addr, private bool) bool {
	if !ip.IsValid() || ip.Zone() != "" {
		return false
	}
	ip = ip.Unmap()
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	if ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast() {
		return false
	}
	if ip.IsLoopback() || ip.IsPrivate() || shared.Contains(ip) || siteLocal.Contains(ip) {
		return private
	}
	if ip.Is6() && !globalIPv6.Contains(ip) {
		return false
	}
	for _, p := range reserved {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// checkURL accepts the address of a receiver. What a name leads to is seen when it is dialled.
func checkURL(text string, private bool) (*url.URL, error) {
	bad := func(reason string) (*url.URL, error) { return nil, &InvalidError{"url", reason} }
	if text == "" || len(text) > maxURL {
		return bad("must have 1 to 2,048 bytes")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "" || len(u.Hostname()) > 253:
		return bad("is no address such as https://example.com/hook")
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return bad("has characters other than ASCII's printable ones; write them as % and two digits, and names in their xn-- form")
	case u.User != nil:
		return bad("holds a user or a password; receivers know who sends by the signature")
	case u.Fragment != "" || strings.Contains(text, "#"):
		return bad("has a fragment, which is never sent")
	case u.Scheme != "https" && u.Scheme != "http":
		return bad("must begin with https://")
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	ip, err := netip.ParseAddr(host)
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.Unmap().IsLoopback()
	switch {
	case u.Scheme == "http" && !(private && local):
		return bad("must begin with https://; http:// is for receivers on the server's own machine, where webhook_private is on")
	case local && !private, err == nil && !Reachable(ip, private):
		return bad("leads to an address that is not public; the server sends there only where webhook_private is on")
	}
	return u, nil
}
