package auth

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestPolicy(t *testing.T) {
	const short, common, easy = "is shorter than", "is one of those that are tried first", "is easy to guess"
	alone, second := Policy{Name: "Ann Smith"}, Policy{Name: "Ann Smith", SecondFactor: true}
	for _, row := range []struct {
		policy         Policy
		password, want string // want begins the reason; "" is none
	}{
		{alone, goodPassword, ""},
		{alone, "lamp-otter-violin-crumb", ""},
		{alone, "grün Lampe Otter Geige", ""},
		{alone, "日本語のパスワードですよね長いですね", ""},
		{alone, "xk7q9m2pv4wz8ht", ""},
		{alone, strings.Repeat("lamp otter violin ", 56), ""}, // 1,008 bytes
		{alone, "xk7q9m2pv4wz8h", short + " 15 characters"},
		{alone, strings.Repeat("ä", 14), short + " 15 characters"},
		{second, "xk7q9m2p", ""},
		{second, "xk7q9m2", short + " 8 characters"},
		{second, "ääääääää", easy},
		{second, "password", common},
		{second, "PassWord", common},
		{second, "baseball", common},
		{second, "stonevault", common},
		{second, "Ann Smith", common},
		{alone, "passwordpassword", common},
		{alone, "Ann SmithANN SMITH", common},
		{alone, "stonevaultstonevault", common},
		{alone, "password12345678", easy},
		{alone, "annsmithannsmith1", easy},
		{alone, strings.Repeat("a", 15), common}, // "a" itself is on the list
		{alone, strings.Repeat("a", 1024), common},
		{alone, strings.Repeat("ä", 15), easy},
		{alone, "あああああああああああああああ", easy},
		{alone, "qwertyuiopasdfghjkl", easy},
		{alone, "123456789012345", easy},
		{alone, "abcdefghijklmnop", easy},
		{alone, "P4$$w0rdP4$$w0rd", easy},
		{alone, "m1ch@el_j0rd@n_!", easy},
		{second, "4dm1n1$tr4t0r", easy},
		{alone, "aaaaaaaaaaaaaaaab", easy},
		{alone, "", "is empty"},
		{alone, strings.Repeat("x", 1025), "is longer than 1,024 bytes"},
		{alone, strings.Repeat("\xff", 20), "is not valid UTF-8"},
		{Policy{}, goodPassword, ""},
		{Policy{Name: goodPassword}, goodPassword, common},
	} {
		err := row.policy.Check(row.password)
		var invalid *InvalidError
		switch {
		case row.want == "" && err != nil:
			t.Errorf("%.40q: %v", row.password, err)
		case row.want != "" && (!errors.As(err, &invalid) || invalid.Field != "password" || !strings.HasPrefix(invalid.Reason, row.want)):
			t.Errorf("%.40q: %v, want %q", row.password, err, row.want)
		case err != nil && len(row.password) > 8 && strings.Contains(err.Error(), row.password):
			t.Errorf("%.40q is in its own refusal", row.password)
		}
	}
}

// Every refusal for what a person chose says what to choose instead.
func TestPolicySaysWhatToDo(t *testing.T) {
	for _, password := range []string{"short", "passwordpassword", "qwertyuiopasdfghjkl"} {
		if err := (Policy{}).Check(password); err == nil || !strings.Contains(err.Error(), "six random words") {
			t.Errorf("%q: %v", password, err)
		}
	}
}

func TestPolicyHash(t *testing.T) {
	hash, err := Policy{SecondFactor: true}.Hash(rand.Reader, "xk7q9m2p")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := newVerifier().verify(t.Context(), hash, "xk7q9m2p"); err != nil || !ok {
		t.Errorf("%v, %v", ok, err)
	}
	if _, err := (Policy{}).Hash(strings.NewReader(""), "password12345678"); !errors.As(err, new(*InvalidError)) {
		t.Errorf("a password that is easy to guess: %v", err)
	}
}

// A megabyte is refused before anything is done with it, and no password within the limit takes long.
func TestPolicyIsQuick(t *testing.T) {
	megabyte := strings.Repeat("lamp otter violin ", 1<<20/18)
	if n := testing.AllocsPerRun(10, func() { (Policy{}).Check(megabyte) }); n > 2 {
		t.Errorf("a megabyte takes %v allocations", n)
	}
	for _, password := range []string{
		strings.Repeat("4@8({[<369!1|7$05+%2", 50), strings.Repeat("1|7!", 250), strings.Repeat("1|7!4@", 150),
		strings.Repeat("c({[<a4@", 128), strings.Repeat("ab", 512), strings.Repeat("01-02-2003", 100),
	} {
		start := time.Now()
		(Policy{Name: strings.Repeat("a b c d abc ", 20)}).Check(password)
		if took := time.Since(start); took > time.Second {
			t.Errorf("%.20q… takes %v", password, took)
		}
	}
}

func TestCommonPasswordsAreThere(t *testing.T) {
	if n := len(commonPasswords()); n < 7000 {
		t.Errorf("%d common passwords", n)
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add("Ann", goodPassword, true)
	f.Add("é\u0301", "\u1e9b\u0323 \ufdfa ǅ İıſ", true)
	f.Add("", strings.Repeat("1|7!4@", 12), false)
	f.Fuzz(func(t *testing.T, name, password string, second bool) {
		p := Policy{Name: name, SecondFactor: second}
		err := p.Check(password)
		if err == nil && (len(password) > MaxPasswordBytes || utf8.RuneCountInString(password) < MinPasswordRunesSecondFactor) {
			t.Errorf("accepted %q", password)
		}
		if err != nil && !errors.As(err, new(*InvalidError)) {
			t.Errorf("%q: %v", password, err)
		}
		if again := p.Check(password); (again == nil) != (err == nil) {
			t.Errorf("%q: first %v, then %v", password, err, again)
		}
	})
}
