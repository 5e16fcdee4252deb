package vault

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"stonevault/identity"
	"stonevault/stone"
)

// Recovery rebuilds a vault from objects and the recovery secret alone, in three steps: a Survey reads every
// envelope and decides what is recovered; Rebuild makes a new vault of it, under a new master key, a new
// root and new identities, and can be run again after a kill; Finish opens that vault for use, which nobody
// can before.
//
// What is recovered was signed by a person's keys, for that person's file, under a certificate of the one
// root that is trusted, and opens whole with the recovery secret. All else is listed with a reason and
// left where it is. Memory grows by some hundred bytes with every object, and not with its size.

// recoverWorkers is how many files are worked on at once. They wait for the disk more than they compute.
const recoverWorkers = 8

// Refused is an object that is not recovered.
type Refused struct {
	Name   string
	Reason string
	// Path and Version are the file's, where the envelope is genuine and only the body is not.
	Path    string
	Version int
}

// Root is a root key that certifies files which the recovery secret opens.
type Root struct {
	Fingerprint identity.Fingerprint
	Files       int
}

// RootsError says that it cannot be told which root to trust, or that the one that was named certifies
// nothing.
type RootsError struct{ Found []Root }

func (e *RootsError) Error() string {
	switch len(e.Found) {
	case 0:
		return "no file here opens with this recovery secret"
	case 1:
		return "the root that was named certifies none of these files; another one does"
	}
	return fmt.Sprintf("%d roots certify files that this recovery secret opens, and one of them must be named", len(e.Found))
}

// Phase is a step of a recovery.
type Phase string

const (
	PhaseSurvey  Phase = "survey"
	PhaseRebuild Phase = "rebuild"
)

// RecoverProgress says how far a phase has come.
type RecoverProgress struct {
	Phase Phase
	Done  int   // envelopes read, or versions done
	Total int   // 0 while it is not known
	Bytes int64 // of content, verified
}

// Survey is what can be recovered, and what cannot.
type Survey struct {
	from     Objects
	secret   *identity.Identity
	progress func(RecoverProgress)

	cache  identity.Cache
	mu     sync.Mutex // guards what follows
	opened map[[sha256.Size]byte]*identity.WrappingKey
	texts  map[string]string // owners and folders, each kept once
	found  []*candidate
	bodies map[stone.FileID]bool // without an envelope so far
	read   int

	refused []Refused
}

// candidate is what is kept of an envelope that the secret opens.
type candidate struct {
	id       stone.FileID
	digest   [sha256.Size]byte // of the whole envelope
	root     identity.Fingerprint
	owner    PersonID
	document NodeID
	folder   NodeID
	path     string
	version  int64
	size     int64
	time     int64 // of the envelope, Unix milliseconds, as the two below
	created  int64
	sealed   int64
}

// NewSurvey reads the envelopes in from. progress may be nil; it is called by one goroutine at a time.
func NewSurvey(ctx context.Context, from Objects, secret *identity.Identity, progress func(RecoverProgress)) (*Survey, error) {
	if progress == nil {
		progress = func(RecoverProgress) {}
	}
	s := &Survey{from: from, secret: secret, progress: progress, texts: make(map[string]string), bodies: make(map[stone.FileID]bool)}
	envelopes := make(map[stone.FileID]bool)
	walk := func(hand func(stone.FileID) error) error {
		return from.Walk(ctx, func(name string, _ int64) error {
			text, kind, _ := strings.Cut(name, ".")
			id, err := stone.ParseFileID(text)
			if err != nil {
				return fmt.Errorf("vault: object %q: %w", name, err)
			}
			if kind == "body" {
				if !envelopes[id] {
					s.bodies[id] = true
				}
				return nil
			}
			envelopes[id] = true
			delete(s.bodies, id)
			return hand(id)
		})
	}
	if err := each(ctx, recoverWorkers, walk, s.survey); err != nil {
		return nil, err
	}
	for id := range s.bodies {
		s.refuse(bodyName(id), errors.New("it has no envelope, and so no key"))
	}
	s.bodies = nil
	return s, nil
}

