package advice

import (
	"fmt"
	"strings"
)

// groups are the first two digits of the codes.
var groups = []struct{ digits, title string }{
	{"00", "Files"},
	{"01", "The Rollout"},
	{"02", "The Deployment and its pods"},
	{"03", "The Service"},
	{"04", "Routes and clients"},
	{"05", "Policies"},
	{"06", "Numbers of pods"},
	{"07", "What the cluster says"},
}

const head = `# What analyze finds

<!-- Made of the rules in delivery/advice by its test: make generate. Do not edit. -->

` + "`kubectl crossfade analyze`" + ` finds what the API server accepts, because each object alone is right, and what hurts
later. Each rule has a code that never changes its meaning. How to call it: [kubectl-crossfade.md](kubectl-crossfade.md#analyze).

Severities: an *error* cannot work as it is; a *warning* works, and hurts one day; an *info* may be as intended. What
is not known is not judged: with files alone, nothing is said about Services that are not among them.

The controller asks the rules that need the Rollout alone (marked *), too: condition ` + "`Advice`" + ` has their codes.
`

// Page is the documentation of all rules, in Markdown.
func Page() string {
	var b strings.Builder
	b.WriteString(head)
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n", g.title)
		for _, r := range Rules() {
			if r.Code[2:4] != g.digits {
				continue
			}
			star := ""
			if r.Alone {
				star = " *"
			}
			fmt.Fprintf(&b, "\n### %s %s%s\n\n%s. %s\n\n*Mend:* %s\n", r.Code, r.Name, star, capital(string(r.Severity)), r.What, r.Mend)
		}
	}
	return b.String()
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
