//go:build !amd64

package distill

func setWideSwaps(bool) {}
