package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"stonevault/stone"
)

// copyReport is what copy prints at its end.
type copyReport struct {
	Complete bool          `json:"complete"` // the target is a vault now
	Vault    string        `json:"vault"`
	From     string        `json:"from"`
	To       string        `json:"to"`
	Rows     int64         `json:"rows"`
	Tables   []tableReport `json:"tables"`
	Objects  int64         `json:"objects"`
	Bytes    int64         `json:"bytes"`
	Copied   int64         `json:"objects_of_this_run"`
	Removed  int64         `json:"objects_removed"` // that the source has no more
	Uploads  int           `json:"uploads"`
	Dropped  []string      `json:"uploads_ended"`
	Audit    *logReport    `json:"audit"`
	Problems []problem     `json:"problems"`
	Seconds  float64       `json:"seconds"`

	dropped []stone.FileID
}

type tableReport struct {
	Name   string `json:"name"`
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"` // over all rows in the order of their keys, on both sides
}

type logReport struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size"` // of the newest signed head
	Root   string `json:"root"`
	Events int64  `json:"events"`
	OK     bool   `json:"ok"`
}

// problem is something that does not verify.
type problem struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

func (r *copyReport) ok() bool { return r.Complete && len(r.Problems) == 0 }

func (r *copyReport) print(w io.Writer, asJSON bool, serve string) error {
	if asJSON {
		if r.Problems == nil {
			r.Problems = []problem{}
		}
		return json.NewEncoder(w).Encode(r)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Copied %s to %s, and compared: %d rows of %d tables, %d objects (%s), of which %d by this run.\n",
		r.From, r.To, r.Rows, len(r.Tables), r.Objects, size(r.Bytes), r.Copied)
	if r.Uploads > 0 {
		fmt.Fprintf(&b, "Uploads that have not ended: %d.\n", r.Uploads)
	}
	if r.Audit != nil {
		fmt.Fprintf(&b, "The audit log %s has %d events on both sides, %d of them signed under the root %s.\n",
			r.Audit.Origin, r.Audit.Events, r.Audit.Size, r.Audit.Root)
	}
	section(&b, len(r.Dropped), "Uploads that end here, and have to be begun again:", "ID", func(w *tabwriter.Writer) {
		for _, id := range r.Dropped {
			fmt.Fprintf(w, "  %s\n", id)
		}
	})
	section(&b, len(r.Problems), "Does not verify:", "WHAT\tWHY", func(w *tabwriter.Writer) {
		for _, p := range r.Problems {
			fmt.Fprintf(w, "  %s\t%s\n", printable(p.Name), printable(p.Reason))
		}
	})
	if r.Complete {
		fmt.Fprintf(&b, "\nFrom now on use only one of the two. Start the copy with:\n  %s\n", serve)
	} else {
		b.WriteString("\nThe copy is not finished, and does not serve. Run it again.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
