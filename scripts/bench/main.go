// Command bench measures Stonevault beside its peers, in pairs of runs on one machine, and prints medians
// and ratios as Markdown tables:
//
//   - seal and open against age with a post-quantum recipient, and compression against Zstandard alone;
//   - uploads and downloads through the server against a bare net/http handler that writes the body to a
//     file and answers with http.ServeFile, in memory and on disk;
//   - the same through tus, with 1, 4 and 16 clients;
//   - small files, memory, lists, and ranges of a large file;
//   - and what the primitives cost on this machine.
//
// It wants bin/stonevault and bin/stonevaultd, as make bench builds them.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// settings are what the flags say.
type settings struct {
	bin     string
	memory  string // directory on a memory file system
	disk    string // directory on a disk
	age     string // directory with age and age-keygen
	size    int64
	runs    int
	only    string
	clients int
}

func main() {
	log.SetFlags(0)
	if len(os.Args) > 1 {
		if peer, ok := peers[os.Args[1]]; ok {
			if err := peer(os.Args[2:]); err != nil {
				log.Fatalf("bench: %s: %v", os.Args[1], err)
			}
			return
		}
	}
	var s settings
	var mib int64
	flag.StringVar(&s.bin, "bin", "bin", "directory of stonevault and stonevaultd")
	flag.StringVar(&s.memory, "memory", "/dev/shm", "directory on a memory file system")
	flag.StringVar(&s.disk, "disk", ".cache", "directory on a disk")
	flag.StringVar(&s.age, "age", ".cache/tools", "directory of age and age-keygen")
	flag.Int64Var(&mib, "mib", 1024, "size of a large file in MiB")
	flag.IntVar(&s.runs, "runs", 5, "runs of each measurement")
	flag.StringVar(&s.only, "only", "", "measure only the parts with one of these comma-separated names")
	flag.IntVar(&s.clients, "clients", 8, "clients of the small-file measurement")
	flag.Parse()
	s.size = mib << 20
	for _, dir := range []*string{&s.bin, &s.disk, &s.age} {
		absolute, err := filepath.Abs(*dir)
		if err != nil {
			log.Fatal(err)
		}
		*dir = absolute
	}
	parts := []struct {
		name string
		run  func(settings) error
	}{
		{"machine", machine},
		{"offline", offline},
		{"server", server},
		{"memory", memory},
		{"small", small},
		{"list", list},
		{"range", rangeStart},
		{"tus", tus},
	}
	fmt.Printf("%s, %d cores, %s; medians of %d paired runs.\n", cpu(), runtime.NumCPU(), runtime.Version(), s.runs)
	for _, p := range parts {
		if s.only != "" && !strings.Contains(","+s.only+",", ","+p.name+",") {
			continue
		}
		if err := p.run(s); err != nil {
			log.Fatalf("bench: %s: %v", p.name, err)
		}
	}
}

// cpu names the processor.
func cpu() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, "\t :\n")
		}
	}
	return runtime.GOARCH
}
