package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"stonevault/api"
	"stonevault/audit"
)

// sentences say what an event of a type did. A {name} stands for a field of what is about the vault or, failing that,
// of the person whom it concerns; {name?: } is for one that need not be there, with what follows it then.
var sentences = map[audit.Type]string{
	audit.LogBegun:          "{origin} ({reason})",
	audit.LogAnchored:       "{size} events, in block {block} of chain {chain}",
	audit.PersonErased:      "what was recorded of a person, piece {piece} of {pieces}",
	audit.ServerStarted:     "{software}",
	audit.ServerStopped:     "{reason}",
	audit.ServerConfigured:  "{changed}",
	audit.ServerMigrated:    "the database, from schema {from} to {to}",
	audit.VaultRecovered:    "{documents} files in {versions} versions; {refused} refused",
	audit.SettingsChanged:   "{name}: {value}",
	audit.WebhookChanged:    "{what}: {host}",
	audit.AccountCreated:    "{name}, as {role}, by {by}",
	audit.AccountChanged:    "{name}: {what} {value}",
	audit.AccountInvited:    "{name?: }{what}",
	audit.AccountReset:      "{name}: {what}",
	audit.FactorChanged:     "{name}: {what}",
	audit.QuotaChanged:      "{name?: }bytes {bytes}, files {files}",
	audit.FilesHandedOver:   "{name}: {documents} files, {bytes} bytes, to {to}",
	audit.KeyPublished:      "{kind} {name?: }{fingerprint}",
	audit.KeyRetired:        "{kind} {name?: }{fingerprint}",
	audit.RecoveryConfirmed: "version {version}: {fingerprint}",
	audit.RecoveryRotated:   "version {version}, {state}: {fingerprint}",
	audit.KeyRotated:        "{what} {name?: }version {version}, {state}: {fingerprint}",
	audit.KeyDestroyed:      "{kind} {name?: }{fingerprint}",
	audit.SessionOpened:     "by {method}",
	audit.SessionRefused:    "{name?: }{reason}, {count}×",
	audit.SessionEnded:      "{name?: }{reason}",
	audit.TokenReused:       "{name?}",
	audit.AccessRefused:     "{method} {route}: {status}, {count}×",
	audit.SetupRefused:      "{count}×",
	audit.TokenCreated:      "{name}: {scopes}",
	audit.TokenRevoked:      "{name}: {reason}",
	audit.FilePut:           "{path}, version {version}, {size} bytes",
	audit.FileMoved:         "{from} to {to}",
	audit.FileDeleted:       "{path} ({kind}, {versions} versions)",
	audit.FolderCreated:     "{path}",
	audit.UploadBegun:       "{path}",
	audit.UploadEnded:       "{path}: {reason} after {offset} bytes",
	audit.DownloadBegun:     "{path}, version {version}, {size} bytes",
	audit.DownloadEnded:     "{path}: {outcome}, {bytes} bytes",
	audit.FileExported:      "{path}, version {version}, for {recipients} keys",
	audit.FileVerified:      "{path}, version {version}, sound: {ok}",
	audit.FileResealed:      "{path}: {reason}",
	audit.GroupCreated:      "{name}",
	audit.GroupChanged:      "{name}",
	audit.GroupDeleted:      "{group}",
	audit.MemberChanged:     "{name}: member {member}, manager {manager}",
	audit.MemberRemoved:     "{name}: {reason}",

	audit.QuantumSession:      "{name}: {state} ({reason}), {keys} keys, {qber} errors in a million bits",
	audit.QuantumDelivered:    "{name}: {keys} keys {what}",
	audit.QuantumRefused:      "{name?: }{reason}, {count}×",
	audit.QuantumEavesdropper: "{name}: {what}, {attack}, {share} in a million pulses",
}

var placeholder = regexp.MustCompile(`\{([a-z_]+)(\?[^}]*)?\}`)

// whatHappened says an event in words. All that comes from the server is shown so that a terminal obeys none of it.
func whatHappened(e *api.AuditEvent) string {
	if e.Damaged {
		return "DAMAGED: this is not what was recorded"
	}
	kind, err := audit.ParseType(e.Type)
	sentence, ok := sentences[kind]
	if err != nil || !ok {
		return allFields(e.Operational)
	}
	if len(e.Operational) == 0 {
		return notShown
	}
	return placeholder.ReplaceAllStringFunc(sentence, func(name string) string {
		name, after, optional := strings.Cut(strings.Trim(name, "{}"), "?")
		for _, fields := range []map[string]any{e.Operational, e.Subject} {
			if value, ok := fields[name]; ok {
				if fields["limited_"+name] == false {
					value = "without limit"
				}
				return fieldText(value) + after
			}
		}
		if erased := slices.Contains(e.Erased, api.AuditSlotSubject); optional && !erased {
			return ""
		} else if erased {
			return "(erased)" + after
		}
		return notShown
	})
}

const notShown = "(not shown)"

// whoActed names the person who did it.
func whoActed(e *api.AuditEvent) string {
	name, _ := e.Actor["name"].(string)
	address, _ := e.Actor["address"].(string)
	switch {
	case e.Damaged:
		return "?"
	case name != "":
		return shown(name)
	case address != "":
		return shown(address)
	case e.Actor != nil:
		return "(machine)"
	case slices.Contains(e.Erased, api.AuditSlotActor):
		return "(erased)"
	}
	return "-"
}

// fieldText is a field's value; JSON has made floats of counts.
func fieldText(value any) string {
	switch v := value.(type) {
	case float64:
		return fmt.Sprintf("%.0f", v)
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case string:
		if v == "" {
			return "-"
		}
		return shown(v)
	}
	return shown(fmt.Sprint(value))
}

// allFields lists the fields of a type that is newer than this program.
func allFields(fields map[string]any) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		all = append(all, shown(name)+"="+fieldText(fields[name]))
	}
	return strings.Join(all, " ")
}
