package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stonevault/identity"
	"stonevault/internal/blob/local"
	"stonevault/internal/config"
	"stonevault/internal/datadir"
	"stonevault/internal/metadb"
	"stonevault/internal/vault"
	"stonevault/stone"
)

const adminName = "admin"

const notEnded = "it is an upload that had not ended"

// recoverFlags are the settings of recover: the suite is the secret's.
var recoverFlags = slices.Concat([]string{"data", "database", "objects", "s3_credentials", "master_key_source", "master_passphrase", "development"}, transitFlags)

func newRecover(a *app) *cobra.Command {
	r := &recovery{app: a}
	cmd := &cobra.Command{
		Use:   "recover --from OBJECTS --secret-stdin --data NEW",
		Short: "Rebuild a vault from its objects and the recovery secret alone",
		Long: `Rebuilds a vault whose database or master key is lost from its objects, or a copy of them, and the recovery sheet.
OBJECTS is a directory, or the s3:// address of a bucket, whose credentials --s3-credentials names. NEW
becomes a whole vault of its own, with a new master key, a new root and new keys for everybody; OBJECTS is read
and never changed.

A file comes back, with all its versions, where the last change to it left it, if a person's keys signed it, one
root certified them, and it opens whole with the secret. All else is listed with the reason, and copied nowhere.
The root's fingerprint stands on the sheet; without --root there must be only one.

A recovery that was interrupted goes on when it is started again. The exit code is 2 when something was refused.`,
		Example: `  stonevaultd recover --from /mnt/backup/objects --secret-stdin --data ./new <secret.txt
  stonevaultd recover --from 's3://stones/vault?endpoint=https://s3.example' --secret-stdin --data ./new <secret.txt
  stonevaultd recover --from ./old/objects --link --secret-stdin --data ./new --owner 0f3c…=ann`,
		Args: operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.from == "" {
				return misuse("name the objects: --from DIR, or --from s3://BUCKET/PREFIX")
			}
			var err error
			if r.secret, err = a.recoverySecret(r.stdin); err != nil {
				return err
			}
			if r.config, err = a.config(cmd); err != nil {
				return err
			}
			return r.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&r.from, "from", "", "the `OBJECTS`: the directory objects of the lost vault, a copy of it, or the address of its bucket")
	cmd.Flags().StringArrayVar(&r.roots, "root", nil, "the `FINGERPRINT` of the vault's root key, as on the sheet or in hex; may be repeated for a vault that was lost while its root was being replaced")
	cmd.Flags().StringArrayVar(&r.names, "owner", nil, "`ID=NAME`: the name of the account that gets an owner's files; may be repeated")
	cmd.Flags().BoolVar(&r.link, "link", false, "link bodies instead of copying them, on one file system")
	cmd.Flags().BoolVar(&r.json, "json", false, "print the report as JSON")
	addSecretFlag(cmd, &r.stdin)
	config.AddFlags(cmd.Flags(), recoverFlags...)
	return cmd
}

// recovery is one run of recover.
type recovery struct {
	*app
	from   string
	roots  []string
	names  []string
	link   bool
	json   bool
	stdin  bool
	secret *identity.Identity
	config config.Config

	source objectStore
	survey *vault.Survey
	said   time.Time // when progress was last shown
}

func (r *recovery) run(ctx context.Context) (err error) {
	o := &opener{config: r.config, version: version, ask: askOnce(r.ask), now: r.now, log: newLog(r.stderr, r.config)}
	if err := r.openSource(ctx); err != nil {
		return err
	}
	defer r.source.Close()
	if err := o.mayRecover(ctx); err != nil {
		return err
	}
	// What is printed at the end is shown once, so make sure that it can be.
	if !r.json {
		if _, err := fmt.Fprintf(r.stdout, "Recovering %s into %s.\n", r.from, o.config.Data); err != nil {
			return fmt.Errorf("nothing can be printed, and what must be printed is shown once: %w", err)
		}
	}
	r.said = r.now()
	if r.survey, err = vault.NewSurvey(ctx, r.source, r.secret, r.progress); err != nil {
		return err
	}
	if err := r.checkRoots(); err != nil {
		return err
	}
	root, err := r.survey.Trust(r.trusted())
	if err != nil {
		return r.explainRoots(err)
	}
	accounts, err := r.accounts()
	if err != nil {
		return err
	}
	s, err := o.open(ctx, toRecover)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	request := vault.RebuildRequest{Root: root}
	if r.link {
		request.Adopt = func(ctx context.Context, name string) error {
			to, ok := s.objects.(*local.Store)
			from, also := r.source.(*local.Store)
			if !ok || !also {
				return misuse("--link is for objects that come from a directory and go into one; leave it out")
			}
			if err := to.Link(ctx, from, name); err != nil {
				return fmt.Errorf("%w; run it again without --link, which copies", err)
			}
			return nil
		}
	}
	rebuilt, err := r.survey.Rebuild(ctx, o.vaultConfig(s, s.db, s.recorder), request)
	if err != nil {
		return fmt.Errorf("%w; run it again once that is mended, and it goes on", err)
	}
	passwords := make(map[string]string)
	for i := range accounts {
		password := newPassword()
		passwords[accounts[i].Name] = password
		if accounts[i].PasswordHash, err = hashPassword(accounts[i].Name, password); err != nil {
			return err
		}
	}
	if err := rebuilt.Finish(ctx, atMachine, accounts); err != nil {
		return err
	}
	about, err := rebuilt.Vault.About(ctx)
	if err != nil {
		return err
	}
	report := r.report(rebuilt.Report, about, accounts, passwords)
	if report.Refused, err = r.refused(ctx); err != nil {
		return err
	}
	if err := r.print(report, hint(r.config, s.dir, "serve")); err != nil {
		return fmt.Errorf("the vault is recovered, and what had to be printed once could not be; give each account a new password with: stonevaultd admin reset (%w)", err)
	}
	if len(report.Refused) > 0 {
		return errLeftOut
	}
	return nil
}

