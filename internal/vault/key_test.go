package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"stonevault/internal/auditlog"
	"stonevault/internal/masterkey"
	"stonevault/internal/vault"
)

// TestKeyAway: once the master key is suspended and what it opened is forgotten, nothing is opened or put, and nobody
// takes that for damage; a put under way leaves nothing. When the key is back all is as it was.
func TestKeyAway(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann")
	content := bytes.Repeat([]byte("secret"), 1000)
	h.put(ann, "/letter", content)
	h.mustGet(ann, "/letter", content)
	upload, err := h.BeginUpload(ctx, ann, vault.UploadRequest{Path: "/upload", Size: 10, Mode: 0o644})
	if err != nil {
		t.Fatal(err)
	}

	h.key.Suspend(fmt.Errorf("%w: %w", vault.ErrUnavailable, auditlog.ErrKeyAway))
	h.ForgetKeys()
	h.config.Audit.ForgetKeys()
	_, err = h.get(ann, vault.Ref{Path: "/letter"})
	_, _, errPut := h.Put(ctx, ann, request("/new", content))
	_, errVerify := h.Verify(ctx, ann, vault.Ref{Path: "/letter"})
	_, _, errAppend := h.AppendUpload(ctx, ann, upload.ID, vault.Append{Body: bytes.NewReader(make([]byte, 10)), Size: 10})
	_, _, errPerson := h.CreatePerson(ctx, vault.Actor{}, "bob", vault.RoleUser, "hash")
	_, errOpen := vault.Open(ctx, h.config)
	for what, err := range map[string]error{
		"a get": err, "a put": errPut, "a check": errVerify, "an upload": errAppend, "an account": errPerson, "another start": errOpen,
	} {
		if !errors.Is(err, vault.ErrUnavailable) || errors.Is(err, vault.ErrRefused) || errors.Is(err, auditlog.ErrRewritten) || errors.Is(err, vault.ErrWrongMasterKey) {
			t.Errorf("%s: %v", what, err)
		}
	}

	same, err := masterkey.ReadFile(filepath.Join(h.dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.key.Resume(same); err != nil {
		t.Fatal(err)
	}
	h.mustGet(ann, "/letter", content)
	if _, err := h.Stat(ctx, ann, vault.Ref{Path: "/new"}); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("a put without the key: %v", err)
	}
	if _, e, err := h.AppendUpload(ctx, ann, upload.ID, vault.Append{Body: bytes.NewReader(make([]byte, 10)), Size: 10}); err != nil || e == nil {
		t.Errorf("the upload: %v", err)
	}
}
