package canonical

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

type inner struct {
	A string `json:"a"`
	B int64  `json:"b"`
}

type sample struct {
	Text  string  `json:"text"`
	Small uint8   `json:"small"`
	Count int64   `json:"count"`
	List  []inner `json:"list"`
}

const plain = `{"count":1,"list":[{"a":"","b":0}],"small":2,"text":"t"}`

func TestAccepted(t *testing.T) {
	for _, text := range []string{
		plain,
		`{"count":-9007199254740991,"list":[],"small":255,"text":""}`,
		`{"count":0,"list":[{"a":"x","b":-1},{"a":"y","b":9007199254740991}],"small":0,"text":"\"\\/\b\f\n\r\t\u0000\u001f"}`,
		"{\"count\":0,\"list\":[],\"small\":0,\"text\":\"<>&'\u007f\u0080\u2028\u2029\ufffd\ufffe\U0010ffffé\U0001f600\"}",
	} {
		var v sample
		if err := Unmarshal([]byte(text), &v); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if again, err := Marshal(v); err != nil || string(again) != text {
			t.Errorf("%s is written %s, %v", text, again, err)
		}
	}
}

// TestRefused changes the plain text in one place.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ what, old, new string }{
		{"space", `:1`, `: 1`},
		{"tab", `{"count"`, "{\t\"count\""},
		{"line end", `"t"}`, "\"t\"}\n"},
		{"byte order mark", `{"count"`, "\ufeff{\"count\""},
		{"order", `"small":2,"text":"t"`, `"text":"t","small":2`},
		{"order inside", `"a":"","b":0`, `"b":0,"a":""`},
		{"unknown", `"small"`, `"new":0,"small"`},
		{"unknown inside", `"b":0`, `"b":0,"c":0`},
		{"unknown, null", `"small"`, `"new":null,"small"`},
		{"missing", `"small":2,`, ``},
		{"missing inside", `,"b":0`, ``},
		{"null number", `:2`, `:null`},
		{"null text", `"t"`, `null`},
		{"null element", `{"a":"","b":0}`, `null`},
		{"repeated", `"small":2`, `"small":2,"small":2`},
		{"repeated, case", `"small":2`, `"SMALL":2,"small":2`},
		{"case", `"small"`, `"Small"`},
		{"folding", `"small"`, `"ſmall"`},
		{"Kelvin", `"count":1`, `"count":1,"K":0`},
		{"1.0", `:1`, `:1.0`},
		{"1e0", `:1`, `:1e0`},
		{"10e-1", `:1`, `:10e-1`},
		{"-0", `"b":0`, `"b":-0`},
		{"+1", `:1`, `:+1`},
		{"01", `:1`, `:01`},
		{"0x1", `:1`, `:0x1`},
		{"text for number", `:1`, `:"1"`},
		{"number for text", `"t"`, `1`},
		{"true", `:1`, `:true`},
		{"NaN", `:1`, `:NaN`},
		{"2^53+1", `:1`, `:9007199254740993`},
		{"2^63", `:1`, `:9223372036854775808`},
		{"256", `:2`, `:256`},
		{"-1 unsigned", `:2`, `:-1`},
		{"escaped letter", `"t"`, `"\u0074"`},
		{"escaped slash", `"t"`, `"\/"`},
		{"escaped member", `"text"`, `"te\u0078t"`},
		{"escaped <", `"t"`, `"\u003c"`},
		{"escaped line separator", `"t"`, `"\u2028"`},
		{"escaped delete", `"t"`, `"\u007f"`},
		{"upper-case escape", `"t"`, `"\u001F"`},
		{"long escape", `"t"`, `"\u000a"`},
		{"upper-case u", `"t"`, `"\U0041"`},
		{"raw control", `"t"`, "\"\x01\""},
		{"raw line end", `"t"`, "\"\n\""},
		{"not UTF-8", `"t"`, "\"\xff\""},
		{"overlong", `"t"`, "\"\xc0\xaf\""},
		{"surrogate in UTF-8", `"t"`, "\"\xed\xa0\x80\""},
		{"lone high surrogate", `"t"`, `"\ud800"`},
		{"lone low surrogate", `"t"`, `"\udfff"`},
		{"escaped pair", `"t"`, `"\ud83d\ude00"`},
		{"single quotes", `"t"`, `'t'`},
		{"trailing comma", `"t"}`, `"t",}`},
		{"comment", `"t"}`, `"t"/**/}`},
		{"second object", `"t"}`, `"t"}{}`},
		{"cut", `"t"}`, `"t"`},
		{"array around", plain, `[` + plain + `]`},
		{"null", plain, `null`},
		{"text", plain, `""`},
		{"nothing", plain, ``},
		{"deep", `:1`, `:` + strings.Repeat("[", 20000)},
		{"deep unknown", `"small"`, `"new":` + strings.Repeat(`{"a":`, 9000) + `0` + strings.Repeat(`}`, 9000) + `,"small"`},
	} {
		text := strings.Replace(plain, c.old, c.new, 1)
		if text == plain {
			t.Fatalf("%s: nothing changed", c.what)
		}
		var v sample
		if err := Unmarshal([]byte(text), &v); err == nil {
			t.Errorf("%s: %.200s is accepted", c.what, text)
		}
	}
	var v sample
	if err := Unmarshal([]byte(plain+" "), &v); !errors.Is(err, ErrNotCanonical) {
		t.Errorf("another spelling is %v", err)
	}
}

// FuzzUnmarshal: what is accepted is written the same way again, holds nothing but valid UTF-8, and a
// general reader sees the same members in it.
func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(plain))
	f.Add([]byte(`{"count":-1,"list":[],"small":0,"text":"\u001f\n\""}`))
	f.Add([]byte(`{"count":1e2,"list":null,"small":0,"text":"<"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var v sample
		if Unmarshal(text, &v) != nil {
			return
		}
		again, err := Marshal(v)
		if err != nil || !bytes.Equal(again, text) || !utf8.Valid(text) {
			t.Fatalf("%q is written %q, %v", text, again, err)
		}
		var general map[string]any
		if err := json.Unmarshal(text, &general); err != nil || len(general) != 4 || general["text"] != v.Text {
			t.Fatalf("%q is read as %v, %v", text, general, err)
		}
	})
}

// texts are strings of which JSON writers make different things.
var texts = []string{
	"", "plain", "\x00\x01\b\t\n\v\f\r\x1b\x1f", `"quoted" \ and \\ /`, "<script>&'\u007f", "\u0080\u2028\u2029\ufeff\ufffd\ufffe\uffff",
	"é\u0301", "\U0001f600\U0010ffff", "ends in \\", "\"", "x\x1f",
}

func TestAppendText(t *testing.T) {
	for _, s := range texts {
		sameText(t, s)
	}
	for r := range rune(0x3000) {
		sameText(t, string(r))
	}
}

// sameText holds AppendText against Marshal.
func sameText(t *testing.T, s string) {
	t.Helper()
	want, err := Marshal([]string{s})
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	if got := append(AppendText([]byte("["), s), ']'); !bytes.Equal(got, want) {
		t.Fatalf("%q is written %s, and should be %s", s, got, want)
	}
}

// FuzzAppendText: every valid text is written as Marshal writes it.
func FuzzAppendText(f *testing.F) {
	for _, s := range texts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if utf8.ValidString(s) {
			sameText(t, s)
		}
	})
}