// askOnce remembers the answers, so that a directory can be looked at twice.
func askOnce(ask func(string) (string, error)) func(string) (string, error) {
	known := make(map[string]string)
	return func(prompt string) (string, error) {
		if answer, ok := known[prompt]; ok {
			return answer, nil
		}
		answer, err := ask(prompt)
		if err == nil {
			known[prompt] = answer
		}
		return answer, err
	}
}

// openSource opens the lost vault's objects to read them.
func (r *recovery) openSource(ctx context.Context) (err error) {
	if strings.HasPrefix(r.from, "s3://") {
		r.source, err = openBucket(ctx, config.Objects{Address: config.Address(r.from), Credentials: r.config.Objects.Credentials})
		return err
	}
	info, err := os.Stat(r.from)
	switch {
	case err != nil:
		return fmt.Errorf("--from: %w", err)
	case !info.IsDir():
		return fmt.Errorf("--from: %s is no directory; name the directory objects of the lost vault", r.from)
	}
	if below, err := os.Stat(filepath.Join(r.from, "objects")); err == nil && below.IsDir() {
		return fmt.Errorf("--from: name the objects themselves: %s", filepath.Join(r.from, "objects"))
	}
	dir, err := datadir.At(r.config.Data)
	if err != nil {
		return err
	}
	if inside, err := dir.Contains(r.from); err != nil {
		return err
	} else if inside {
		return fmt.Errorf("the objects lie in %s, where the new vault shall be; choose another directory with --data", dir.Path())
	}
	r.source, err = local.Open(r.from)
	return err
}

// mayRecover refuses, before anything is read, a directory that open would refuse after it.
func (o *opener) mayRecover(ctx context.Context) error {
	p, err := placesOf(o.config, o.version)
	if err != nil {
		return err
	}
	state, err := p.inspect(ctx)
	if err != nil || state != datadir.InUse {
		return err
	}
	s := &store{places: p}
	defer s.close()
	keys := &keyring{places: p, config: o.config, ask: o.ask}
	if s.key, err = keys.find(state); err != nil {
		return err
	}
	if s.objects, err = s.openObjects(ctx); err != nil {
		return err
	}
	err = o.rehearse(ctx, s, keys, toRecover, false)
	var older *metadb.OlderError
	if errors.As(err, &older) {
		return nil // a run that was killed had only just made it; open knows, which has the lock
	}
	return err
}

// names tells whether a text is a root's fingerprint, in hex or as it is spoken.
func names(text string, f identity.Fingerprint) bool {
	text = strings.ToLower(strings.Join(strings.Fields(strings.ReplaceAll(text, "-", " ")), ""))
	return text == f.Hex() || text == strings.Join(strings.Fields(f.Spoken()), "")
}

// trusted tells whether a root is one that was named, or is nil where none was.
func (r *recovery) trusted() func(identity.Fingerprint) bool {
	if len(r.roots) == 0 {
		return nil
	}
	return func(f identity.Fingerprint) bool {
		return slices.ContainsFunc(r.roots, func(text string) bool { return names(text, f) })
	}
}

// checkRoots refuses one of several names that is nobody's. One alone is told of by Trust.
func (r *recovery) checkRoots() error {
	if len(r.roots) < 2 {
		return nil
	}
	found := r.survey.Roots()
	for _, text := range r.roots {
		if !slices.ContainsFunc(found, func(root vault.Root) bool { return names(text, root.Fingerprint) }) {
			return fmt.Errorf("the root %q certifies none of these files; look whether it is written as on the sheet", text)
		}
	}
	return nil
}

