package notify

import (
	"fmt"
	"io"
	"strings"
	"text/template"
	"time"
)

// Message is what is told. Templates have its fields.
type Message struct {
	// ID is the same each time that this is sent.
	ID string
	// On is what has happened: Started, StepStarted, Waiting, Promoted, RolledBack or
	// Stalled.
	On string
	// Namespace and Rollout name it; UID tells it from one of the same name.
	Namespace, Rollout, UID string
	// Revision is the one it is about, Stable the one that serves.
	Revision, Stable string
	// Step counts from 1, 0 where there is none.
	Step int32
	// Text says what has happened, in a sentence.
	Text string
	// At is when, in UTC.
	At time.Time
}

// happenings are the names that a template may have, with the words of a title.
var happenings = map[string]string{
	"Started": "delivery started", "StepStarted": "step started", "Waiting": "waiting for a person",
	"Promoted": "promoted", "RolledBack": "rolled back", "Stalled": "stalled", defaultTemplate: "",
}

const (
	defaultTemplate = "default"
	// maxText bounds a message; chats cut or refuse what is longer than a few thousand
	// characters.
	maxText = 2000
)

// makeTemplate reads a template and tries it, so that a field that is not there is
// found when the file is read and not when something has gone wrong.
func makeTemplate(name, text string) (*template.Template, error) {
	if _, known := happenings[name]; !known {
		return nil, fmt.Errorf("there is no such happening: use Started, StepStarted, Waiting, Promoted, RolledBack, Stalled or default")
	}
	made, err := template.New(name).Parse(text)
	if err != nil {
		return nil, err
	}
	if err := made.Execute(io.Discard, Message{}); err != nil {
		return nil, err
	}
	return made, nil
}

// word is the message for people.
func (b *book) word(m Message) (string, error) {
	made := b.templates[m.On]
	if made == nil {
		made = b.templates[defaultTemplate]
	}
	if made == nil {
		return clip(m.Text), nil
	}
	var out strings.Builder
	if err := made.Execute(&out, m); err != nil {
		return "", fmt.Errorf("word the message: %w", err)
	}
	return clip(out.String()), nil
}

// clip cuts a text at the end of a rune.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

// title is the first line of what people see.
func title(m Message) string {
	return fmt.Sprintf("Rollout %s/%s: %s", m.Namespace, m.Rollout, happenings[m.On])
}
