package httpapi

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"stonevault/api"
)

//go:embed pages
var pageFiles embed.FS

// pages are what people see who come with a browser. They are made once, hold no script, and their
// policy allows nothing but their own style sheet.
type pages struct {
	policy   string
	home     []byte
	docs     []byte
	problems map[string][]byte
	openAPI  []byte
}

// problemView is a kind of problem as a page shows it.
type problemView struct {
	URI, Title, About string
	Status            int
}

func (k *kind) view() problemView {
	return problemView{URI: k.uri(), Title: k.title, About: k.about, Status: k.status}
}

func newPages() (*pages, error) {
	style, err := pageFiles.ReadFile("pages/style.css")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(style)
	p := &pages{
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		problems: map[string][]byte{},
		openAPI:  api.OpenAPI(),
	}
	render := func(name string, data any) ([]byte, error) {
		t, err := template.New("layout.html").Funcs(template.FuncMap{
			"style": func() template.CSS { return template.CSS(style) },
			"prose": prose,
		}).ParseFS(pageFiles, "pages/layout.html", "pages/"+name)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		err = t.Execute(&b, data)
		return b.Bytes(), err
	}
	if p.home, err = render("home.html", nil); err != nil {
		return nil, err
	}
	for i := range kinds {
		if p.problems[kinds[i].code], err = render("problem.html", kinds[i].view()); err != nil {
			return nil, err
		}
	}
	view, err := describe(p.openAPI)
	if err != nil {
		return nil, err
	}
	p.docs, err = render("reference.html", view)
	return p, err
}

// prose turns what the description says into paragraphs; words between backquotes are code.
func prose(text string) template.HTML {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		if paragraph == "" {
			continue
		}
		b.WriteString("<p>")
		for i, piece := range strings.Split(paragraph, "`") {
			if i%2 == 1 {
				b.WriteString("<code>" + template.HTMLEscapeString(piece) + "</code>")
			} else {
				b.WriteString(template.HTMLEscapeString(piece))
			}
		}
		b.WriteString("</p>")
	}
	return template.HTML(b.String())
}

func (p *pages) send(c *call, mediaType string, body []byte) error {
	h := c.w.Header()
	if mediaType == "text/html; charset=utf-8" {
		h.Set("Content-Security-Policy", p.policy)
	}
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(http.StatusOK)
	c.w.Write(body)
	return nil
}

// isPage tells whether a request that no route takes is for the page, which has paths of its own.
func (a *API) isPage(r *http.Request) bool {
	if a.Page == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	first, _, _ := strings.Cut(r.URL.Path[1:], "/")
	return first != "api" && first != "problems" && first != "livez" && first != "readyz"
}

func (a *API) home(c *call) error {
	if a.Page != nil {
		a.Page.ServeHTTP(c.w, c.r)
		return nil
	}
	return a.pages.send(c, "text/html; charset=utf-8", a.pages.home)
}

func (a *API) reference(c *call) error {
	return a.pages.send(c, "text/html; charset=utf-8", a.pages.docs)
}

func (a *API) openAPI(c *call) error {
	return a.pages.send(c, "application/json", a.pages.openAPI)
}

func (a *API) problem(c *call) error {
	page, ok := a.pages.problems[c.r.PathValue("code")]
	if !ok {
		return fail("not-found", "There is no problem of this type.")
	}
	return a.pages.send(c, "text/html; charset=utf-8", page)
}

func (a *API) live(c *call) error {
	return a.pages.send(c, "text/plain; charset=utf-8", []byte("alive\n"))
}

func (a *API) ready(c *call) error {
	if err := a.Ready(c.r.Context()); err != nil {
		f := fail("not-ready", "")
		f.cause = err
		return f
	}
	return a.pages.send(c, "text/plain; charset=utf-8", []byte("ready\n"))
}
