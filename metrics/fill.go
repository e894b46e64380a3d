package metrics

import (
	"maps"
	"slices"
	"strings"
)

// argsPrefix begins the fields that stand for arguments.
const argsPrefix = "Args."

// Fill inserts arguments, written {{.Args.name}}, into a text, and leaves the fields
// of a query in it as they are: what comes out is a template for ParseQuery. An empty
// text is left empty. The values are the caller's to judge; one with braces would
// begin another field.
func Fill(text string, args map[string]string) (string, error) {
	if strings.TrimSpace(text) == "" {
		return text, nil
	}
	valid := validFields
	if len(args) > 0 {
		names := slices.Sorted(maps.Keys(args))
		valid = "use ." + argsPrefix + strings.Join(names, ", ."+argsPrefix) + "; in a query " + strings.TrimPrefix(validFields, "use ") + ", too"
	}
	q, err := parseTemplate(text, valid, func(name string) bool {
		_, isArg := args[strings.TrimPrefix(name, argsPrefix)]
		return isField(name) || isArg && strings.HasPrefix(name, argsPrefix)
	})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range q.parts {
		switch name, isArg := strings.CutPrefix(p.field, argsPrefix); {
		case isArg:
			b.WriteString(args[name])
		case p.field != "":
			b.WriteString("{{." + p.field + "}}")
		default:
			b.WriteString(p.text)
		}
	}
	return b.String(), nil
}
