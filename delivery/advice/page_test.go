package advice

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestPageGolden keeps docs/analyze.md in step with the rules.
func TestPageGolden(t *testing.T) {
	const file = "../../docs/analyze.md"
	if *update {
		if err := os.WriteFile(file, []byte(Page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), Page()); diff != "" {
		t.Errorf("docs/analyze.md is stale; write it anew with make generate (-file +rules):\n%s", diff)
	}
}
