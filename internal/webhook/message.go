package webhook

import (
	"encoding/json"
	"time"

	"stonevault/audit"
)

// Message is the body of what is sent. It names people by their ids alone. Everything from Person on is there where
// the type has it.
type Message struct {
	Type  Kind   `json:"type"`
	Event int64  `json:"event,omitempty"` // the id of the event in the audit log
	Time  string `json:"time"`            // RFC 3339, UTC, milliseconds
	Vault string `json:"vault"`           // its id

	Person string `json:"person,omitempty"` // whom it is about
	By     string `json:"by,omitempty"`     // who did it, if it was another
	Role   string `json:"role,omitempty"`   // the new one
	Method string `json:"method,omitempty"` // of signing in
	Reason string `json:"reason,omitempty"` // why signing in was refused
	Route  string `json:"route,omitempty"`  // what was asked for, as the interface's description names it
	Status int64  `json:"status,omitempty"` // that the refusal had
	Count  int64  `json:"count,omitempty"`  // how many alike it stands for
	Since  string `json:"since,omitempty"`  // from when on
}

// tooMany is the HTTP status of a request that came too soon after others. Nobody looked at what it asked for, so that
// it is no refused download.
const tooMany = 429

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (m Message) encode() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings and numbers
	}
	return b
}

// messageOf is what an event says to webhooks; ok is false where it says nothing.
func (o *Outbox) messageOf(id int64, e audit.Event) (m Message, ok bool) {
	m = Message{Event: id, Time: stamp(e.Time), Vault: o.Vault}
	switch e.Type {
	case audit.SessionRefused:
		m.Type, m.Person, m.Reason = SignInRefused, text(e.Subject, "person"), text(e.Operational, "reason")
		m.repeated(e.Operational)
	case audit.SessionOpened:
		if isNew, _ := e.Operational["new_device"].(bool); !isNew {
			return m, false
		}
		m.Type, m.Person, m.Method = DeviceNew, text(e.Actor, "person"), text(e.Operational, "method")
	case audit.AccountChanged:
		if text(e.Operational, "what") != "role" {
			return m, false
		}
		m.Type, m.Person, m.By, m.Role = RoleChanged, text(e.Subject, "person"), text(e.Actor, "person"), text(e.Operational, "value")
	case audit.AccessRefused:
		method, route := text(e.Operational, "method"), text(e.Operational, "route")
		status := number(e.Operational, "status")
		if !o.IsDownload(method, route) || status == tooMany {
			return m, false
		}
		m.Type, m.Person, m.Route, m.Status = DownloadRefused, text(e.Actor, "person"), method+" "+route, status
		m.repeated(e.Operational)
	default:
		return m, false
	}
	if m.By == m.Person {
		m.By = ""
	}
	return m, true
}

func (m *Message) repeated(v audit.Values) {
	m.Count = number(v, "count")
	if since := number(v, "since"); since > 0 {
		m.Since = stamp(time.UnixMilli(since))
	}
}

func text(v audit.Values, name string) string { s, _ := v[name].(string); return s }

func number(v audit.Values, name string) int64 {
	switch n := v[name].(type) {
	case int64:
		return n
	case int:
		return int64(n)
	}
	return 0
}
