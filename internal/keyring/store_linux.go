package keyring

import (
	"os"
	"path/filepath"
)

// hasStore tells whether there is a session bus to find a secret service on. Without this look the
// library would start a bus of its own.
func hasStore() bool {
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") != "" {
		return true
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, "bus"))
	return err == nil
}
