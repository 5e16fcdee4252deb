package vault

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxExtension is how long the end of a name may be, in bytes, to be kept at the end.
const maxExtension = 32

// Renamed is a file or folder that could not have its path, since another one has it.
type Renamed struct {
	Owner PersonID
	From  string
	To    string
}

// folderPlan is a folder of the new vault; nil is somebody's root.
type folderPlan struct {
	id     NodeID
	owner  PersonID
	parent *folderPlan
	name   string
}

func (f *folderPlan) nodeID() NodeID {
	if f == nil {
		return ""
	}
	return f.id
}

func (f *folderPlan) path() string {
	if f == nil {
		return "/"
	}
	return path.Join(f.parent.path(), f.name)
}

// documentPlan is a document of the new vault. Versions are in order; the last one that is whole becomes the
// current one.
type documentPlan struct {
	id       NodeID
	owner    PersonID
	parent   *folderPlan
	name     string
	created  int64 // Unix milliseconds
	versions []versionPlan
}

type versionPlan struct {
	*candidate
	number int
}

func (d *documentPlan) newest() *candidate { return d.versions[len(d.versions)-1].candidate }

func (d *documentPlan) path() string { return path.Join(d.parent.path(), d.name) }

// plan is what a survey's files become. The same survey always gives the same plan, so that a rebuilding
// that was interrupted goes on where it was. Ids are kept where no two ask for one.
type plan struct {
	documents  []*documentPlan
	renamed    []Renamed
	renumbered int

	used    map[NodeID]bool
	folders map[folderKey]*folderPlan
	byPath  map[pathKey]*folderPlan
	taken   map[placeKey]bool
}

type (
	folderKey struct {
		owner PersonID
		id    NodeID
	}
	pathKey struct {
		owner PersonID
		path  string
	}
	placeKey struct {
		owner  PersonID
		folder *folderPlan
		name   string
	}
)

func newPlan(found []*candidate) *plan {
	p := &plan{
		used: make(map[NodeID]bool), folders: make(map[folderKey]*folderPlan),
		byPath: make(map[pathKey]*folderPlan), taken: make(map[placeKey]bool),
	}
	p.group(found)
	p.placeFolders()
	p.placeDocuments()
	return p
}

// group makes documents of candidates. Two files can state one version: a put that was broken off leaves
// one that nobody was told of. Neither is lost; they follow each other.
func (p *plan) group(found []*candidate) {
	groups := make(map[folderKey][]*candidate)
	for _, c := range found {
		k := folderKey{c.owner, c.document}
		groups[k] = append(groups[k], c)
	}
	for k, group := range groups {
		slices.SortFunc(group, func(a, b *candidate) int {
			return cmp.Or(cmp.Compare(a.version, b.version), cmp.Compare(a.sealed, b.sealed), cmp.Compare(a.time, b.time),
				strings.Compare(string(a.id[:]), string(b.id[:])))
		})
		d := &documentPlan{id: k.id, owner: k.owner, created: group[0].created}
		last := 0
		for _, c := range group {
			number := max(last+1, int(c.version))
			if number != int(c.version) {
				p.renumbered++
			}
			last = number
			d.created = min(d.created, c.created)
			d.versions = append(d.versions, versionPlan{c, number})
		}
		p.documents = append(p.documents, d)
	}
	// The newest statement wins a name.
	slices.SortFunc(p.documents, func(a, b *documentPlan) int {
		return cmp.Or(cmp.Compare(b.newest().time, a.newest().time), strings.Compare(string(a.id), string(b.id)), strings.Compare(string(a.owner), string(b.owner)))
	})
}

// folderClaim is what the newest file in a folder says of the folder's path.
type folderClaim struct {
	folderKey
	path string
	time int64
}

