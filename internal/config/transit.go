package config

import (
	"errors"
	"net/url"
	"strings"
	"time"
)

// Transit says which transit engine wraps the master key, and who asks it.
type Transit struct {
	Address   string
	Mount     string
	Key       string
	Namespace string
	CAFile    string
	RoleID    string // of AppRole; with one, the secret id is used and otherwise the token
	Cache     time.Duration

	// The files of secrets that may change; empty where they came from the environment.
	TokenFile, SecretIDFile string
	TokenText, SecretIDText SecretText // as they were at the start
}

func (c *Config) byTransit() bool { return c.MasterKey.Kind == KeyFromTransit }

// Token reads the token as it is now.
func (t Transit) Token() (string, error) { return current(t.TokenFile, t.TokenText) }

// SecretID reads the secret id as it is now.
func (t Transit) SecretID() (string, error) { return current(t.SecretIDFile, t.SecretIDText) }

func current(path string, loaded SecretText) (string, error) {
	if path == "" {
		return string(loaded), nil
	}
	text, err := readSecret(path)
	if err != nil {
		return "", &Error{path, strings.Replace(err.Error(), "names", "is", 1)}
	}
	return text, nil
}

// checkTransitAddress never repeats the value, which may hold a password. What must be protected by TLS, who asks
// there sees to.
func checkTransitAddress(v string) error {
	if u, err := url.Parse(v); err == nil && u.Hostname() != "" && (u.Scheme == "https" || u.Scheme == "http") {
		return nil
	}
	return errors.New("must be an address such as https://HOST:8200")
}

// checkTransitPath accepts names that are parts of an address and of a header.
func checkTransitPath(v string) error {
	for part := range strings.SplitSeq(strings.Trim(v, "/"), "/") {
		if part == "" || part == "." || part == ".." || strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
			return errors.New("must be a name of letters, digits, dots, hyphens and underscores, or several with slashes between")
		}
	}
	return nil
}
