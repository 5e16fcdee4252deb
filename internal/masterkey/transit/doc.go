// Package transit keeps a master key under a key that never leaves a HashiCorp Vault or an OpenBao: the text of
// the key file is encrypted by their transit secrets engine, and what lies on disk opens nothing without it.
//
// A Client asks the engine. A Holder has it decrypt the key, holds the key in memory, and asks again every few
// minutes, so that no request waits for the network and a short absence stops nobody.
//
// Invariants:
//   - The key is given up, and its memory zeroed, once the engine could not be asked for the set time, and at once
//     when it refuses. From then on nothing is sealed or opened: ErrAway, until it answers again.
//   - Nothing crosses the network in clear but to this machine, and no redirect leads there.
//   - No error, and no String, holds a token, a secret id or a key.
//
// It speaks the documented HTTP API: transit's encrypt and decrypt, the description of a key, AppRole's login and
// the renewal of tokens. It does not rewrap there: that endpoint takes no associated data in older versions.
package transit
