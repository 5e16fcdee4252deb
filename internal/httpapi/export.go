package httpapi

import (
	"bufio"
	"fmt"
	"strconv"

	"stonevault/api"
	"stonevault/identity"
	"stonevault/internal/vault"
)

// export sends a file as a stone. The little that comes before the first segment waits for that to be
// verified, so that a file that is refused at once gets a proper answer.
func (a *API) export(c *call) error {
	at, err := ref(c, "")
	if err != nil {
		return err
	}
	var in api.ExportRequest
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	req := vault.ExportRequest{Passphrase: []byte(in.Passphrase)}
	for i, text := range in.Recipients {
		key, err := identity.ParsePublic(text)
		if err != nil {
			return invalid("recipients", fmt.Sprintf("has something else than a public key as number %d", i+1))
		}
		req.Recipients = append(req.Recipients, key)
	}
	ctx := c.r.Context()
	x, err := a.Vault.Export(ctx, c.actor(), at, req)
	if err != nil {
		return err
	}
	defer x.Close()
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", disposition(x.Name))
	h.Set("Content-Length", strconv.FormatInt(x.Size, 10))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Cache-Control", "private, no-store")
	out := bufio.NewWriter(c.w)
	if err := x.Stream(ctx, out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if c.w.sent != x.Size {
		return fmt.Errorf("httpapi: sent %d bytes of a stone where %d were announced", c.w.sent, x.Size)
	}
	return nil
}
