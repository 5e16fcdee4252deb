package httpapi

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"stonevault/api"
)

// schema is as much of a JSON schema as the description has.
type schema struct {
	Ref        string            `json:"$ref"`
	Type       string            `json:"type"`
	Properties map[string]schema `json:"properties"`
	Required   []string          `json:"required"`
	Items      *schema           `json:"items"`
	Enum       []string          `json:"enum"`
	Format     string            `json:"format"`
	Pattern    string            `json:"pattern"`
	MinLength  int               `json:"minLength"`
	MaxLength  int               `json:"maxLength"`
	MinItems   int               `json:"minItems"`
	Minimum    *int64            `json:"minimum"`
	Maximum    *int64            `json:"maximum"`
}

// parameter is one of a query, since others are not looked at.
type parameter struct {
	Ref    string `json:"$ref"`
	Name   string `json:"name"`
	In     string `json:"in"`
	Schema schema `json:"schema"`
}

// operation is a route as the description has it.
type operation struct {
	name  string  // method and path
	body  *schema // of JSON; nil where it takes none
	query []parameter

	keyed    bool     // it takes an Idempotency-Key
	statuses []string // that are described
	shows    []string // the properties of its replies
}

// described are the operations of the description, by name.
func described(t testing.TB) map[string]operation {
	t.Helper()
	var doc struct {
		Paths      map[string]map[string]json.RawMessage `json:"paths"`
		Components struct {
			Schemas    map[string]schema    `json:"schemas"`
			Parameters map[string]parameter `json:"parameters"`
		} `json:"components"`
	}
	read := func(b []byte, into any) {
		t.Helper()
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatal(err)
		}
	}
	read(api.OpenAPI(), &doc)
	var follow func(s schema) schema
	follow = func(s schema) schema {
		if s.Ref != "" {
			found, ok := doc.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
			if !ok {
				t.Fatalf("the description has no %s", s.Ref)
			}
			return follow(found)
		}
		if s.Items != nil {
			items := follow(*s.Items)
			s.Items = &items
		}
		properties := map[string]schema{}
		for name, p := range s.Properties {
			properties[name] = follow(p)
		}
		s.Properties = properties
		return s
	}
	all := map[string]operation{}
	for path, members := range doc.Paths {
		var shared []parameter
		if raw, ok := members["parameters"]; ok {
			read(raw, &shared)
		}
		for method, raw := range members {
			if method == "parameters" {
				continue
			}
			var op struct {
				Parameters  []parameter `json:"parameters"`
				RequestBody struct {
					Content map[string]struct {
						Schema schema `json:"schema"`
					} `json:"content"`
				} `json:"requestBody"`
				Responses map[string]struct {
					Content map[string]struct {
						Schema schema `json:"schema"`
					} `json:"content"`
				} `json:"responses"`
			}
			read(raw, &op)
			out := operation{name: strings.ToUpper(method) + " " + path}
			for _, p := range slices.Concat(shared, op.Parameters) {
				if p.Ref != "" {
					p = doc.Components.Parameters[strings.TrimPrefix(p.Ref, "#/components/parameters/")]
				}
				out.keyed = out.keyed || p.In == "header" && p.Name == keyHeader
				if p.In == "query" {
					p.Schema = follow(p.Schema)
					out.query = append(out.query, p)
				}
			}
			if content, ok := op.RequestBody.Content["application/json"]; ok {
				body := follow(content.Schema)
				out.body = &body
			}
			for status, response := range op.Responses {
				out.statuses = append(out.statuses, status)
				out.shows = slices.AppendSeq(out.shows, maps.Keys(follow(response.Content["application/json"].Schema).Properties))
			}
			all[out.name] = out
		}
	}
	return all
}

// samples are values that make sense, by the property's name, where its type does not say enough.
var samples = map[string]any{
	"path": "/made", "name": "made", "password": password, "new": newPassword, "current": password, "code": "000000", "member": true, "manager": false, "scopes": []any{"files:read"},
	"url": "https://example.com/hook", "passphrase": newPassword,
}

// sample is a value of a schema.
func sample(name string, s schema) any {
	if v, ok := samples[name]; ok {
		return v
	}
	switch s.Type {
	case "boolean":
		return true
	case "integer":
		if s.Minimum != nil {
			return *s.Minimum
		}
		return int64(1)
	case "array":
		return []any{sample("", *s.Items)}
	case "object":
		return sampleBody(s)
	}
	switch {
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Format == "date-time":
		return formatTime(time.Now().Add(time.Hour))
	}
	return strings.Repeat("a", max(s.MinLength, 1))
}

// preferred are properties that a body can have alone.
var preferred = []string{"passphrase", "member", "name"}

// sampleBody has what is required; where nothing is, a preferred property or the first that there is.
func sampleBody(s schema) map[string]any {
	names := s.Required
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(s.Properties))[:1]
		for _, name := range preferred {
			if _, ok := s.Properties[name]; ok {
				names = []string{name}
			}
		}
	}
	body := map[string]any{}
	for _, name := range names {
		body[name] = sample(name, s.Properties[name])
	}
	return body
}

// text is a value as JSON.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// wrongValues are JSON values that a schema does not allow.
func wrongValues(s schema) []string {
	all := []string{`null`, `{}`, `{"a":1}`, `[[]]`, `[null]`, strings.Repeat("[", 10000) + strings.Repeat("]", 10000)}
	for _, one := range []struct{ kind, value string }{
		{"boolean", `true`}, {"integer", `1`}, {"number", `1.5`}, {"", `1e400`}, {"string", `"text"`}, {"array", `["text"]`}, {"", `[1]`},
	} {
		if one.kind != s.Type && (s.Type != "number" || one.kind != "integer") { // an integer is a number
			all = append(all, one.value)
		}
	}
	switch s.Type {
	case "integer", "number":
		if all = append(all, `-9223372036854775809`); s.Type == "integer" {
			all = append(all, `9223372036854775808`)
		}
		if s.Minimum != nil {
			all = append(all, text(*s.Minimum-1))
		}
		if s.Maximum != nil {
			all = append(all, text(*s.Maximum+1))
		}
	case "array":
		if s.MinItems > 0 {
			all = append(all, `[]`)
		}
		if s.Items != nil && (len(s.Items.Enum) > 0 || s.Items.Pattern != "") {
			all = append(all, `["no such thing"]`)
		}
	case "string":
		all = append(all, "\"\xff\"", "\"\xed\xa0\x80\"")
		if s.MaxLength > 0 {
			all = append(all, text(strings.Repeat("a", s.MaxLength+1)))
		}
		if s.MinLength > 0 {
			all = append(all, `""`)
		}
		if len(s.Enum) > 0 || s.Pattern != "" || s.Format == "date-time" {
			all = append(all, `"no such thing"`)
		}
	}
	return all
}

// wrongQueries are percent-encoded values that a parameter's schema does not allow.
func wrongQueries(s schema) []string {
	all := []string{"%FF", "%ED%A0%80", "%zz"}
	switch s.Type {
	case "integer":
		all = append(all, "", "x", "1.5", "+1", "01", "0x1", "9223372036854775808", "1e3", "%201")
		if s.Minimum != nil {
			all = append(all, text(*s.Minimum-1))
		}
		if s.Maximum != nil {
			all = append(all, text(*s.Maximum+1))
		}
	case "boolean":
		all = append(all, "", "1", "yes", "TRUE")
	case "string":
		if len(s.Enum) > 0 || s.Pattern != "" || s.Format == "date-time" {
			all = append(all, "", "no-such-thing")
		}
		if s.MaxLength > 0 {
			all = append(all, strings.Repeat("a", s.MaxLength+1))
		}
	}
	return all
}

// operations are those of the description in order, so that runs are alike.
func operations(t testing.TB) []operation {
	return slices.SortedFunc(maps.Values(described(t)), func(a, b operation) int { return cmp.Compare(a.name, b.name) })
}
