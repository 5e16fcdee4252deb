//go:build !amd64

package bb84

const hasExtract = false

func extract(to, from, masks *uint64, count int) {}
