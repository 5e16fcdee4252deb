package main

import "io/fs"

// setUmask does nothing: on Windows a folder's access list decides.
func setUmask(fs.FileMode) fs.FileMode { return 0 }
