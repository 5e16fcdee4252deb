package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"stonevault/internal/front"
)

// doctorKeys are the settings that the doctor looks at beside those of every verb.
var doctorKeys = []string{"listen", "tls_cert", "tls_key", "tls_generate", "tls_name", "require_pq", "trusted_proxy", "proxy_header", "behind_proxy"}

// entrance looks at how the server would be reached with these settings.
func (d *doctor) entrance() {
	const check = "tls"
	c := d.config
	switch {
	case c.TLS.On():
	case c.Proxy.HasTLS:
		d.say(check, levelOK, "with these settings %s is served in clear, to proxies that have TLS", c.Listen)
		return
	default:
		d.say(check, levelOK, "with these settings there is none, and %s is served in clear, to this machine alone", c.Listen)
		return
	}
	certFile, keyFile := c.TLS.CertFile, c.TLS.KeyFile
	if c.TLS.Generate {
		certFile, _ = d.store.dir.MadeCertificate()
		keyFile = certFile
		switch serves, err := madeServes(d.store.dir, c, d.now()); {
		case err != nil:
			d.say(check, levelFail, "%v", err)
			return
		case !serves:
			d.say(check, levelWarn, "the certificate of the server's own is not there, ends soon, or is for other names; the next start makes another, whose fingerprint clients must be told")
			return
		}
	}
	certificates, err := front.LoadCertificates(certFile, keyFile, d.now)
	if err != nil {
		d.say(check, levelFail, "%v", err)
		return
	}
	if _, err := front.Config(certificates, c.TLS.RequirePostQuantum, front.Watch{}); err != nil {
		d.say(check, levelFail, "%v", err)
		return
	}
	leaf := certificates.Leaf()
	about := strings.Join(front.NamesOf(leaf), ", ") + ", until " + leaf.NotAfter.UTC().Format(time.DateOnly) + ", fingerprint " + front.Fingerprint(leaf)
	switch left := leaf.NotAfter.Sub(d.now()); {
	case d.now().Before(leaf.NotBefore):
		d.say(check, levelFail, "the certificate in %s begins on %s only, and clients refuse it until then", certFile, leaf.NotBefore.UTC().Format(time.DateOnly))
	case left < 0:
		d.say(check, levelFail, "the certificate in %s has expired, and clients refuse it; put another one in its place, which needs no restart", certFile)
	case left < expiresSoon:
		d.say(check, levelWarn, "the certificate expires soon (%s); put another one in its place, which needs no restart", about)
	case c.TLS.Generate:
		d.say(check, levelWarn, "the certificate is of the server's own, which is for trying out (%s)", about)
	default:
		d.say(check, levelOK, "there is a certificate (%s)", about)
	}
	if c.TLS.RequirePostQuantum {
		d.say("exchange", levelOK, "every connection has a post-quantum key exchange, or is refused")
	} else {
		d.say("exchange", levelOK, "a post-quantum key exchange is preferred; --require-pq refuses clients that know none")
	}
}

// setup looks for the code that lets the first admin in.
func (d *doctor) setup(admins int) {
	const check = "setup"
	path := d.store.dir.SetupCode()
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		d.say(check, levelWarn, "%v", err)
	case !d.served:
		d.say(check, levelWarn, "%s is left over from a server that was killed, and is of no use; the next start removes it", path)
	case admins > 0:
		d.say(check, levelOK, "%s is of no use, since there is an admin; the server removes it", path)
	default:
		d.say(check, levelOK, "a code for the first admin is in %s", path)
	}
}
