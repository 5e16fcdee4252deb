package main

import (
	"bufio"
	"os"
	"runtime"
	"slices"
	"strings"
)

// What is little on a disk.
const (
	littleSpace = 1 << 30 // bytes
	littlePart  = 20      // a twentieth
)

// machine looks at what the vault runs on.
func (d *doctor) machine() {
	switch free, total, err := diskSpace(d.store.dir.Path()); {
	case os.IsNotExist(err): // said of the directory itself
	case err != nil:
		d.say("disk", levelWarn, "the free space cannot be told: %v", err)
	case free < littleSpace || free < total/littlePart:
		d.say("disk", levelWarn, "only %d MiB of %d are free; make room, or move the data to a larger disk", free>>20, total>>20)
	default:
		d.say("disk", levelOK, "%d MiB of %d are free", free>>20, total>>20)
	}
	has, missing := instructions()
	switch {
	case len(missing) > 0:
		d.say("processor", levelWarn, "it has no instructions for %s, so that sealing and opening are many times slower; a newer machine, or another setting of the virtual one, has them", strings.Join(missing, " and "))
	case len(has) > 0:
		d.say("processor", levelOK, "it has instructions for %s", strings.Join(has, " and "))
	default:
		d.say("processor", levelOK, "whether it has instructions for AES and SHA-256 cannot be told here")
	}
}

// flagsOf are the names that Linux gives to the instructions that the standard library uses.
var flagsOf = map[string][]struct{ what, flag string }{
	"amd64": {{"AES", "aes"}, {"GCM", "pclmulqdq"}, {"SHA-256", "sha_ni"}},
	"arm64": {{"AES", "aes"}, {"GCM", "pmull"}, {"SHA-256", "sha2"}},
}

// instructions tells which of the instructions that matter the processor has; nothing where that cannot
// be told.
func instructions() (has, missing []string) {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return nil, nil
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, flags, ok := strings.Cut(lines.Text(), ":")
		if name = strings.TrimSpace(name); !ok || name != "flags" && name != "Features" {
			continue
		}
		all := strings.Fields(flags)
		for _, row := range flagsOf[runtime.GOARCH] {
			if slices.Contains(all, row.flag) {
				has = append(has, row.what)
			} else {
				missing = append(missing, row.what)
			}
		}
		break
	}
	return has, missing
}
