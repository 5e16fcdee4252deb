//go:build !unix

package masterkey

import "io/fs"

// tooOpen cannot tell: permissions are access lists here, and files in a user's folders are his alone.
func tooOpen(fs.FileInfo) bool { return false }

// syncDir does nothing: directories cannot be synced here.
func syncDir(string) error { return nil }
