package metrics

import (
	"errors"
	"fmt"
	"strings"
	"text/template/parse"
	"time"

	"github.com/prometheus/common/model"
)

// validFields ends every error about a template.
const validFields = "use .Namespace, .Rollout, .Service, .Stable, .Canary or .Interval"

// QueryArgs are the values that a template may insert.
type QueryArgs struct {
	// Namespace, Rollout and Service name the objects being delivered.
	Namespace, Rollout, Service string
	// Stable and Canary are the revisions. A value may be empty if the template does not use it.
	Stable, Canary string
	// Interval is the time between measurements, at least a millisecond; it is inserted as Prometheus writes
	// durations, such as 30s.
	Interval time.Duration
}

// Query is a parsed query template.
type Query struct {
	parts []part
}

// part is a piece of text, or the name of the field to insert.
type part struct {
	text, field string
}

// ParseQuery reads a Go text/template that does nothing but insert fields of QueryArgs, such as {{.Canary}}.
//
// Functions, variables, conditions and loops are refused. A user's template runs inside the controller, where
// {{range 1000000000}} or {{printf "%999999999d" 1}} would take all of its memory; and as there is nothing left that
// can fail on one branch only, a template that parses renders.
func ParseQuery(text string) (*Query, error) { return parseTemplate(text, validFields, isField) }

func isField(name string) bool {
	_, ok := (QueryArgs{}).field(name)
	return ok
}

func parseTemplate(text, valid string, known func(string) bool) (*Query, error) {
	trees, err := parse.Parse("query", text, "{{", "}}")
	if err != nil {
		return nil, fmt.Errorf("parse the query template: %w; a template only inserts fields: %s", err, valid)
	}
	if len(trees) != 1 { // The text itself is always one of them.
		return nil, fmt.Errorf("parse the query template: it defines another template; a template only inserts fields: %s", valid)
	}
	q := &Query{}
	visible := false
	for _, node := range trees["query"].Root.Nodes {
		p, err := newPart(node, valid, known)
		if err != nil {
			return nil, err
		}
		visible = visible || p.field != "" || strings.TrimSpace(p.text) != ""
		q.parts = append(q.parts, p)
	}
	if !visible {
		return nil, errors.New("parse the query template: it is empty; write a PromQL expression that returns one number")
	}
	return q, nil
}

func newPart(node parse.Node, valid string, known func(string) bool) (part, error) {
	switch n := node.(type) {
	case *parse.TextNode:
		return part{text: string(n.Text)}, nil
	case *parse.ActionNode:
		if len(n.Pipe.Decl) > 0 || len(n.Pipe.Cmds) != 1 || len(n.Pipe.Cmds[0].Args) != 1 {
			break
		}
		field, ok := n.Pipe.Cmds[0].Args[0].(*parse.FieldNode)
		if !ok {
			break
		}
		name := strings.Join(field.Ident, ".")
		if !known(name) {
			return part{}, fmt.Errorf("parse the query template: unknown field .%s: %s", name, valid)
		}
		return part{field: name}, nil
	}
	return part{}, fmt.Errorf("parse the query template: %s is not supported; a template only inserts fields: %s", oneLine(node.String()), valid)
}

// Render inserts the values. It refuses a value that is not made of letters, digits, '-', '_' and '.' only, as all
// names in Kubernetes are: whatever else it is could end a string of the query and begin another. An empty value is
// refused too, because {revision=""} would measure everything that has no revision.
func (q *Query) Render(args QueryArgs) (string, error) {
	var b strings.Builder
	for _, p := range q.parts {
		if p.field == "" {
			b.WriteString(p.text)
			continue
		}
		value, _ := args.field(p.field)
		if value == "" {
			return "", fmt.Errorf("render the query: .%s has no value", p.field)
		}
		if i := strings.IndexFunc(value, func(r rune) bool { return !plain(r) }); i >= 0 {
			return "", fmt.Errorf("render the query: .%s is %q, which may not stand in a query", p.field, value)
		}
		b.WriteString(value)
	}
	return b.String(), nil
}

// field returns the value to insert, and whether there is a field of that name.
func (a QueryArgs) field(name string) (string, bool) {
	switch name {
	case "Namespace":
		return a.Namespace, true
	case "Rollout":
		return a.Rollout, true
	case "Service":
		return a.Service, true
	case "Stable":
		return a.Stable, true
	case "Canary":
		return a.Canary, true
	case "Interval":
		// Prometheus knows no range shorter than a millisecond; "0s" would be a query that always fails.
		if a.Interval < time.Millisecond {
			return "", true
		}
		return model.Duration(a.Interval).String(), true
	}
	return "", false
}

func plain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
}
