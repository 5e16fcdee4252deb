package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// offline compares seal and open with age, on a memory file system.
func offline(s settings) error {
	dir, remove, err := scratch(s.memory)
	if err != nil {
		return err
	}
	defer remove()
	at := func(name string) string { return filepath.Join(dir, name) }
	stonevault, age := filepath.Join(s.bin, "stonevault"), filepath.Join(s.age, "age")

	if _, err := command(nil, stonevault, "keygen", "--no-passphrase", "-o", at("sv.key")); err != nil {
		return err
	}
	if err := captureTo(at("sv.pub"), stonevault, "keygen", "--public", at("sv.key")); err != nil {
		return err
	}
	if _, err := command(nil, filepath.Join(s.age, "age-keygen"), "-pq", "-o", at("age.key")); err != nil {
		return err
	}
	if err := captureTo(at("age.pub"), filepath.Join(s.age, "age-keygen"), "-y", at("age.key")); err != nil {
		return err
	}
	for _, c := range []struct {
		name  string
		write func(string, int64) error
		flags []string
	}{
		{"random data", writeRandom, nil},
		{"text, uncompressed", writeText, []string{"--compress", "never"}},
	} {
		if err := c.write(at("plain"), s.size); err != nil {
			return err
		}
		err := compare("Seal, "+c.name, s.runs, s.size,
			contender{"age 1.3.2 (post-quantum recipient)", func() (sample, error) {
				os.Remove(at("plain.age"))
				return command(nil, age, "-R", at("age.pub"), "-o", at("plain.age"), at("plain"))
			}},
			contender{"stonevault seal", func() (sample, error) {
				os.Remove(at("plain.stone"))
				args := append([]string{"seal", "-R", at("sv.pub"), "-o", at("plain.stone")}, c.flags...)
				return command(nil, stonevault, append(args, at("plain"))...)
			}})
		if err != nil {
			return err
		}
		err = compare("Open, "+c.name, s.runs, s.size,
			contender{"age 1.3.2", func() (sample, error) {
				os.Remove(at("age.out"))
				return command(nil, age, "-d", "-i", at("age.key"), "-o", at("age.out"), at("plain.age"))
			}},
			contender{"stonevault open", func() (sample, error) {
				os.Remove(at("sv.out"))
				return command(nil, stonevault, "open", "-i", at("sv.key"), "-o", at("sv.out"), at("plain.stone"))
			}})
		if err != nil {
			return err
		}
		if err := same(at("plain"), at("sv.out")); err != nil {
			return err
		}
		os.Remove(at("plain.age"))
		os.Remove(at("age.out"))
		os.Remove(at("sv.out"))
	}
	return compression(s, at, stonevault)
}

// compression compares sealing text at a level with Zstandard alone, segment by segment on all cores.
func compression(s settings, at func(string) string, stonevault string) error {
	err := compare("Seal, text at Zstandard level 1", s.runs, s.size,
		contender{"zstd alone, all cores", func() (sample, error) {
			os.Remove(at("plain.zst"))
			return command(nil, os.Args[0], "zstd", at("plain"), at("plain.zst"))
		}},
		contender{"stonevault seal", func() (sample, error) {
			os.Remove(at("plain.stone"))
			return command(nil, stonevault, "seal", "-R", at("sv.pub"), "--compress", "1", "-o", at("plain.stone"), at("plain"))
		}})
	if err != nil {
		return err
	}
	stone, err := os.Stat(at("plain.stone"))
	if err != nil {
		return err
	}
	zst, err := os.Stat(at("plain.zst"))
	if err != nil {
		return err
	}
	fmt.Printf("\nSizes after compression: zstd %.3f of the text, stone %.3f.\n",
		float64(zst.Size())/float64(s.size), float64(stone.Size())/float64(s.size))
	return nil
}

// captureTo writes a program's output to a file.
func captureTo(file, name string, args ...string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var out strings.Builder
	if err := run(&out, name, args...); err != nil {
		return err
	}
	_, err = f.WriteString(out.String())
	return err
}
