package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strings"
)

// object is a JSON object that keeps the order in which it was written.
type object struct {
	names  []string
	values map[string]any
}

// parseOrdered reads JSON into object, []any, string, json.Number, bool and nil.
func parseOrdered(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return readOrdered(d)
}

func readOrdered(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		o := object{values: map[string]any{}}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := readOrdered(d)
			if err != nil {
				return nil, err
			}
			o.names = append(o.names, name.(string))
			o.values[name.(string)] = value
		}
		_, err := d.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := readOrdered(d)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err := d.Token()
		return list, err
	}
	return t, nil
}

// The empty object stands for what is not there, so that a look into depths needs no checks.
func (o object) object(name string) object { v, _ := o.values[name].(object); return v }
func (o object) list(name string) []any    { v, _ := o.values[name].([]any); return v }
func (o object) text(name string) string   { v, _ := o.values[name].(string); return v }

// What the reference page shows.
type (
	referenceView struct {
		Title, Description string
		Sections           []sectionView
		Schemas            []schemaView
		Problems           []problemView
	}
	sectionView struct {
		Name, Description string
		Operations        []operationView
	}
	operationView struct {
		ID, Method, Path, Summary, Description string
		Public                                 bool
		Parameters                             []rowView
		Body                                   *rowView
		Responses                              []rowView
	}
	schemaView struct {
		rowView
		Properties []rowView
	}
	rowView struct {
		Name, In, Description string
		Type                  template.HTML
		Required              bool
	}
)

// description is the OpenAPI document.
type description struct{ root object }

// describe makes the reference page's content from the OpenAPI document, in the order of routes.
func describe(openAPI []byte) (*referenceView, error) {
	parsed, err := parseOrdered(openAPI)
	root, ok := parsed.(object)
	if err != nil || !ok {
		return nil, fmt.Errorf("the OpenAPI document is not an object: %v", err)
	}
	d := description{root}
	v := &referenceView{Title: d.root.object("info").text("title"), Description: d.root.object("info").text("description")}
	for _, tag := range d.root.list("tags") {
		section := sectionView{Name: tag.(object).text("name"), Description: tag.(object).text("description")}
		for i := range routes {
			path := d.root.object("paths").object(routes[i].name())
			op := path.object(strings.ToLower(routes[i].method))
			if slices.Contains(op.list("tags"), any(section.Name)) {
				section.Operations = append(section.Operations, d.operation(&routes[i], path, op))
			}
		}
		v.Sections = append(v.Sections, section)
	}
	schemas := d.root.object("components").object("schemas")
	for _, name := range schemas.names {
		v.Schemas = append(v.Schemas, d.schema(name, schemas.object(name)))
	}
	for i := range kinds {
		v.Problems = append(v.Problems, kinds[i].view())
	}
	return v, nil
}

func (d description) operation(r *route, path, op object) operationView {
	v := operationView{
		ID: op.text("operationId"), Method: r.method, Path: r.name(), Public: r.action == anybody,
		Summary: op.text("summary"), Description: op.text("description"),
	}
	for _, p := range append(slices.Clone(path.list("parameters")), op.list("parameters")...) {
		p := d.resolve(p.(object))
		required, _ := p.values["required"].(bool)
		v.Parameters = append(v.Parameters, rowView{
			Name: p.text("name"), In: p.text("in"), Required: required,
			Type: d.typeOf(p.object("schema")), Description: p.text("description"),
		})
	}
	if body := op.object("requestBody"); body.names != nil {
		v.Body = &rowView{Type: d.contentType(body), Description: body.text("description")}
	}
	responses := op.object("responses")
	for _, status := range responses.names {
		response := d.resolve(responses.object(status))
		v.Responses = append(v.Responses, rowView{Name: status, Type: d.contentType(response), Description: response.text("description")})
	}
	return v
}

func (d description) schema(name string, o object) schemaView {
	v := schemaView{rowView: rowView{Name: name, Type: d.typeOf(o), Description: o.text("description")}}
	properties := o.object("properties")
	for _, p := range properties.names {
		property := properties.object(p)
		v.Properties = append(v.Properties, rowView{
			Name: p, Type: d.typeOf(property), Description: d.resolve(property).text("description"),
			Required: slices.Contains(o.list("required"), any(p)),
		})
	}
	return v
}

// resolve follows a reference.
func (d description) resolve(o object) object {
	ref, ok := strings.CutPrefix(o.text("$ref"), "#/")
	if !ok {
		return o
	}
	at := d.root
	for name := range strings.SplitSeq(ref, "/") {
		at = at.object(name)
	}
	return at
}

// contentType says what a body is.
func (d description) contentType(o object) template.HTML {
	content := o.object("content")
	if content.names == nil {
		return ""
	}
	mediaType := content.names[0]
	if schema := content.object(mediaType).object("schema"); schema.text("$ref") != "" {
		return d.typeOf(schema)
	}
	return code(mediaType)
}

// typeOf says what a value is, with a link where it is an object of its own.
func (d description) typeOf(schema object) template.HTML {
	if ref := schema.text("$ref"); ref != "" {
		name := template.HTMLEscapeString(ref[strings.LastIndexByte(ref, '/')+1:])
		return template.HTML(`<a href="#object-` + name + `">` + name + `</a>`)
	}
	if schema.text("type") == "array" {
		return "list of " + d.typeOf(schema.object("items"))
	}
	if values := schema.list("enum"); values != nil {
		var words []string
		for _, v := range values {
			words = append(words, string(code(fmt.Sprint(v))))
		}
		return template.HTML(strings.Join(words, " or "))
	}
	text := schema.text("type")
	if format := schema.text("format"); format != "" && format != "int64" {
		text += ", " + format
	}
	return template.HTML(template.HTMLEscapeString(text))
}

func code(s string) template.HTML {
	return template.HTML("<code>" + template.HTMLEscapeString(s) + "</code>")
}
