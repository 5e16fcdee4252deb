package redis

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
)

type kind int

const (
	single kind = iota
	bySentinel
	cluster
)

// form is how a kind of address is written.
type form struct {
	kind kind
	tls  bool
	port string // where the address has none
	text string
}

const (
	singleForm   = "[user:password@]host[:port][/database]"
	sentinelForm = "[user:password@]host[:port][,host[:port]…]/primary[/database][?sentinel_password=…]"
	clusterForm  = "[user:password@]host[:port][,host[:port]…]"
)

var schemes = map[string]form{
	"redis":           {single, false, "6379", singleForm},
	"rediss":          {single, true, "6379", singleForm},
	"redis+sentinel":  {bySentinel, false, "26379", sentinelForm},
	"rediss+sentinel": {bySentinel, true, "26379", sentinelForm},
	"redis+cluster":   {cluster, false, "6379", clusterForm},
	"rediss+cluster":  {cluster, true, "6379", clusterForm},
}

// address is an address that was read.
type address struct {
	kind             kind
	tls              bool
	hosts            []string // host:port; of servers, sentinels or some nodes of a cluster
	user, password   string   // of the servers
	primary          string   // by which name the sentinels know them
	sentinelPassword string
	database         int
}

// parse never repeats the address, which may have a password.
func parse(text string) (a address, err error) {
	scheme, rest, _ := strings.Cut(text, "://")
	f, ok := schemes[scheme]
	if !ok {
		return a, errors.New("the address of Redis begins with something else than redis://, redis+sentinel:// or redis+cluster://, or rediss for TLS")
	}
	wrong := func(what string) error {
		return errors.New("the address of Redis " + what + "; it is " + scheme + "://" + f.text)
	}
	// A URL has one host, so that further ones are taken out before and read as a URL each.
	end := len(rest)
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		end = i
	}
	at := strings.LastIndex(rest[:end], "@") + 1
	hosts := strings.Split(rest[at:end], ",")
	if len(hosts) > 1 && f.kind == single {
		return a, wrong("names several hosts")
	}
	for _, host := range hosts {
		u, err := url.Parse("redis://" + host)
		switch {
		case err != nil:
			return a, wrong("cannot be read")
		case u.Hostname() == "":
			return a, wrong("names no host")
		}
		port := u.Port()
		if port == "" {
			port = f.port
		}
		a.hosts = append(a.hosts, net.JoinHostPort(u.Hostname(), port))
	}
	u, err := url.Parse("redis://" + rest[:at] + "host" + rest[end:])
	if err != nil {
		return a, wrong("cannot be read")
	}
	a.kind, a.tls, a.user = f.kind, f.tls, u.User.Username()
	a.password, _ = u.User.Password()
	settings, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return a, wrong("cannot be read")
	}
	path := strings.TrimPrefix(u.Path, "/")
	if f.kind == bySentinel {
		a.primary, path, _ = strings.Cut(path, "/")
		if a.primary == "" {
			return a, wrong("does not say by which name the sentinels know the primary")
		}
		a.sentinelPassword = settings.Get("sentinel_password")
		settings.Del("sentinel_password")
	}
	if len(settings) > 0 || u.Fragment != "" {
		return a, wrong("has settings at its end that are not known")
	}
	switch {
	case path == "":
	case f.kind == cluster:
		return a, wrong("has something behind the hosts, and a cluster has no databases")
	default:
		if a.database, err = strconv.Atoi(path); err != nil || a.database < 0 {
			return a, wrong("has no number of a database at its end")
		}
	}
	return a, nil
}
