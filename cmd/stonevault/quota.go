package main

import (
	"context"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"stonevault/api"
)

// unlimited is what to write for no limit.
const unlimited = "none"

// quotaFlags are those of the verbs that show and change limits.
type quotaFlags struct {
	bytes, files string
	standard     bool
	json         bool
}

func (f *quotaFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.bytes, "bytes", "", "how much all versions of all files may take: a `SIZE` such as 10GB or 512MiB, or none for no limit")
	cmd.Flags().StringVar(&f.files, "files", "", "how many files there may be: `N`, or none for no limit")
	addJSON(cmd, &f.json)
}

// change returns what is to become of a quota; nil where nothing is. A limit that is not named stays.
func (f *quotaFlags) change(now *api.Quota) (*api.QuotaChange, error) {
	if f.standard {
		if f.bytes != "" || f.files != "" {
			return nil, misuse("--default", "--default sets both limits; leave --bytes and --files out")
		}
		return &api.QuotaChange{Default: true}, nil
	}
	if f.bytes == "" && f.files == "" {
		return nil, nil
	}
	to := &api.QuotaChange{Bytes: now.Bytes, Files: now.Files}
	var err error
	if f.bytes != "" {
		if to.Bytes, err = limit("--bytes", "--bytes 10GB", f.bytes, parseSize); err != nil {
			return nil, err
		}
	}
	if f.files != "" {
		to.Files, err = limit("--files", "--files 1000", f.files, parseCount)
	}
	return to, err
}

// limit reads a limit; nil is none. example is what to type instead.
func limit(what, example, text string, parse func(string) (int64, bool)) (*int64, error) {
	if text == unlimited {
		return nil, nil
	}
	n, ok := parse(text)
	if !ok {
		return nil, misuse(example, "%s takes a number, or none for no limit, unlike %s", what, shown(text))
	}
	return &n, nil
}

// maxLimit is the largest whole number that every reader of JSON has.
const maxLimit = 1<<53 - 1

func parseCount(text string) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n >= 0 && n <= maxLimit
}

// sizeUnits are those of the SI and of IEC 80000-13. The first that fits counts.
var sizeUnits = []struct {
	name string
	is   float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"PiB", 1 << 50},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"PB", 1e15}, {"B", 1}, {"", 1},
}

// parseSize reads a number of bytes, with or without a unit.
func parseSize(text string) (int64, bool) {
	for _, unit := range sizeUnits {
		number, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		bytes := math.Round(value * unit.is)
		ok = err == nil && !strings.ContainsAny(number, "xXpPeE_nN") && bytes >= 0 && bytes <= maxLimit
		return int64(bytes), ok
	}
	return 0, false
}

// use prints how much there is, of how much there may be.
func (t table) use(bytes int64, most *int64, files int64, mostFiles *int64) {
	of, ofFiles := "no limit", "no limit"
	if most != nil {
		of = "of " + sized(*most)
	}
	if mostFiles != nil {
		ofFiles = "of " + strconv.FormatInt(*mostFiles, 10)
	}
	t.row("bytes", "%s, %s", sized(bytes), of)
	t.row("files", "%d, %s", files, ofFiles)
}

func (a *app) showQuota(q *api.Quota, asJSON bool) error {
	if asJSON {
		return writeJSON(a.stdout, q)
	}
	t := newTable(a.stdout)
	t.use(q.BytesUsed, q.Bytes, q.FilesUsed, q.Files)
	if q.Default {
		t.row("limits", "the vault's")
	}
	return t.Flush()
}

// quota shows a quota, or changes it first.
func (a *app) quota(ctx context.Context, f quotaFlags, get func(context.Context) (*api.Quota, error),
	put func(context.Context, api.QuotaChange) (*api.Quota, error)) error {
	if _, err := f.change(new(api.Quota)); err != nil {
		return err
	}
	q, err := get(ctx)
	if err != nil {
		return err
	}
	to, err := f.change(q)
	if err != nil {
		return err
	}
	if to != nil {
		if q, err = put(ctx, *to); err != nil {
			return err
		}
	}
	return a.showQuota(q, f.json)
}
