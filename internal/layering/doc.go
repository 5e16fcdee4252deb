// Package layering tests the shape of the repository: who may import whom and which library, how
// packages are called, how long a file may be, and that the commands build everywhere without cgo. It
// has nothing but tests. What it enforces is the design's section "The house".
package layering
