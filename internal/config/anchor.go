package config

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Anchor says where heads of the audit log are written. Without a chain they are not.
type Anchor struct {
	Chain         string // a name or a number
	Contract      string
	Creator       string   // who created the log in the contract
	RPC           []string // addresses of servers, and file:PATH for files with one a line
	Quorum        int
	Key           string // path of an encrypted keystore file
	KeyPassphrase SecretText
	Interval      time.Duration
	Events        int64
	MaxFee        int64 // gwei
}

// On tells whether heads are anchored.
func (a Anchor) On() bool { return a.Chain != "" }

// FileItem begins an item of a list that names a file with more of them.
const FileItem = "file:"

// maxChain is the largest number that the audit log can record.
const maxChain = 1<<53 - 1

func checkChain(v string) error {
	n, err := strconv.ParseUint(v, 10, 64)
	if v == "polygon" || v == "amoy" || err == nil && n > 0 && n <= maxChain && strconv.FormatUint(n, 10) == v {
		return nil
	}
	return errors.New("must be polygon, amoy or the number of a chain, such as 137")
}

// checkAddress leaves the checksum to who uses the address.
func checkAddress(v string) error {
	digits, prefixed := strings.CutPrefix(v, "0x")
	if prefixed && len(digits) == 40 && strings.Trim(digits, "0123456789abcdefABCDEF") == "" {
		return nil
	}
	return errors.New("must be an address: 0x and 40 hexadecimal digits")
}

// checkRPC never repeats an address, which may hold a key.
func checkRPC(v string) error {
	if path, is := strings.CutPrefix(v, FileItem); is && path != "" {
		return nil
	}
	if u, err := url.Parse(v); err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") {
		return nil
	}
	return errors.New("must be addresses such as https://HOST/PATH, or file:PATH for a file with one a line")
}

// wholeNumber accepts 0 where least is not, and what lies between the two.
func wholeNumber(zero bool, least, most int64) func(string) error {
	return func(v string) error {
		n, err := strconv.ParseInt(v, 10, 64)
		if err == nil && strconv.FormatInt(n, 10) == v && (zero && n == 0 || n >= least && n <= most) {
			return nil
		}
		if zero {
			return fmt.Errorf("must be 0, or a number from %d to %d", least, most)
		}
		return fmt.Errorf("must be a number from %d to %d", least, most)
	}
}

func toInt(v string) int64 { n, _ := strconv.ParseInt(v, 10, 64); return n }

// duration accepts durations of at least so much.
func duration(least time.Duration) func(string) error {
	return func(v string) error {
		if d, err := time.ParseDuration(v); err == nil && d >= least {
			return nil
		}
		return fmt.Errorf("must be a duration of %v or more, such as 30m or 1h", least)
	}
}

func toDuration(v string) time.Duration { d, _ := time.ParseDuration(v); return d }

// without tells of anchoring that lacks something.
func without(lacks func(a Anchor) bool) func(c *Config) bool {
	return func(c *Config) bool { return c.Anchor.On() && lacks(c.Anchor) }
}

// unused tells of a setting that nothing comes of without a chain.
func unused(given func(a Anchor) bool) func(c *Config) bool {
	return func(c *Config) bool { return !c.Anchor.On() && given(c.Anchor) }
}

const needsChain = "is for anchoring, which is off; name the chain with --anchor-chain, or leave this out"
