package etsi014

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
)

// Field is the field of a certificate that is the id of its SAE or KME. The standard leaves it open.
type Field string

const (
	CommonName Field = "cn"  // of the subject
	URI        Field = "uri" // the one URI among the alternative names
	DNS        Field = "dns" // the one DNS name among the alternative names
)

// ParseField reads the name of a field.
func ParseField(name string) (Field, error) {
	if f := Field(name); f == CommonName || f == URI || f == DNS {
		return f, nil
	}
	return "", fmt.Errorf("etsi014: %q is no field of a certificate that can be an id; choose cn, uri or dns", name)
}

// SAE is the id that a certificate has in the field. Exactly one must be there.
func (f Field) SAE(cert *x509.Certificate) (string, error) {
	var ids []string
	switch f {
	case CommonName:
		ids = commonNames(cert.Subject)
	case URI:
		for _, u := range cert.URIs {
			ids = append(ids, u.String())
		}
	case DNS:
		ids = cert.DNSNames
	}
	if len(ids) != 1 || ids[0] == "" {
		return "", fmt.Errorf("etsi014: the certificate has %d ids in the field %q, and should have one", len(ids), string(f))
	}
	return ids[0], nil
}

var oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// commonNames are all of them, where Subject.CommonName is the last.
func commonNames(subject pkix.Name) (names []string) {
	for _, n := range subject.Names {
		if name, ok := n.Value.(string); ok && n.Type.Equal(oidCommonName) {
			names = append(names, name)
		}
	}
	return names
}

// oldest is the first TLS version that is spoken: 1.3, or 1.2, which the standard allows.
func oldest(allow12 bool) uint16 {
	if allow12 {
		return tls.VersionTLS12
	}
	return tls.VersionTLS13
}

// ServerTLS is a KME's side: clients must show a certificate of one of the authorities, for client authentication, each
// time anew. own is asked for the KME's certificate at each handshake, so that it may change. TLS is 1.3, or 1.2 too
// where it is allowed. Key agreement is Go's own choice, hybrid where the client can.
func ServerTLS(own func() *tls.Certificate, clients *x509.CertPool, allow12 bool) (*tls.Config, error) {
	if own == nil || clients == nil {
		return nil, errors.New("etsi014: a KME needs a certificate, and the authorities of its clients")
	}
	return &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own(), nil },
		ClientCAs:      clients, ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: oldest(allow12), SessionTicketsDisabled: true, NextProtos: []string{"h2", "http/1.1"},
	}, nil
}
