package auth

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/ccojocar/zxcvbn-go"
	"github.com/ccojocar/zxcvbn-go/frequency"
	"github.com/ccojocar/zxcvbn-go/matching"
	"golang.org/x/text/unicode/norm"
)

const (
	// MinPasswordRunes is how many characters a new password has at least where it is the only factor
	// (NIST SP 800-63B-4, 3.1.1.2).
	MinPasswordRunes = 15
	// MinPasswordRunesSecondFactor is how many it has at least beside a second factor (the same place).
	MinPasswordRunesSecondFactor = 8

	scoredRunes    = 72 // zxcvbn takes time that grows with the square of the length
	leastScore     = 3  // of zxcvbn's 0 to 4: 2·10^10 guesses and more
	leastNameRunes = 3
	product        = "stonevault"
)

// Policy is what a new password of an account must satisfy. There are no rules of composition: they make
// passwords that people forget and programs guess (NIST SP 800-63B-4, 3.1.1.2).
type Policy struct {
	Name         string // the account's: a password made of it is refused
	SecondFactor bool   // the account has one, or must set one up before it can do anything
}

// Check returns an *InvalidError for the field "password", whose reason says what is wrong and what to do.
// The size, 1,024 bytes at most, is looked at before anything else. Then, in NFC, the password must have
// enough characters, must not be a common one, and its first 72 characters must reach 3 of the 4 points
// of zxcvbn (Wheeler, USENIX Security 2016). It takes a few milliseconds.
func (p Policy) Check(password string) error {
	_, err := p.normal(password)
	return err
}

// Hash checks a new password and returns its PHC string. It takes about 64 MiB and a tenth of a second.
func (p Policy) Hash(rand io.Reader, password string) (string, error) {
	normal, err := p.normal(password)
	if err != nil {
		return "", err
	}
	return hashNormal(rand, normal)
}

func (p Policy) normal(password string) (string, error) {
	normal, err := normalPassword(password)
	if err != nil {
		return "", err
	}
	least := MinPasswordRunes
	if p.SecondFactor {
		least = MinPasswordRunesSecondFactor
	}
	reason := tooShort(normal, least)
	switch {
	case reason != "":
		reason += "; six random words are long enough and easy to remember"
	case p.common(normal):
		reason = "is one of those that are tried first; choose one that nobody else has, such as six random words"
	case p.score(normal) < leastScore:
		reason = "is easy to guess; leave out names, dates, repetitions and rows of keys, or take six random words"
	default:
		return normal, nil
	}
	return "", &InvalidError{"password", reason}
}

// tooShort says so of a normal password that has fewer characters than least, and is empty otherwise.
func tooShort(normal string, least int) string {
	if utf8.RuneCountInString(normal) >= least {
		return ""
	}
	return fmt.Sprintf("is shorter than %d characters", least)
}

// commonPasswords are the 7,141 most frequent passwords of zxcvbn's list (MIT licence), which its Go
// library carries.
var commonPasswords = sync.OnceValue(func() map[string]bool {
	set := map[string]bool{}
	for _, word := range frequency.Lists["Passwords"].List {
		set[strings.ToLower(word)] = true
	}
	return set
})

// common tells whether the whole password is a common one, the account's name or the product's, or such a
// word over and over.
func (p Policy) common(normal string) bool {
	text := strings.ToLower(normal)
	names := []string{product, strings.ToLower(norm.NFC.String(p.Name))}
	for size := 1; size <= len(text); size++ {
		word := text[:size]
		if len(text)%size != 0 || strings.Repeat(word, len(text)/size) != text {
			continue
		}
		if commonPasswords()[word] || word == names[0] || word == names[1] {
			return true
		}
	}
	return false
}

func (p Policy) score(normal string) int {
	text := latin(firstRunes(normal, scoredRunes))
	words := []string{product}
	name := latin(firstRunes(norm.NFC.String(p.Name), scoredRunes))
	for _, word := range append(strings.FieldsFunc(name, notWord), name) {
		if len(word) >= leastNameRunes {
			words = append(words, word)
		}
	}
	score := 4
	for _, reading := range []string{text, leetI.Replace(text), leetL.Replace(text)} {
		score = min(score, zxcvbn.PasswordStrength(reading, words, matching.FilterL33tMatcher).Score)
	}
	return score
}

// leetI and leetL read the signs that stand for letters. zxcvbn's own reader tries every combination, which
// takes seconds for a password made to that end.
var (
	leetI = strings.NewReplacer("4", "a", "@", "a", "8", "b", "(", "c", "<", "c", "3", "e", "6", "g", "9", "g",
		"1", "i", "!", "i", "|", "i", "0", "o", "$", "s", "5", "s", "+", "t", "7", "t", "%", "x", "2", "z")
	leetL = strings.NewReplacer("4", "a", "@", "a", "8", "b", "(", "c", "<", "c", "3", "e", "6", "g", "9", "g",
		"1", "l", "!", "l", "|", "l", "0", "o", "$", "s", "5", "s", "+", "t", "7", "l", "%", "x", "2", "z")
)

// latin is text with one ASCII character for each of its own: zxcvbn takes bytes for characters, and would
// praise fifteen times the same umlaut. Letters lose their marks; those of other scripts become others.
func latin(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r >= utf8.RuneSelf {
			r, _ = utf8.DecodeRuneInString(norm.NFKD.String(string(r)))
		}
		if r >= utf8.RuneSelf {
			r = 'a' + r%26
		}
		b.WriteRune(r)
	}
	return b.String()
}

func firstRunes(text string, most int) string {
	for i := range text {
		if most == 0 {
			return text[:i]
		}
		most--
	}
	return text
}

func notWord(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }
