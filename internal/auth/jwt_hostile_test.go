package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"stonevault/internal/vectors"
)

// hostile is a vault with a session, and what an access token of it says.
type hostile struct {
	*fixture
	grant           Grant
	secret          []byte
	header, payload object
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	f := newFixture(t)
	h := &hostile{fixture: f, grant: f.signIn(t)}
	kid := f.tokens.signing
	h.secret = []byte(f.tokens.keys[kid].secret)
	now := f.clock.now().Unix()
	h.header = object{"alg": "HS256", "typ": "JWT", "kid": kid}
	h.payload = object{
		"iss": "vault-1", "aud": []string{audience}, "sub": annID, "sid": h.grant.Principal.Session,
		"epoch": 1, "iat": now, "exp": now + 600,
	}
	if _, err := f.Authenticate(t.Context(), h.sign(t, h.header, h.payload)); err != nil {
		t.Fatalf("the pattern of all forgeries is not good itself: %v", err)
	}
	return h
}

// sign makes a token with the vault's own key: what is wrong with it must be found without the signature.
func (h *hostile) sign(t *testing.T, header, payload any) string {
	t.Helper()
	return forge(t, header, payload, sha256.New, h.secret)
}

// raw is o as JSON, with the text from replaced by to once.
func raw(t *testing.T, o object, from, to string) []byte {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(b), from, to, 1)
	if changed == string(b) {
		t.Fatalf("%q is not in %s", from, b)
	}
	return []byte(changed)
}

// refuse shows that none of the tokens is accepted, whether or not the session is trusted already.
func (h *hostile) refuse(t *testing.T, rows map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		token := rows[name]
		if token == h.grant.AccessToken {
			t.Errorf("%s: the row changes nothing", name)
		}
		h.clock.turn(trustFor)
		if p, err := h.Authenticate(t.Context(), token); !errors.Is(err, ErrUnauthenticated) || !p.same(Principal{}) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		h.clock.turn(-trustFor)
		if _, err := h.Authenticate(t.Context(), h.grant.AccessToken); err != nil {
			t.Fatal(err)
		}
		if p, err := h.Authenticate(t.Context(), token); !errors.Is(err, ErrUnauthenticated) || !p.same(Principal{}) {
			t.Errorf("%s, with the session trusted: %+v, %v", name, p, err)
		}
	}
}

// Signed with the vault's own key, but not what it writes: RFC 7519, 4 and 7.2; RFC 8725, 2 and 3.
func TestHostileClaims(t *testing.T) {
	h := newHostile(t)
	now := h.clock.now().Unix()
	exp, iat := fmt.Sprintf(`"exp":%d`, now+600), fmt.Sprintf(`"iat":%d`, now)
	claim := func(changes object) string { return h.sign(t, h.header, with(h.payload, changes)) }
	text := func(from, to string) string { return h.sign(t, h.header, raw(t, h.payload, from, to)) }
	plain, err := json.Marshal(h.payload)
	if err != nil {
		t.Fatal(err)
	}
	whole := string(plain)
	rows := map[string]string{
		"exp as text":               text(exp, fmt.Sprintf(`"exp":"%d"`, now+600)),
		"exp as a float":            text(exp, fmt.Sprintf(`"exp":%d.5`, now+599)),
		"exp with a point":          text(exp, fmt.Sprintf(`"exp":%d.0`, now+600)),
		"exp with an exponent":      text(exp, fmt.Sprintf(`"exp":%de0`, now+600)),
		"exp negative":              claim(object{"exp": -1}),
		"exp huge":                  text(exp, `"exp":1e300`),
		"exp past all floats":       text(exp, `"exp":1e999`),
		"exp at the end of int64":   text(exp, `"exp":9223372036854775807`),
		"exp past int64":            text(exp, `"exp":9223372036854775808`),
		"exp far away":              claim(object{"exp": now + 1e9}),
		"exp a second too far":      claim(object{"exp": now + 601}),
		"exp null":                  text(exp, `"exp":null`),
		"exp true":                  claim(object{"exp": true}),
		"exp a list":                claim(object{"exp": []int64{now + 600}}),
		"exp an object":             claim(object{"exp": object{}}),
		"exp twice":                 text(exp, fmt.Sprintf(`"exp":%d,%s`, now-600, exp)),
		"exp in capitals":           text(`"exp"`, `"EXP"`),
		"exp in capitals as well":   text(exp, fmt.Sprintf(`%s,"EXP":%d`, exp, now+300)),
		"exp with an escape":        text(`"exp"`, `"\u0065xp"`),
		"iat as text":               text(iat, fmt.Sprintf(`"iat":"%d"`, now)),
		"iat as a float":            text(iat, fmt.Sprintf(`"iat":%d.0`, now)),
		"iat zero":                  claim(object{"iat": 0}),
		"iat negative":              claim(object{"iat": -now}),
		"iat huge":                  text(iat, `"iat":1e300`),
		"nbf":                       claim(object{"nbf": now}),
		"nbf past":                  claim(object{"nbf": now - 60}),
		"nbf to come":               claim(object{"nbf": now + 60}),
		"nbf as text":               claim(object{"nbf": "0"}),
		"jti":                       claim(object{"jti": "1"}),
		"aud a text":                claim(object{"aud": audience}),
		"aud with another before":   claim(object{"aud": []string{"other", audience}}),
		"aud with another after":    claim(object{"aud": []string{audience, "other"}}),
		"aud twice the same":        claim(object{"aud": []string{audience, audience}}),
		"aud nested":                claim(object{"aud": [][]string{{audience}}}),
		"aud an object":             claim(object{"aud": object{audience: true}}),
		"aud a number":              claim(object{"aud": 1}),
		"aud with a null":           claim(object{"aud": []any{audience, nil}}),
		"aud in capitals":           claim(object{"aud": []string{strings.ToUpper(audience)}}),
		"aud with a space":          claim(object{"aud": []string{audience + " "}}),
		"aud empty text":            claim(object{"aud": ""}),
		"iss in capitals":           claim(object{"iss": "VAULT-1"}),
		"iss with a NUL":            claim(object{"iss": "vault-1\x00"}),
		"iss a list":                claim(object{"iss": []string{"vault-1"}}),
		"iss empty":                 claim(object{"iss": ""}),
		"iss twice":                 text(`"iss":"vault-1"`, `"iss":"vault-2","iss":"vault-1"`),
		"sub empty":                 claim(object{"sub": ""}),
		"sub a number":              claim(object{"sub": 1}),
		"sub null":                  text(`"sub":"`+annID+`"`, `"sub":null`),
		"sub twice":                 text(`"sub":"`+annID+`"`, `"sub":"`+benID+`","sub":"`+annID+`"`),
		"sub twice in two cases":    text(`"sub":"`+annID+`"`, `"Sub":"`+benID+`","sub":"`+annID+`"`),
		"sub in capitals":           claim(object{"sub": strings.ToUpper(annID)}),
		"sid empty":                 claim(object{"sid": ""}),
		"sid twice":                 text(`"sid":"`, `"sid":"00","sid":"`),
		"sid a list":                claim(object{"sid": []string{h.grant.Principal.Session}}),
		"epoch a float":             text(`"epoch":1`, `"epoch":1.0`),
		"epoch with an exponent":    text(`"epoch":1`, `"epoch":1e0`),
		"epoch negative zero":       text(`"epoch":1`, `"epoch":-0`),
		"epoch null":                text(`"epoch":1`, `"epoch":null`),
		"epoch past int64":          text(`"epoch":1`, `"epoch":18446744073709551617`),
		"epoch twice":               text(`"epoch":1`, `"epoch":7,"epoch":1`),
		"epoch in another case":     text(`"epoch"`, `"Epoch"`),
		"sid with a long s":         text(`"sid"`, `"ſid"`), // folds to an s
		"an unknown member":         claim(object{"admin": true}),
		"a role":                    claim(object{"role": "admin"}),
		"an empty member":           claim(object{"": ""}),
		"a null member":             text(exp, exp+`,"nbf":null`),
		"a space":                   text(`"epoch":1`, `"epoch": 1`),
		"a line break":              text(`"epoch":1`, "\"epoch\":\n1"),
		"a comment":                 text(`"epoch":1`, `"epoch":1/**/`),
		"a byte order mark":         h.sign(t, h.header, []byte("\xef\xbb\xbf"+whole)),
		"in a list":                 h.sign(t, h.header, []object{h.payload}),
		"not UTF-8":                 text(`"sub":"`, "\"sub\":\"\xff"),
		"no members":                h.sign(t, h.header, object{}),
		"no payload":                h.sign(t, h.header, []byte{}),
		"two hundred objects deep":  h.sign(t, h.header, []byte(strings.Repeat(`{"a":`, 200)+"1"+strings.Repeat("}", 200))),
		"trailing object":           h.sign(t, h.header, []byte(whole+"{}")),
		"trailing NUL":              h.sign(t, h.header, []byte(whole+"\x00")),
		"nested signed token":       h.sign(t, with(h.header, object{"cty": "JWT"}), []byte(h.grant.AccessToken)),
		"the token as its own body": h.sign(t, h.header, []byte(h.grant.AccessToken)),
	}
	h.refuse(t, rows)
}

// Headers that name other keys, algorithms and meanings: RFC 7515, 4; RFC 7797; RFC 8725, 2.1, 3.1 and 3.10.
func TestHostileHeaders(t *testing.T) {
	h := newHostile(t)
	kid := h.tokens.signing
	retired := tokenKey{id: "00112233aabbccdd", secret: slices.Repeat([]byte{7}, keyBytes), retiredAt: h.clock.now().Add(-AccessTTL - keysFresh - clockSkew)}
	other := tokenKey{id: "aabbccdd00112233", secret: slices.Repeat([]byte{8}, keyBytes)}
	h.tokens.keys[retired.id], h.tokens.keys[other.id] = retired, other
	head := func(changes object) string { return h.sign(t, with(h.header, changes), h.payload) }
	text := func(from, to string) string { return h.sign(t, raw(t, h.header, from, to), h.payload) }
	attacker := object{"kty": "oct", "k": base64.RawURLEncoding.EncodeToString(make([]byte, 32))}
	withKey := func(changes object, sum func() hash.Hash, key []byte) string {
		return forge(t, with(h.header, changes), h.payload, sum, key)
	}
	unsigned := func(alg string) string {
		token := head(object{"alg": alg})
		return token[:strings.LastIndexByte(token, '.')+1]
	}
	rows := map[string]string{
		"none":                             unsigned("none"),
		"nOnE":                             unsigned("nOnE"),
		"none, signed":                     head(object{"alg": "none"}),
		"no signature":                     unsigned("HS256"),
		"hs256":                            head(object{"alg": "hs256"}),
		"HS256 with a space":               head(object{"alg": "HS256 "}),
		"alg a list":                       head(object{"alg": []string{"HS256"}}),
		"alg null":                         text(`"alg":"HS256"`, `"alg":null`),
		"alg twice, none first":            text(`"alg":"HS256"`, `"alg":"none","alg":"HS256"`),
		"alg twice, none last":             text(`"alg":"HS256"`, `"alg":"HS256","alg":"none"`),
		"alg with an escape":               text(`"alg"`, `"\u0061lg"`),
		"alg in capitals":                  text(`"alg"`, `"ALG"`),
		"HS384":                            withKey(object{"alg": "HS384"}, sha512.New384, h.secret),
		"HS512":                            withKey(object{"alg": "HS512"}, sha512.New, h.secret),
		"HS256 made with SHA-512":          withKey(nil, sha512.New, h.secret),
		"RS256":                            head(object{"alg": "RS256"}),
		"ES256":                            head(object{"alg": "ES256"}),
		"PS256":                            head(object{"alg": "PS256"}),
		"EdDSA":                            head(object{"alg": "EdDSA"}),
		"dir, as a JWE":                    head(object{"alg": "dir", "enc": "A256GCM"}),
		"wrong key":                        withKey(nil, sha256.New, slices.Repeat([]byte{1}, keyBytes)),
		"empty key":                        withKey(nil, sha256.New, nil),
		"zero key":                         withKey(nil, sha256.New, make([]byte, keyBytes)),
		"short key":                        withKey(nil, sha256.New, h.secret[:keyBytes-1]),
		"key in base64":                    withKey(nil, sha256.New, []byte(base64.StdEncoding.EncodeToString(h.secret))),
		"the issuer as the key":            withKey(nil, sha256.New, []byte("vault-1")),
		"another key's kid":                head(object{"kid": other.id}),
		"another key under this kid":       withKey(nil, sha256.New, other.secret),
		"a retired key":                    withKey(object{"kid": retired.id}, sha256.New, retired.secret),
		"kid in capitals":                  head(object{"kid": strings.ToUpper(kid)}),
		"kid with a space":                 head(object{"kid": kid + " "}),
		"kid with a NUL":                   head(object{"kid": kid + "\x00"}),
		"kid with a line break":            head(object{"kid": kid + "\n"}),
		"kid a path":                       withKey(object{"kid": "../../../../dev/null"}, sha256.New, nil),
		"kid a file with known content":    withKey(object{"kid": "/proc/sys/kernel/randomize_va_space"}, sha256.New, []byte("2\n")),
		"kid SQL":                          withKey(object{"kid": "x' UNION SELECT 'secret'; --"}, sha256.New, []byte("secret")),
		"kid a command":                    withKey(object{"kid": "| sleep 10"}, sha256.New, nil),
		"kid an address":                   withKey(object{"kid": "https://evil.example/key"}, sha256.New, nil),
		"kid very long":                    head(object{"kid": strings.Repeat("k", 1200)}),
		"kid a number":                     head(object{"kid": 0}),
		"kid a list":                       head(object{"kid": []string{kid}}),
		"kid an object":                    head(object{"kid": object{"$ne": ""}}),
		"kid true":                         head(object{"kid": true}),
		"kid null":                         text(`"kid":"`+kid+`"`, `"kid":null`),
		"kid twice, ours last":             text(`"kid":"`, `"kid":"`+other.id+`","kid":"`),
		"kid twice in two cases":           text(`"kid":"`, `"Kid":"`+other.id+`","kid":"`),
		"typ in small letters":             head(object{"typ": "jwt"}),
		"typ a media type":                 head(object{"typ": "application/jwt"}),
		"typ a list":                       head(object{"typ": []string{"JWT"}}),
		"typ twice":                        text(`"typ":"JWT"`, `"typ":"x","typ":"JWT"`),
		"jwk":                              withKey(object{"jwk": attacker}, sha256.New, make([]byte, 32)),
		"jwk in the place of kid":          withKey(object{"kid": nil, "jwk": attacker}, sha256.New, make([]byte, 32)),
		"jku":                              head(object{"jku": "https://evil.example/keys"}),
		"jku to itself":                    head(object{"jku": "http://127.0.0.1/api/v1/me"}),
		"x5u":                              head(object{"x5u": "https://evil.example/chain"}),
		"x5c":                              head(object{"x5c": []string{"MIIB"}}),
		"x5t":                              head(object{"x5t": "AAAA"}),
		"crit":                             head(object{"crit": []string{"exp"}}),
		"crit empty":                       head(object{"crit": []string{}}),
		"crit of what nobody knows":        head(object{"crit": []string{"urn:x"}, "urn:x": true}),
		"zip":                              head(object{"zip": "DEF"}),
		"b64 false":                        head(object{"b64": false, "crit": []string{"b64"}}),
		"b64 false, not critical":          head(object{"b64": false}),
		"b64 true":                         head(object{"b64": true}),
		"cty":                              head(object{"cty": "JWT"}),
		"exp in the header":                head(object{"exp": 99999999999}),
		"an unknown member":                head(object{"x": 1}),
		"an unknown member for kid":        head(object{"kid": nil, "x": 1}),
		"a space":                          text(`{`, `{ `),
		"a byte order mark":                text(`{`, "\xef\xbb\xbf{"),
		"header a list":                    h.sign(t, []any{h.header}, h.payload),
		"header null":                      h.sign(t, []byte("null"), h.payload),
		"header empty":                     h.sign(t, []byte{}, h.payload),
		"header without members":           h.sign(t, object{}, h.payload),
		"header with a trailing object":    text(`}`, `}{}`),
		"header with a NUL":                text(`}`, "}\x00"),
		"header and payload the wrong way": h.sign(t, h.payload, h.header),
	}
	h.refuse(t, rows)
}

// Bytes that are not the token's, though some decoders read them as if they were: RFC 4648, 3; RFC 7515, 2 and 7.1.
func TestHostileEncodings(t *testing.T) {
	h := newHostile(t)
	good := h.grant.AccessToken
	part := strings.Split(good, ".")
	head, body, mac := part[0], part[1], part[2]
	signature, err := base64.RawURLEncoding.DecodeString(mac)
	if err != nil {
		t.Fatal(err)
	}
	// resigned has the right signature over parts that are written in another way.
	resigned := func(head, body string) string {
		m := hmac.New(sha256.New, h.secret)
		m.Write([]byte(head + "." + body))
		return head + "." + body + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
	}
	as := func(b []byte) string { return head + "." + body + "." + base64.RawURLEncoding.EncodeToString(b) }
	flipped := slices.Clone(signature)
	flipped[0] ^= 0x80
	inner, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{
		"first bit":                     as(flipped),
		"a byte less":                   as(signature[:31]),
		"a byte more":                   as(append(slices.Clone(signature), 0)),
		"half":                          as(signature[:16]),
		"twice":                         as(append(slices.Clone(signature), signature...)),
		"zeros":                         as(make([]byte, 32)),
		"in hex":                        head + "." + body + "." + fmt.Sprintf("%x", signature),
		"in the standard alphabet":      head + "." + body + "." + base64.RawStdEncoding.EncodeToString(append(slices.Clone(signature[:29]), 0xfb, 0xef, 0xff)),
		"loose bits":                    looseBits(good),
		"one =":                         good + "=",
		"two =":                         good + "==",
		"= within":                      head + "." + body + ".=" + mac,
		"percent 3D":                    good + "%3D",
		"header padded":                 resigned(head+"==", body),
		"payload padded":                resigned(head, body+"="),
		"payload in the other alphabet": resigned(head, base64.RawStdEncoding.EncodeToString(append(slices.Clone(inner), "\xfb\xff"...))),
		"payload with a space":          resigned(head, body[:4]+" "+body[4:]),
		"payload with a line break":     resigned(head, body[:4]+"\n"+body[4:]),
		"payload with CR LF":            resigned(head, body[:4]+"\r\n"+body[4:]),
		"header with a line break":      resigned(head[:4]+"\n"+head[4:], body),
		"header with loose bits":        resigned(looseBits(head), body),
		"payload with loose bits":       resigned(head, looseBits(body)),
		"line break before the mac":     head + "." + body + ".\n" + mac,
		"line break at the end":         good + "\n",
		"CR at the end":                 good + "\r",
		"line break at the start":       "\n" + good,
		"tab at the end":                good + "\t",
		"space at the start":            " " + good,
		"NUL at the end":                good + "\x00",
		"a no-break space":              good + "\u00a0",
		"a zero-width space":            good[:9] + "\u200b" + good[9:],
		"a dot at the end":              good + ".",
		"a dot at the start":            "." + good,
		"two dots":                      head + ".." + body + "." + mac,
		"a fourth part":                 good + ".e30",
		"five parts":                    good + "..",
		"two tokens":                    good + "." + good,
		"two tokens with a comma":       good + "," + good,
		"no header":                     "." + body + "." + mac,
		"no payload":                    head + ".." + mac,
		"a full-width dot":              head + "\uff0e" + body + "." + mac,
		"in capitals":                   strings.ToUpper(good),
		"in small letters":              strings.ToLower(good),
		"with Bearer":                   "Bearer " + good,
		"in quotes":                     `"` + good + `"`,
		"as JSON, flattened":            fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, head, body, mac),
		"as JSON, general":              fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, body, head, mac),
		"whole in base64":               base64.RawURLEncoding.EncodeToString([]byte(good)),
		"dots alone":                    "..",
		"very many dots":                strings.Repeat(".", maxTokenBytes),
		"too long":                      good + strings.Repeat("A", maxTokenBytes),
	}
	if looseBits(head) == head || strings.HasSuffix(head, "=") {
		t.Error("the header's end shows nothing")
	}
	h.refuse(t, rows)
}