// Roots are those that certify files which the secret opens, the most used first.
func (s *Survey) Roots() []Root {
	count := make(map[identity.Fingerprint]int)
	for _, c := range s.found {
		count[c.root]++
	}
	var roots []Root
	for f, n := range count {
		roots = append(roots, Root{f, n})
	}
	slices.SortFunc(roots, func(a, b Root) int {
		if a.Files != b.Files {
			return b.Files - a.Files
		}
		return strings.Compare(string(a.Fingerprint), string(b.Fingerprint))
	})
	return roots
}

// Trust chooses the roots that trusted is true for or, where trusted is nil, the only one that there is, and returns the
// one that certifies most. What others certify is refused from then on. There are several where a vault was lost while
// its root was being replaced.
func (s *Survey) Trust(trusted func(identity.Fingerprint) bool) (identity.Fingerprint, error) {
	roots := s.Roots()
	if trusted == nil && len(roots) == 1 {
		return roots[0].Fingerprint, nil
	}
	i := slices.IndexFunc(roots, func(r Root) bool { return trusted != nil && trusted(r.Fingerprint) })
	if i < 0 {
		return "", &RootsError{roots}
	}
	s.found = slices.DeleteFunc(s.found, func(c *candidate) bool {
		if trusted(c.root) {
			return false
		}
		s.refuse(envelopeName(c.id), fmt.Errorf("its signer is certified by another root, %s", c.root.Hex()))
		return true
	})
	return roots[i].Fingerprint, nil
}

// Owners are the ids of the people whose files these are.
func (s *Survey) Owners() []PersonID {
	var owners []PersonID
	for _, c := range s.found {
		owners = append(owners, c.owner)
	}
	slices.Sort(owners)
	return slices.Compact(owners)
}

// Refused lists what is not recovered, by name.
func (s *Survey) Refused() []Refused {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(s.refused, func(a, b Refused) int { return strings.Compare(a.Name, b.Name) })
	return slices.Clone(s.refused)
}

func (s *Survey) refuse(name string, reason error) { s.refuseVersion(name, reason, "", 0) }

func (s *Survey) refuseVersion(name string, reason error, path string, version int) {
	text := strings.ReplaceAll(reason.Error(), stone.ErrRefused.Error()+": ", "")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = append(s.refused, Refused{name, text, path, version})
}

// unreadable is an object that the medium does not give.
type unreadable struct{ error }

func (e *unreadable) Unwrap() error { return e.error }

// misfit is an envelope that holds, and is not one that this vault's root and people made for the file.
type misfit struct{ reason string }

func (e *misfit) Error() string { return e.reason }

func misfits(format string, args ...any) error { return &misfit{fmt.Sprintf(format, args...)} }

// tellable says whether an error is about one object, so that the others can be recovered all the same.
func tellable(err error) bool {
	var medium *unreadable
	var other *misfit
	return errors.Is(err, stone.ErrRefused) || errors.Is(err, stone.ErrNoGrant) || errors.As(err, &medium) || errors.As(err, &other)
}

