package s3

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		address string
		want    Address
	}{
		{"s3://stones", Address{"stones", "", "s3.us-east-1.amazonaws.com", true, "us-east-1", false}},
		{"s3://stones/?region=eu-central-1", Address{"stones", "", "s3.eu-central-1.amazonaws.com", true, "eu-central-1", false}},
		{"s3://stones/a/b_c?endpoint=https://minio.example:9000&path_style=true", Address{"stones", "a/b_c/", "minio.example:9000", true, "us-east-1", true}},
		{"s3://stones/a/?endpoint=http://127.0.0.1:9000/", Address{"stones", "a/", "127.0.0.1:9000", false, "us-east-1", false}},
		{"s3://stones?endpoint=http://[::1]:9000", Address{"stones", "", "[::1]:9000", false, "us-east-1", false}},
		{"s3://stones?endpoint=http://localhost", Address{"stones", "", "localhost", false, "us-east-1", false}},
		{"s3://stones?endpoint=http://minio:9000&plain_http=allow&path_style=1", Address{"stones", "", "minio:9000", false, "us-east-1", true}},
	} {
		if got, err := Parse(c.address); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.address, got, err, c.want)
		}
	}
	for _, address := range []string{
		"", "stones", "https://stones", "s3:", "s3:stones", "s3://", "s3:///a", "s3://UPPER", "s3://a", "s3://bucket:80", "s3://user:hidden@stones",
		"s3://stones/a//b", "s3://stones/../b", "s3://stones/a b", "s3://stones/%00", "s3://stones#hidden",
		"s3://stones?secret=hidden", "s3://stones?region=a&region=b", "s3://stones?region=", "s3://stones?path_style=maybe",
		"s3://stones?endpoint=minio:9000", "s3://stones?endpoint=ftp://minio", "s3://stones?endpoint=https://",
		"s3://stones?endpoint=https://user:hidden@minio", "s3://stones?endpoint=https://minio/path", "s3://stones?endpoint=https://minio?a=b",
		"s3://stones?endpoint=http://minio:9000", "s3://stones?endpoint=http://10.0.0.1", "s3://stones?endpoint=http://127.0.0.1.example",
		"s3://stones?endpoint=http://minio&plain_http=yes", "s3://stones?a=%zz", "s3://stones/\x7f",
	} {
		got, err := Parse(address)
		if err == nil {
			t.Errorf("%q was read: %+v", address, got)
		} else if strings.Contains(err.Error(), "hidden") {
			t.Errorf("%q: the error repeats it: %v", address, err)
		}
	}
}

func TestReadCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	write := func(text string) string {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	environment := map[string]string{"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hidden"}
	lookup := func(name string) (string, bool) { v, ok := environment[name]; return v, ok }
	nothing := func(string) (string, bool) { return "", false }
	if got, err := ReadCredentials("", lookup); err != nil || got != (Credentials{"key", "hidden", ""}) {
		t.Errorf("from the environment: %#v, %v", got, err)
	}
	got, err := ReadCredentials(write("# of the store\nAWS_ACCESS_KEY_ID = other\n\nAWS_SECRET_ACCESS_KEY=a=b\nAWS_SESSION_TOKEN=t\n"), lookup)
	if err != nil || got != (Credentials{"other", "a=b", "t"}) {
		t.Errorf("from a file: %v", err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadCredentials(file, lookup); err == nil && runtime.GOOS != "windows" {
		t.Error("a file that everybody may read was taken")
	}
	for what, read := range map[string]func() (Credentials, error){
		"nothing at all": func() (Credentials, error) { return ReadCredentials("", nothing) },
		"a missing file": func() (Credentials, error) { return ReadCredentials(file+"-missing", lookup) },
		"one of two":     func() (Credentials, error) { return ReadCredentials(write("AWS_SECRET_ACCESS_KEY=hidden\n"), lookup) },
		"other lines":    func() (Credentials, error) { return ReadCredentials(write("hidden\n"), lookup) },
	} {
		if _, err := read(); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestCredentialsHide(t *testing.T) {
	c := Credentials{"hidden", "hidden", "hidden"}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "c", c, "p", &c)
	text, err := json.Marshal(struct{ C Credentials }{c})
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v %s %q %v", c, c, c, c, &c), fmt.Sprintf("%+v", Options{Credentials: c}), log.String(), string(text)} {
		if strings.Contains(shown, "hidden") {
			t.Errorf("credentials are shown: %s", shown)
		}
	}
}