// An RSA key that is known to everybody is no key for HMAC here, as it was in the classical confusion.
func TestPublicKeyAsSecret(t *testing.T) {
	h := newHostile(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der := x509.MarshalPKCS1PublicKey(&key.PublicKey)
	rs256 := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims(h.payload))
	rs256.Header["kid"] = h.tokens.signing
	signed, err := rs256.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	h.refuse(t, map[string]string{
		"RS256 with a stranger's key":   signed,
		"HS256 with the public key DER": forge(t, h.header, h.payload, sha256.New, der),
		"HS256 with the public key PEM": forge(t, h.header, h.payload, sha256.New, pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: der})),
	})
}

// wycheproofJOSE is what the three files of JSON web signatures and keys have in common.
type wycheproofJOSE struct {
	NumberOfTests int `json:"numberOfTests"`
	TestGroups    []struct {
		Comment string
		Private json.RawMessage
		Tests   []struct {
			ID       int `json:"tcId"`
			Comment  string
			Result   string
			JWS, JWE json.RawMessage
		}
	}
}

type octetKey struct{ Kty, Alg, Kid, K string }

// Every signature and ciphertext of Wycheproof is refused, each with its group's symmetric keys among the vault's own
// where it has any: nothing in them is an access token, valid or not. That those keys are taken is shown by
// a token of the vault's form, and the valid HS256 signatures are those that this library makes.
func TestWycheproofJOSE(t *testing.T) {
	for _, name := range []string{"json_web_signature", "json_web_crypto", "json_web_key"} {
		t.Run(name, func(t *testing.T) {
			var file wycheproofJOSE
			if err := json.Unmarshal(vectors.Shared(t, "wycheproof/"+name+"_test.json"), &file); err != nil {
				t.Fatal(err)
			}
			h := newHostile(t)
			ran, macs, keys := 0, 0, 0
			for _, group := range file.TestGroups {
				octets := octetKeys(t, group.Private)
				for _, k := range octets {
					h.trust(t, k)
					keys++
				}
				for _, v := range group.Tests {
					token := compact(v.JWS)
					if token == "" {
						token = compact(v.JWE)
					}
					if p, err := h.Authenticate(t.Context(), token); !errors.Is(err, ErrUnauthenticated) || !p.same(Principal{}) {
						t.Errorf("%s, test %d, %s: %+v, %v", group.Comment, v.ID, v.Comment, p, err)
					}
					if len(octets) == 1 && octets[0].Alg == "HS256" && len(v.JWS) > 0 && v.Result == "valid" {
						h.verifies(t, v.ID, token, octets[0])
						macs++
					}
					ran++
				}
			}
			if ran != file.NumberOfTests || keys == 0 {
				t.Errorf("%d tests of %d, %d keys", ran, file.NumberOfTests, keys)
			}
			t.Logf("%d refused, %d keys trusted meanwhile, %d valid HS256 signatures verified", ran, keys, macs)
		})
	}
}

