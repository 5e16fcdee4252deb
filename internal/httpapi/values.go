package httpapi

import (
	"fmt"
	"mime"
	"strconv"
	"time"

	"stonevault/api"
)

// What a file's attributes look like in headers, in Upload-Metadata and in JSON. field names the place in
// what is said of a value that cannot be read.

// defaultMode is a file's where its sender knows none.
const defaultMode = 0o644

func parseMediaType(field, value string) (string, error) {
	if value == "" {
		return "", nil
	}
	if _, _, err := mime.ParseMediaType(value); err != nil {
		return "", invalid(field, "is not a media type")
	}
	return value, nil
}

func parseModifiedAt(field, value string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}, invalid(field, "must be a time like 2026-11-21T09:30:00Z")
	}
	return at, nil
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func parseMode(field, value string) (uint32, error) {
	mode, err := strconv.ParseUint(value, 8, 32)
	if err != nil || mode > 0o777 || len(value) < 3 || len(value) > 4 {
		return 0, invalid(field, "must be permission bits in octal, like 0644")
	}
	return uint32(mode), nil
}

func formatMode(m uint32) string { return fmt.Sprintf("%04o", m) }

func parseClass(field, value string) (string, error) {
	if !api.Class(value).Valid() {
		return "", invalid(field, "must be normal or restricted")
	}
	return value, nil
}

func parseBool(field, value string) (bool, error) {
	if value != "true" && value != "false" {
		return false, invalid(field, "must be true or false")
	}
	return value == "true", nil
}