// explainRoots lists the roots that there are, and what was refused so far.
func (r *recovery) explainRoots(err error) error {
	var roots *vault.RootsError
	if !errors.As(err, &roots) {
		return err
	}
	for _, root := range roots.Found {
		fmt.Fprintf(r.stderr, "%d files are certified by the root\n%s", root.Files, spokenLines(root.Fingerprint.Spoken()))
	}
	if len(roots.Found) > 0 {
		return fmt.Errorf("%w; compare with the recovery sheet, and name the right one with --root", err)
	}
	refused := r.survey.Refused()
	for _, f := range refused[:min(len(refused), 20)] {
		fmt.Fprintf(r.stderr, "%s  %s\n", f.Name, f.Reason)
	}
	return fmt.Errorf("%w (looked at: %d); look for the sheet or the objects that belong together", err, len(refused))
}

// accounts gives every owner a name, and adds the admin unless one of them is to be that.
func (r *recovery) accounts() ([]vault.NewAccount, error) {
	names := make(map[vault.PersonID]string)
	for _, text := range r.names {
		id, name, ok := strings.Cut(text, "=")
		if !ok || id == "" || name == "" {
			return nil, misuse("--owner %q: write it as ID=NAME", text)
		}
		if _, twice := names[vault.PersonID(id)]; twice {
			return nil, misuse("--owner names %s twice", id)
		}
		names[vault.PersonID(id)] = name
	}
	var accounts []vault.NewAccount
	owners := r.survey.Owners()
	for _, owner := range owners {
		name, ok := names[owner]
		if !ok {
			name = "recovered-" + string(owner)[:8]
		}
		accounts = append(accounts, vault.NewAccount{Owner: owner, Name: name, Role: vault.RoleUser})
	}
	for id := range names {
		if !slices.Contains(owners, vault.PersonID(id)) {
			return nil, fmt.Errorf("--owner: no file here belongs to %s; the owners are: %s", id, strings.Join(texts(owners), ", "))
		}
	}
	admin := func(a vault.NewAccount) bool { return vault.NameKey(a.Name) == adminName }
	if i := slices.IndexFunc(accounts, admin); i >= 0 {
		accounts[i].Role = vault.RoleAdmin
	} else {
		accounts = slices.Insert(accounts, 0, vault.NewAccount{Name: adminName, Role: vault.RoleAdmin})
	}
	if err := vault.CheckAccountNames(accounts); err != nil {
		return nil, fmt.Errorf("%w; give other names with --owner ID=NAME, for: %s", err, strings.Join(texts(owners), ", "))
	}
	return accounts, nil
}

func texts[T ~string](list []T) []string {
	var s []string
	for _, t := range list {
		s = append(s, string(t))
	}
	return s
}

// refused is what the survey and the rebuilding refused, and files that are no objects at all.
func (r *recovery) refused(ctx context.Context) ([]refusedObject, error) {
	var list []refusedObject
	for _, f := range r.survey.Refused() {
		list = append(list, refusedObject{f.Name, f.Reason, f.Path, f.Version})
	}
	if _, inDirectory := r.source.(*local.Store); !inDirectory {
		err := r.source.WalkParts(ctx, func(id stone.FileID, _ int64) error {
			list = append(list, refusedObject{Name: id.String(), Reason: notEnded})
			return nil
		})
		return list, err
	}
	err := filepath.WalkDir(r.from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			list = append(list, refusedObject{Name: path, Reason: fmt.Sprintf("it cannot be read: %v", err)})
			return nil
		}
		name := e.Name()
		relative, err := filepath.Rel(r.from, path)
		if err != nil {
			return err
		}
		if e.IsDir() || isObject(relative) && e.Type().IsRegular() {
			return nil
		}
		reason := "it is no object of a vault"
		if strings.HasSuffix(name, ".part") {
			reason = notEnded
		}
		list = append(list, refusedObject{Name: relative, Reason: reason})
		return nil
	})
	return list, err
}

// isObject tells whether a path below a store is an object's.
func isObject(path string) bool {
	id, kind, _ := strings.Cut(filepath.Base(path), ".")
	if _, err := stone.ParseFileID(id); err != nil || kind != "body" && kind != "env" {
		return false
	}
	return filepath.Dir(path) == id[:2]
}

// progress says every other second how far it has come.
func (r *recovery) progress(p vault.RecoverProgress) {
	now := r.now()
	if now.Sub(r.said) < 2*time.Second {
		return
	}
	r.said = now
	if p.Phase == vault.PhaseSurvey {
		fmt.Fprintf(r.stderr, "envelopes read: %d\n", p.Done)
		return
	}
	fmt.Fprintf(r.stderr, "versions recovered: %d of %d, %s\n", p.Done, p.Total, size(p.Bytes))
}
