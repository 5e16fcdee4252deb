package main

import "io/fs"

// privateUmask returns nothing to take away: on Windows a folder's access list decides.
func privateUmask() fs.FileMode { return 0 }
