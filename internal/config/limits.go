package config

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

// Limits says how many requests of each class an address, and a person, may make in a minute, and where they are
// counted. 0 is no limit.
type Limits struct {
	SignIn, Read, Write, Transfer int64
	Quantum                       int64 // sessions and experiments
	QKD                           int64 // requests of programs for quantum keys: by address, and by SAE

	Cache    SecretText // the address of a Redis; empty is this server's memory
	FallBack bool       // count in memory while Redis cannot be reached
}

// InMemory is what settings call the memory of this server.
const InMemory = "memory"

// maxLimit is a million a second, which is as good as none.
const maxLimit = 60_000_000

var redisSchemes = []string{"redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"}

// checkCache never repeats the value, which may have a password. What is left to see is up to who connects.
func checkCache(v string) error {
	if v == InMemory {
		return nil
	}
	scheme, rest, _ := strings.Cut(v, "://")
	// A URL has one host: of several, the first is looked at.
	first, _, _ := strings.Cut(rest[strings.LastIndex(rest, "@")+1:], ",")
	if u, err := url.Parse("redis://" + first); err == nil && u.Hostname() != "" && slices.Contains(redisSchemes, scheme) {
		return nil
	}
	return errors.New("must be memory, or an address such as redis://HOST:6379/0, rediss://USER:PASSWORD@HOST:6379/0 for TLS, " +
		"redis+sentinel://HOST:26379,HOST:26379/PRIMARY or redis+cluster://HOST:6379,HOST:6379")
}
