package main

import (
	"net/http"
	"strings"
	"testing"
)

// answered is what the controller does with an action.
func answered(phase, message string) func(*cluster) {
	return func(c *cluster) {
		c.set("RolloutAction", "payments-x7k2p", func(o map[string]any) {
			o["status"] = map[string]any{"phase": phase, "message": message, "by": "anna@example.com"}
		})
	}
}

// TestGoldenSteer types the verbs that act, and shows what they send.
func TestGoldenSteer(t *testing.T) {
	isolate(t)
	tests := map[string]struct {
		reason string
		file   string
		lines  []string
		after  func(*cluster)
		old    bool
	}{
		"steer-applied": {
			reason: "What the controller says of an action is what is printed.",
			file:   "paused.yaml", after: answered("Applied", "step 3 goes on"),
			lines: []string{
				"promote payments -n shop", "promote payments -n shop --full --reason INC-7", "abort payments -n shop", "pause payments -n shop",
				"resume payments -n shop", "override payments -n shop", "promote payments -n shop --revision x1 -o name",
			},
		},
		"steer-refused": {
			reason: "A refusal is no success.",
			file:   "paused.yaml", after: answered("Refused", "revision x1 is not on its way: x78bd5d6951 is"),
			lines: []string{"promote payments -n shop --revision x1"},
		},
		"steer-unanswered": {
			reason: "Without a controller nothing is waited for for ever.",
			file:   "paused.yaml", lines: []string{"promote payments -n shop --timeout 300ms"},
		},
		"steer-nothing": {
			reason: "Nothing on its way is nothing to act on.",
			file:   "promoted.yaml", lines: []string{"promote payments -n shop", "retry payments -n shop", "abort orders -n shop", "abort"},
		},
		"steer-waiting": {
			reason: "A revision that waits for a window has no canary yet, and is what an override is for.",
			file:   "waiting.yaml", after: answered("Applied", "no schedule and no freeze holds revision x78bd5d6951 any more"),
			lines: []string{"override payments -n shop --reason INC-7"},
		},
		"steer-rolledback": {
			reason: "After a rollback there is only a retry.",
			file:   "rolledback.yaml", after: answered("Applied", "attempt 2 begins"),
			lines: []string{"abort payments -n shop", "retry payments -n shop"},
		},
		"steer-older": {
			reason: "A controller without RolloutActions is asked in its own way.",
			file:   "paused.yaml", old: true,
			lines: []string{"promote payments -n shop --reason INC-7", "pause payments -n shop", "resume payments -n shop", "abort payments -n shop", "promote payments -n shop --full"},
		},
		"templates": {
			reason: "An undo of a held Deployment goes back to stable, by default.",
			file:   "stepping.yaml",
			lines: []string{
				"undo payments -n shop", "undo payments -n shop --to-revision 1", "undo payments -n shop --to-revision 6c5d9f7b64 --dry-run",
				"undo payments -n shop --to-revision x78bd5d6951", "undo payments -n shop --to-revision 7", "restart payments -n shop",
				"history payments -n shop",
			},
		},
		"templates-promoted": {
			reason: "With nothing on its way it is the one before stable.",
			file:   "promoted.yaml",
			lines:  []string{"undo payments -n shop", "restart payments -n shop", "history payments -n shop", "history payments -n shop -o json"},
		},
		"templates-rolledback": {
			reason: "A restart would try the failed template again.",
			file:   "rolledback.yaml",
			lines:  []string{"restart payments -n shop", "undo payments -n shop", "history payments -n shop"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var all []string
			for _, line := range tt.lines {
				c := newCluster(t, tt.file)
				c.after = tt.after
				if tt.old {
					c.answer = func(w http.ResponseWriter, r *http.Request) bool {
						if strings.Contains(r.URL.Path, "rolloutactions") {
							http.Error(w, "404 page not found", http.StatusNotFound)
							return true
						}
						return false
					}
				}
				args := strings.Fields(line)
				out, errOut, code := c.run(args...)
				text := transcript(args, out, errOut, code)
				for _, w := range c.writes {
					text += "  > " + w + "\n"
				}
				all = append(all, text)
			}
			golden(t, name+".golden", strings.Join(all, "\n"))
		})
	}
}
