//go:build !amd64

package bb84

func setExtract(bool) {}
