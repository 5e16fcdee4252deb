// Package etsi014 speaks ETSI GS QKD 014 V1.1.1 (2019-02), the REST-based key delivery API: Handler is a KME's side of
// it, over any qkd.Source, and Client an SAE's side, which is a qkd.Source itself.
//
//	GET       /api/v1/keys/{slave_SAE_ID}/status
//	POST, GET /api/v1/keys/{slave_SAE_ID}/enc_keys
//	POST, GET /api/v1/keys/{master_SAE_ID}/dec_keys
//
// Invariants: nothing is answered to who has shown no certificate that was verified; what a request says that is not in
// the standard is refused, not passed over; a reply of a KME is read up to a bound and believed only as far as it answers
// the request; no key is logged, cached or put into an error.
//
// It opens no port and reads no file: certificates come in parsed, and who serves a Handler gives it ServerTLS's
// configuration. It is neither a KME (see package kme) nor any other interface of ETSI's.
package etsi014
