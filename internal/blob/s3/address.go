package s3

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// Address is where a bucket is.
type Address struct {
	Bucket    string
	Prefix    string // "" or ending in "/"
	Endpoint  string // host[:port]
	Secure    bool   // HTTPS
	Region    string
	PathStyle bool // the bucket is the first part of the path, and not of the host's name
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	prefixName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)
)

// Parse reads s3://bucket[/prefix] with these settings behind a "?":
//
//	endpoint    https://host[:port]; AWS in the region, where it is missing
//	region      us-east-1, where it is missing
//	path_style  true for most stores but AWS
//	plain_http  allow, for http:// to an address that is not of this machine
//
// Errors don't repeat the address: somebody may have put a password into it.
func Parse(address string) (Address, error) {
	wrong := func(what string) (Address, error) {
		return Address{}, fmt.Errorf("the address of the object store %s; it is s3://bucket/prefix?endpoint=https://host:port&region=…&path_style=true", what)
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return wrong("cannot be read")
	case u.Scheme != "s3":
		return wrong("begins with something else")
	case u.User != nil:
		return wrong("has credentials, which belong in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or in a file")
	case u.Fragment != "" || u.Opaque != "" || !bucketName.MatchString(u.Host):
		return wrong("names no bucket")
	}
	a := Address{Bucket: u.Host, Region: "us-east-1", Secure: true}
	for _, part := range strings.Split(strings.Trim(u.Path, "/"), "/") {
		if part == "" && strings.Trim(u.Path, "/") == "" {
			break
		}
		if !prefixName.MatchString(part) {
			return wrong("has a prefix with something else than letters, digits, '.', '_' and '-'")
		}
		a.Prefix += part + "/"
	}
	settings, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return wrong("has settings that cannot be read")
	}
	endpoint, plain := "", false
	for name, values := range settings {
		value := values[0]
		switch {
		case len(values) > 1:
			return wrong("has a setting twice")
		case name == "endpoint":
			endpoint = value
		case name == "region" && value != "":
			a.Region = value
		case name == "path_style":
			if a.PathStyle, err = strconv.ParseBool(value); err != nil {
				return wrong("has a path_style that is neither true nor false")
			}
		case name == "plain_http" && value == "allow":
			plain = true
		default:
			return wrong("has a setting that is not known")
		}
	}
	if endpoint == "" {
		a.Endpoint = "s3." + a.Region + ".amazonaws.com"
		return a, nil
	}
	e, err := url.Parse(endpoint)
	if err != nil || e.Hostname() == "" || e.User != nil || strings.Trim(e.Path, "/") != "" || e.RawQuery != "" || e.Fragment != "" {
		return wrong("has an endpoint that is not https://host or https://host:port")
	}
	switch a.Endpoint = e.Host; {
	case e.Scheme == "https":
	case e.Scheme != "http":
		return wrong("has an endpoint that is not https://host or https://host:port")
	case !plain && !loopback(e.Hostname()):
		return wrong("has an endpoint without TLS that is not on this machine; use https://, or add plain_http=allow where the network between is trusted")
	default:
		a.Secure = false
	}
	return a, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Credentials are an access key and its secret. They don't show themselves.
type Credentials struct {
	AccessKey    string
	SecretKey    string
	SessionToken string // or ""
}

const redacted = "[redacted]"

// String hides the credentials.
func (Credentials) String() string { return redacted }

// GoString hides the credentials.
func (Credentials) GoString() string { return redacted }

// LogValue hides the credentials.
func (Credentials) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the credentials.
func (Credentials) MarshalText() ([]byte, error) { return []byte(redacted), nil }

const (
	accessKeyName    = "AWS_ACCESS_KEY_ID"
	secretKeyName    = "AWS_SECRET_ACCESS_KEY"
	sessionTokenName = "AWS_SESSION_TOKEN"
)

// ReadCredentials takes AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if it is there, AWS_SESSION_TOKEN from a file of
// lines NAME=value, which must not be open to everybody on the machine, or through lookup, such as os.LookupEnv, where file is "".
func ReadCredentials(file string, lookup func(name string) (string, bool)) (Credentials, error) {
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return Credentials{}, fmt.Errorf("credentials of the object store: %w", err)
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0 && runtime.GOOS != "windows" {
			return Credentials{}, fmt.Errorf("credentials of the object store: everybody on this machine may use %s; run: chmod o= %s", file, file)
		}
		values, err := readValues(f)
		if err != nil {
			return Credentials{}, fmt.Errorf("credentials of the object store: %s: %w", file, err)
		}
		lookup = func(name string) (string, bool) { v, ok := values[name]; return v, ok }
	}
	var c Credentials
	for name, value := range map[string]*string{accessKeyName: &c.AccessKey, secretKeyName: &c.SecretKey, sessionTokenName: &c.SessionToken} {
		*value, _ = lookup(name)
	}
	if c.AccessKey == "" || c.SecretKey == "" {
		return Credentials{}, fmt.Errorf("credentials of the object store: set %s and %s, in the environment or in a file of such lines", accessKeyName, secretKeyName)
	}
	return c, nil
}

func readValues(r io.Reader) (map[string]string, error) {
	values := make(map[string]string)
	lines := bufio.NewScanner(io.LimitReader(r, 64<<10))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		switch name = strings.TrimSpace(name); {
		case !ok || name != accessKeyName && name != secretKeyName && name != sessionTokenName:
			return nil, errors.New("a line is not " + accessKeyName + "=…, " + secretKeyName + "=… or " + sessionTokenName + "=…")
		default:
			values[name] = strings.TrimSpace(value)
		}
	}
	return values, lines.Err()
}
