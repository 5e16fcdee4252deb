//go:build !linux

package keyring

// hasStore is always so: macOS and Windows have one built in.
func hasStore() bool { return true }
