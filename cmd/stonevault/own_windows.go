package main

import "io/fs"

// isOwn leaves it to the folder's access list, which the file inherits.
func isOwn(fs.FileInfo) bool { return true }