// compact is the text of a token, or the JSON that stands in its place.
func compact(v json.RawMessage) string {
	var text string
	if json.Unmarshal(v, &text) != nil {
		return string(v)
	}
	return text
}

// octetKeys returns the symmetric keys of a key or of a set of them.
func octetKeys(t *testing.T, private json.RawMessage) (found []octetKey) {
	t.Helper()
	var set struct {
		octetKey
		Keys []octetKey
	}
	if len(private) == 0 {
		return nil
	}
	if err := json.Unmarshal(private, &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range append(set.Keys, set.octetKey) {
		if k.Kty == "oct" {
			found = append(found, k)
		}
	}
	return found
}

func (k octetKey) bytes(t *testing.T) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(k.K)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// trust makes k one of the vault's keys, and shows that it is.
func (h *hostile) trust(t *testing.T, k octetKey) {
	t.Helper()
	if k.Kid == "" {
		return
	}
	h.tokens.keys[k.Kid] = tokenKey{id: k.Kid, secret: k.bytes(t)}
	token := forge(t, with(h.header, object{"kid": k.Kid}), h.payload, sha256.New, k.bytes(t))
	if _, err := h.Authenticate(t.Context(), token); err != nil {
		t.Errorf("the key %s is not taken: %v", k.Kid, err)
	}
}

// verifies shows that a valid signature is one to the library that access tokens are verified by. Two of the
// valid ones hold a "?", which the vector means a reader to skip; this one refuses it.
func (h *hostile) verifies(t *testing.T, id int, token string, k octetKey) {
	t.Helper()
	part := strings.Split(token, ".")
	if strings.Contains(token, "?") {
		return
	}
	sig, err := h.tokens.parser.DecodeSegment(part[2])
	if err == nil {
		err = jwt.SigningMethodHS256.Verify(part[0]+"."+part[1], sig, k.bytes(t))
	}
	if err != nil {
		t.Errorf("test %d: a valid signature: %v", id, err)
	}
}
