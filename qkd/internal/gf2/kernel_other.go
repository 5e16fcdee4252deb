//go:build !amd64 && !arm64

package gf2

func kernels() []kernel { return nil }
