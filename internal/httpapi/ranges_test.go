package httpapi

import (
	"fmt"
	"mime"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseRange(t *testing.T) {
	for _, row := range []struct {
		header string
		size   int64
		want   string // "start+length …", "none", or "error"
	}{
		{"bytes=0-4", 10, "0+5"},
		{"bytes=0-", 10, "0+10"},
		{"bytes=9-", 10, "9+1"},
		{"bytes=-3", 10, "7+3"},
		{"bytes=-10", 10, "0+10"},
		{"bytes=-11", 10, "0+10"},
		{"bytes=5-99", 10, "5+5"},
		{"bytes=0-99999999999999999999999", 10, "0+10"},
		{"bytes=-99999999999999999999999", 10, "0+10"},
		{"BYTES=0-0", 10, "0+1"},
		{"bytes=0-0,-1", 10, "0+1 9+1"},
		{"bytes= 0-0 ,\t-1 ", 10, "0+1 9+1"},
		{"bytes=,0-0,,", 10, "0+1"},
		{"bytes=9-9,0-0", 10, "9+1 0+1"},
		{"bytes=0-0,10-", 10, "0+1"},
		{"bytes=0-9", 10, "0+10"},
		{"bytes=10-", 10, "error"},
		{"bytes=10-20,99-", 10, "error"},
		{"bytes=99999999999999999999999-", 10, "error"},
		{"bytes=-0", 10, "error"},
		{"bytes=0-", 0, "error"},
		{"bytes=-1", 0, "error"},
		{"bytes=", 10, "error"},
		{"bytes=,", 10, "error"},
		{"bytes=-", 10, "error"},
		{"bytes=4-3", 10, "error"},
		{"bytes=a-b", 10, "error"},
		{"bytes=+1-2", 10, "error"},
		{"bytes=1 -2", 10, "error"},
		{"bytes=0x1-2", 10, "error"},
		{"bytes=1--2", 10, "error"},
		{"bytes=--1", 10, "error"},
		{"bytes=1", 10, "error"},
		{"bytes=1-2-3", 10, "error"},
		{"bytes=0-0;1-1", 10, "error"},
		{"bytes=0-9,0-0", 10, "error"}, // more than the file
		{"bytes=0-5,4-9", 10, "error"},
		{"bytes=" + strings.Repeat("0-0,", 64), 100, strings.TrimSpace(strings.Repeat("0+1 ", 64))},
		{"bytes=" + strings.Repeat("0-0,", 65), 100, "error"},
		{"", 10, "none"},
		{"bytes", 10, "none"},
		{"bytes 0-1", 10, "none"},
		{"lines=0-1", 10, "none"},
		{"=0-1", 10, "none"},
	} {
		ranges, err := parseRange(row.header, row.size)
		var got []string
		for _, r := range ranges {
			got = append(got, fmt.Sprintf("%d+%d", r.start, r.length))
		}
		text := strings.Join(got, " ")
		switch {
		case err != nil:
			text = "error"
		case text == "":
			text = "none"
		}
		if text != row.want {
			t.Errorf("%.40q of %d: %s, want %s", row.header, row.size, text, row.want)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	f.Add("bytes=0-4,-1,5-", int64(10))
	f.Add("bytes=99999999999999999999-", int64(1)<<40)
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 || size > contentLimit {
			return
		}
		ranges, err := parseRange(header, size)
		if err != nil && ranges != nil {
			t.Error("ranges came with an error")
		}
		var sum int64
		for _, r := range ranges {
			if r.start < 0 || r.length < 1 || r.start+r.length > size {
				t.Errorf("%q of %d: %+v", header, size, r)
			}
			sum += r.length
		}
		if sum > size || len(ranges) > maxRanges {
			t.Errorf("%q of %d: %d ranges, %d bytes", header, size, len(ranges), sum)
		}
	})
}

func TestMatches(t *testing.T) {
	const etag = `"a-1"`
	for _, row := range []struct {
		header       []string
		strong, weak bool
	}{
		{[]string{`"a-1"`}, true, true},
		{[]string{`*`}, true, true},
		{[]string{` * `}, true, true},
		{[]string{`W/"a-1"`}, false, true},
		{[]string{`"b", "a-1"`}, true, true},
		{[]string{`"b"`, `"a-1"`}, true, true},
		{[]string{`"b,a-1"`, `,,"a-1"`}, true, true},
		{[]string{`"a-1`}, false, false},
		{[]string{`a-1`}, false, false},
		{[]string{``}, false, false},
		{[]string{`"b", *`}, false, false},
		{[]string{`"a-10"`}, false, false},
		{[]string{`""a-1""`}, false, false},
		{[]string{`w/"a-1"`}, false, false},
		{[]string{`"x\"", "a-1"`}, false, false}, // a backslash escapes nothing in an ETag
	} {
		if got := matches(row.header, etag, false); got != row.strong {
			t.Errorf("%q strong: %v", row.header, got)
		}
		if got := matches(row.header, etag, true); got != row.weak {
			t.Errorf("%q weak: %v", row.header, got)
		}
	}
}

func FuzzMatches(f *testing.F) {
	f.Add(`W/"a", "b"`)
	f.Fuzz(func(t *testing.T, header string) {
		if matches([]string{header}, `"a-1"`, false) && !strings.Contains(header, `"a-1"`) && !strings.Contains(header, "*") {
			t.Errorf("%q matches", header)
		}
	})
}

func TestDisposition(t *testing.T) {
	for _, row := range []struct{ name, want string }{
		{"file.txt", `attachment; filename="file.txt"; filename*=UTF-8''file.txt`},
		{"to Ann.txt", `attachment; filename="to Ann.txt"; filename*=UTF-8''to%20Ann.txt`},
		{`a"b\c.txt`, `attachment; filename="a_b_c.txt"; filename*=UTF-8''a%22b%5Cc.txt`},
		{"a\r\nSet-Cookie: x=1", `attachment; filename="a__Set-Cookie_ x=1"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x%3D1`},
		{"naïve.txt", `attachment; filename="na_ve.txt"; filename*=UTF-8''na%C3%AFve.txt`},
		{"\u202egpj.exe", `attachment; filename="_gpj.exe"; filename*=UTF-8''%E2%80%AEgpj.exe`},
		{"100%.txt", `attachment; filename="100_.txt"; filename*=UTF-8''100%25.txt`},
		{"..%2f..%2fetc", `attachment; filename=".._2f.._2fetc"; filename*=UTF-8''..%252f..%252fetc`},
	} {
		if got := disposition(row.name); got != row.want {
			t.Errorf("%q:\n got %s\nwant %s", row.name, got, row.want)
		}
	}
}

func FuzzDisposition(f *testing.F) {
	f.Add("file.txt")
	f.Add("a\x00\r\n\";\\b")
	f.Fuzz(func(t *testing.T, name string) {
		got := disposition(name)
		for _, b := range []byte(got) {
			if b < 0x20 || b > 0x7e {
				t.Fatalf("%q has a byte %#x", got, b)
			}
		}
		kind, params, err := mime.ParseMediaType(got)
		if err != nil || kind != "attachment" {
			t.Fatalf("%q is read as %q, %v, %v", got, kind, params, err)
		}
		if utf8.ValidString(name) && params["filename"] != name {
			t.Fatalf("%q comes back as %q", name, params["filename"])
		}
	})
}

func TestRangeStillHolds(t *testing.T) {
	for _, row := range []struct {
		values []string
		want   bool
	}{
		{nil, true},
		{[]string{`"a-1"`}, true},
		{[]string{`"a-2"`}, false},
		{[]string{`W/"a-1"`}, false},
		{[]string{"Sat, 21 Nov 2026 09:00:00 GMT"}, false},
		{[]string{`"a-1"`, `"a-1"`}, false},
		{[]string{""}, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["If-Range"] = row.values
		if got := rangeStillHolds(r, `"a-1"`); got != row.want {
			t.Errorf("%q: %v", row.values, got)
		}
	}
}
