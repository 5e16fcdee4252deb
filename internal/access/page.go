package access

import (
	"fmt"
	"strings"
)

const pageTop = "# Who may do what\n\n" +
	"This page is made from the table in `internal/access` by `go generate`; edit that. The server asks the table for every\n" +
	"request. Nothing is shared yet.\n\n" +
	"What somebody may do is decided by three things: the **role** (admin, manager or user), the **action**, and what the\n" +
	"thing is to the one who asks: one's own, shared with me, of a group that I manage or belong to, somebody else's, or\n" +
	"the vault's as a whole. Where several of these hold, the most favourable counts; only one's own account is nothing\n" +
	"else, so that nobody manages himself.\n\n" +
	"- Admins run accounts, settings and the audit log. By their role they read nobody's files.\n" +
	"- Managers see and manage the people, the quotas and the audit of the groups that they manage. They take whom they\n" +
	"  like into such a group, anybody who is active but an admin, and so manage him: sessions, API tokens, quota and audit,\n" +
	"  never files, password or second factor. Admins give this role to those whom they trust with that. Who is taken in\n" +
	"  has it in his own log, and may stop belonging to a group at any time. An admin in such a group, whom another admin\n" +
	"  added, is not theirs to manage.\n" +
	"- Users have what is their own and what is shared with them. Who is a user manages nothing, even where a group still\n" +
	"  names him as its manager.\n" +
	"- The last active admin cannot give up the role, be switched off or be erased.\n" +
	"- An API token does what its owner may do and its scopes name, never more.\n\n" +
	"| in the tables | means |\n|---|---|\n" +
	"| yes | allowed |\n" +
	"| share | what the share says: its role, and whether it still stands |\n" +
	"| no | refused, and the answer says so (403) |\n" +
	"| missing | refused with the answer that a thing gets that does not exist (404) |\n" +
	"| an empty field | cannot arise, and would be answered like a missing thing |\n"

// Reference is the table as a page in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(pageTop)
	for _, kind := range Kinds {
		var columns []Relation
		fmt.Fprintf(&b, "\n## %s\n\n", kind.Name)
		for r := range relations {
			if kind.Meaning[r] != "" {
				columns = append(columns, r)
				fmt.Fprintf(&b, "- **%s**: %s\n", r, kind.Meaning[r])
			}
		}
		b.WriteString("\n| may | who |")
		for _, r := range columns {
			fmt.Fprintf(&b, " %s |", r)
		}
		b.WriteString("\n|---|---|" + strings.Repeat("---|", len(columns)) + "\n")
		for _, row := range kind.Rows {
			row.write(&b, columns)
		}
	}
	return b.String()
}

// write adds a line for each group of roles that are treated alike.
func (row Row) write(b *strings.Builder, columns []Relation) {
	does := fmt.Sprintf("%s (`%s`)", row.Does, row.Action)
	for _, line := range row.lines() {
		fmt.Fprintf(b, "| %s | %s |", does, line.who)
		for _, r := range columns {
			fmt.Fprintf(b, " %s |", cells[line.letters[r]])
		}
		b.WriteString("\n")
		does = ""
	}
}

var cells = map[byte]string{'y': "yes", 's': "share", 'f': "no", 'a': "missing"}

type line struct{ who, letters string }

func (row Row) lines() []line {
	switch a, m, u := row.admin, row.manager, row.user; {
	case a == m && m == u:
		return []line{{"everybody", a}}
	case a == m:
		return []line{{"admins, managers", a}, {"users", u}}
	case m == u:
		return []line{{"admins", a}, {"managers, users", m}}
	default:
		return []line{{"admins", a}, {"managers", m}, {"users", u}}
	}
}
