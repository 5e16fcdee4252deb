package api

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The JSON form is what the server gives out; it must say what the YAML form says.
func TestJSONFormIsCurrent(t *testing.T) {
	src, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var fromYAML, fromJSON any
	if err := yaml.Unmarshal(src, &fromYAML); err != nil {
		t.Fatal(err)
	}
	// Through JSON once, so that both sides hold the same kinds of numbers and keys.
	b, err := json.Marshal(fromYAML)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &fromYAML); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(OpenAPI(), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(fromYAML, fromJSON) {
		t.Error("openapi.json is older than openapi.yaml: run go generate ./api")
	}
}

// Every $ref leads somewhere, and every component is used.
func TestReferences(t *testing.T) {
	var doc map[string]any
	if err := json.Unmarshal(OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				used[ref] = true
			}
			for _, c := range v {
				walk(c)
			}
		case []any:
			for _, c := range v {
				walk(c)
			}
		}
	}
	walk(doc)
	defined := 0
	for section, entries := range doc["components"].(map[string]any) {
		if section == "securitySchemes" {
			continue
		}
		for name := range entries.(map[string]any) {
			ref := "#/components/" + section + "/" + name
			if !used[ref] {
				t.Errorf("%s is never used", ref)
			}
			delete(used, ref)
			defined++
		}
	}
	if defined < 30 {
		t.Errorf("only %d components were found", defined)
	}
	for ref := range used {
		t.Errorf("%s does not exist", ref)
	}
}

func TestOpenAPIReturnsACopy(t *testing.T) {
	OpenAPI()[0] = 'x'
	if !bytes.HasPrefix(OpenAPI(), []byte("{")) {
		t.Error("a caller changed the embedded document")
	}
}