// placeFolders gives every folder that a file names by id the path that its newest file states, and makes
// those above it by path.
func (p *plan) placeFolders() {
	claims := make(map[folderKey]folderClaim)
	for _, d := range p.documents { // the newest first
		c := d.newest()
		k := folderKey{c.owner, c.folder}
		if _, known := claims[k]; !known && c.folder != "" {
			claims[k] = folderClaim{k, path.Dir(c.path), c.time}
		}
	}
	order := make([]folderClaim, 0, len(claims))
	for _, c := range claims {
		order = append(order, c)
	}
	// From the root downwards, so that a folder with an id is there before one below it asks for it by path.
	slices.SortFunc(order, func(a, b folderClaim) int {
		return cmp.Or(cmp.Compare(strings.Count(a.path, "/"), strings.Count(b.path, "/")), cmp.Compare(b.time, a.time),
			strings.Compare(string(a.owner), string(b.owner)), strings.Compare(string(a.id), string(b.id)))
	})
	for _, c := range order {
		f := &folderPlan{id: p.claimID(c.id, "folder", c.owner), owner: c.owner, parent: p.folderAt(c.owner, path.Dir(c.path))}
		f.name = p.claimName(c.owner, f.parent, path.Base(c.path), "")
		p.folders[c.folderKey] = f
		if f.name == path.Base(c.path) {
			p.byPath[pathKey{c.owner, c.path}] = f
		} else {
			p.renamed = append(p.renamed, Renamed{c.owner, c.path, f.path()})
		}
	}
}

// folderAt is the folder at a path, which is made where no file names it by id.
func (p *plan) folderAt(owner PersonID, at string) *folderPlan {
	if at == "/" {
		return nil
	}
	k := pathKey{owner, at}
	if f, ok := p.byPath[k]; ok {
		return f
	}
	f := &folderPlan{id: p.claimID("", "path "+at, owner), owner: owner, parent: p.folderAt(owner, path.Dir(at))}
	if f.name = p.claimName(owner, f.parent, path.Base(at), ""); f.name != path.Base(at) {
		p.renamed = append(p.renamed, Renamed{owner, at, f.path()})
	}
	p.byPath[k] = f
	return f
}

func (p *plan) placeDocuments() {
	for _, d := range p.documents {
		c := d.newest()
		d.id = p.claimID(d.id, "document", d.owner)
		if c.folder != "" {
			d.parent = p.folders[folderKey{c.owner, c.folder}]
		}
		wanted := path.Base(c.path)
		extension := path.Ext(wanted)
		if extension == wanted || len(extension) > maxExtension {
			extension = ""
		}
		if d.name = p.claimName(d.owner, d.parent, wanted, extension); d.name != wanted {
			p.renamed = append(p.renamed, Renamed{d.owner, c.path, d.path()})
		}
	}
	p.folders, p.byPath, p.taken, p.used = nil, nil, nil, nil
}

// claimID keeps an id, or derives another where it is empty or has been taken, always the same one.
func (p *plan) claimID(id NodeID, what string, owner PersonID) NodeID {
	for p.used[id] || id == "" {
		sum := sha256.Sum256(fmt.Appendf(nil, "stonevault.v1/recovered %s %s %s", owner, id, what))
		id = NodeID(hex.EncodeToString(sum[:16]))
	}
	p.used[id] = true
	return id
}

// claimName takes a name in a folder, with a number where it is taken: "plan.pdf", "plan (2).pdf".
func (p *plan) claimName(owner PersonID, in *folderPlan, wanted, extension string) string {
	name := wanted
	for n := 2; p.taken[placeKey{owner, in, name}]; n++ {
		suffix := fmt.Sprintf(" (%d)%s", n, extension)
		stem := strings.TrimSuffix(wanted, extension)
		for len(stem)+len(suffix) > maxName && stem != "" {
			_, size := utf8.DecodeLastRuneInString(stem)
			stem = stem[:len(stem)-size]
		}
		name = stem + suffix
	}
	p.taken[placeKey{owner, in, name}] = true
	return name
}