// survey looks at one envelope.
func (s *Survey) survey(ctx context.Context, id stone.FileID) error {
	raw, u, err := s.envelope(ctx, id)
	if err != nil && !tellable(err) {
		return err
	}
	var c *candidate
	if err == nil {
		c, err = s.candidate(u)
	}
	if err != nil {
		s.refuse(envelopeName(id), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c != nil {
		c.digest = sha256.Sum256(raw)
		c.owner, c.folder = PersonID(s.once(string(c.owner))), NodeID(s.once(string(c.folder)))
		c.root = identity.Fingerprint(s.once(string(c.root)))
		s.found = append(s.found, c)
	}
	s.read++
	s.progress(RecoverProgress{Phase: PhaseSurvey, Done: s.read})
	return nil
}

// once returns one copy of equal texts.
func (s *Survey) once(text string) string {
	if known, ok := s.texts[text]; ok {
		return known
	}
	text = strings.Clone(text)
	s.texts[text] = text
	return text
}

// envelope reads a file's envelope and opens it with the recovery secret.
func (s *Survey) envelope(ctx context.Context, id stone.FileID) ([]byte, *stone.Unlocked, error) {
	raw, err := s.object(ctx, envelopeName(id))
	if err != nil {
		return nil, nil, err
	}
	e, err := stone.ParseEnvelopeCached(raw, &s.cache)
	if err != nil {
		return nil, nil, err
	}
	if e.FileID != id {
		return nil, nil, misfits("it is the envelope of %s under another name", e.FileID)
	}
	if e.Suite != s.secret.Suite() {
		return nil, nil, misfits("it is of suite %d, and the recovery secret of suite %d", e.Suite, s.secret.Suite())
	}
	g := e.GrantTo(s.secret.Public().Fingerprint())
	if g == nil {
		return nil, nil, misfits("it was sealed for others, and not for this recovery secret")
	}
	w, err := s.wrappingKey(g)
	if err != nil {
		return nil, nil, err
	}
	key, err := e.KeyBy(w, g)
	if err != nil {
		return nil, nil, err
	}
	u, err := e.Unlock(key)
	return raw, u, err
}

// wrappingKey opens what many grants share, once.
func (s *Survey) wrappingKey(g *identity.Grant) (*identity.WrappingKey, error) {
	at := sha256.Sum256(g.Sealed)
	s.mu.Lock()
	w, ok := s.opened[at]
	s.mu.Unlock()
	if ok {
		return w, nil
	}
	w, err := s.secret.OpenWrappingKey(g)
	if err != nil {
		return nil, misfits("%v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	remember(&s.opened, maxCachedWrappingKeys, at, w)
	return w, nil
}

// object reads an envelope.
func (s *Survey) object(ctx context.Context, name string) ([]byte, error) {
	o, err := s.from.Open(ctx, name)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, &unreadable{fmt.Errorf("it cannot be read: %w", err)}
	}
	defer o.Close()
	if o.Size() > stone.MaxEnvelopeSize {
		return nil, misfits("it is too large for an envelope")
	}
	raw := make([]byte, o.Size())
	if n, err := o.ReadAt(raw, 0); n < len(raw) && err != io.EOF {
		return nil, &unreadable{fmt.Errorf("it cannot be read: %w", err)}
	}
	return raw, nil
}

// candidate holds what an envelope states against what a vault writes.
func (s *Survey) candidate(u *stone.Unlocked) (*candidate, error) {
	m := u.Metadata
	names, err := ParsePath(m.Path)
	switch {
	case u.Certificate == nil:
		return nil, misfits("its signer is not certified by any root")
	case u.Certificate.Subject.Kind != string(KindPerson) || u.Certificate.Subject.ID != m.Owner:
		return nil, misfits("its signer, %s %s, is not the owner that it states, %s", u.Certificate.Subject.Kind, u.Certificate.Subject.ID, m.Owner)
	case !isID(m.Owner) || !isID(m.Document) || m.Folder != "" && !isID(m.Folder) || m.Version < 1:
		return nil, misfits("it states no document of a vault")
	case err != nil || len(names) == 0 || joinPath(names...) != m.Path || names[len(names)-1] != m.Name:
		return nil, misfits("its path and name are not those of a file in a vault")
	case (m.Folder == "") != (len(names) == 1):
		return nil, misfits("its path and its folder do not fit")
	case m.Folder == m.Document:
		return nil, misfits("it states itself as its folder")
	}
	for _, t := range []time.Time{m.CreatedAt, m.ModifiedAt, m.SealedAt} {
		if y := t.Year(); y < 1 || y > 9999 {
			return nil, misfits("it states a time in the year %d", y)
		}
	}
	return &candidate{
		id: u.FileID, root: u.Certificate.Root.Fingerprint(), owner: PersonID(m.Owner), document: NodeID(m.Document),
		folder: NodeID(m.Folder), path: m.Path, version: m.Version, size: m.Size, time: u.Time.UnixMilli(),
		created: m.CreatedAt.UnixMilli(), sealed: m.SealedAt.UnixMilli(),
	}, nil
}

// isID accepts 16 bytes in lower-case hex.
func isID(s string) bool {
	_, err := stone.ParseFileID(s)
	return err == nil
}
