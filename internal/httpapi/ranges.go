package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// maxRanges bounds the parts of one reply: each costs a segment's decryption however short it is.
const maxRanges = 64

var errRange = errors.New("the range cannot be read or lies outside of the file")

// byteRange is length bytes from start.
type byteRange struct{ start, length int64 }

// header is the range's Content-Range.
func (r byteRange) header(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", r.start, r.start+r.length-1, size)
}

// parseRange reads a Range header for a file of size bytes. No ranges and no error is a unit that is not
// known, which is to be ignored. Ranges outside of the file are left out; it is an error when none is left,
// when one cannot be read, and when together they are larger than the file or too many.
func parseRange(header string, size int64) ([]byteRange, error) {
	unit, set, ok := strings.Cut(header, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return nil, nil
	}
	var ranges []byteRange
	var sum int64
	for spec := range strings.SplitSeq(set, ",") {
		spec = strings.Trim(spec, " \t")
		if spec == "" { // lists may have empty elements (RFC 9110, section 5.6.1)
			continue
		}
		r, inside, err := parseSpec(spec, size)
		if err != nil {
			return nil, err
		}
		if !inside {
			continue
		}
		ranges, sum = append(ranges, r), sum+r.length
		if len(ranges) > maxRanges || sum > size {
			return nil, errRange
		}
	}
	if len(ranges) == 0 {
		return nil, errRange
	}
	return ranges, nil
}

// parseSpec reads "first-last", "first-" or "-length".
func parseSpec(spec string, size int64) (r byteRange, inside bool, err error) {
	first, last, ok := strings.Cut(spec, "-")
	if !ok || first == "" && last == "" {
		return byteRange{}, false, errRange
	}
	if first == "" {
		n, err := position(last)
		if err != nil {
			return byteRange{}, false, err
		}
		n = min(n, size)
		return byteRange{size - n, n}, n > 0, nil
	}
	start, err := position(first)
	if err != nil {
		return byteRange{}, false, err
	}
	end := size - 1
	if last != "" {
		n, err := position(last)
		if err != nil || n < start {
			return byteRange{}, false, errRange
		}
		end = min(n, end)
	}
	return byteRange{start, end - start + 1}, start < size, nil
}

// position reads digits. What no file reaches is as good as the largest number.
func position(digits string) (int64, error) {
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, errRange
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 1<<63 - 1, nil
	}
	return n, nil
}

// rangeStillHolds evaluates If-Range. A date never matches: content has no Last-Modified.
func rangeStillHolds(r *http.Request, etag string) bool {
	values := r.Header.Values("If-Range")
	return len(values) == 0 || len(values) == 1 && strings.TrimSpace(values[0]) == etag
}

// matches evaluates If-Match (strong) or If-None-Match (weak comparison) for something that exists.
func matches(values []string, etag string, weak bool) bool {
	list := strings.Join(values, ",")
	if strings.TrimSpace(list) == "*" {
		return true
	}
	for {
		list = strings.TrimLeft(list, " \t,")
		tag, isWeak := strings.CutPrefix(list, "W/")
		if !strings.HasPrefix(tag, `"`) {
			return false
		}
		end := strings.IndexByte(tag[1:], '"')
		if end < 0 {
			return false
		}
		if tag[:end+2] == etag && (weak || !isWeak) {
			return true
		}
		list = tag[end+2:]
	}
}

// disposition offers content for saving under a name (RFC 6266), which is given twice: in ASCII for
// readers that know no better, and in full (RFC 8187).
func disposition(name string) string {
	var plain, full strings.Builder
	for _, r := range name {
		if r < 0x20 || r > 0x7e || strings.ContainsRune(`"\%/:*?<>|`, r) {
			r = '_'
		}
		plain.WriteRune(r)
	}
	for _, b := range []byte(name) {
		if b < 0x80 && (b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z' || strings.IndexByte("!#$&+-.^_`|~", b) >= 0) {
			full.WriteByte(b)
		} else {
			fmt.Fprintf(&full, "%%%02X", b)
		}
	}
	return `attachment; filename="` + plain.String() + `"; filename*=UTF-8''` + full.String()
}
